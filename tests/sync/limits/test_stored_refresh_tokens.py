"""A system that replaces the refresh token at each refresh keeps working, with any number of processes."""

import logging
import threading
import time
from base64 import urlsafe_b64encode
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any
from urllib.parse import parse_qs

import pytest
from django.db import OperationalError, connection
from django.db.models import BinaryField, Value
from django.utils import timezone

from audit.models import Entry
from connectors import registry
from connectors.auth import oauth_tokens, refresh_tokens, token_cache
from connectors.auth.refresh_tokens import (
    IssuedTokens,
    MemoryRefreshTokens,
    RefreshClaim,
    TokensUnreadable,
    current_store,
)
from connectors.contracts.errors import CredentialsRefused, RequestTimedOut, UnreadableResponse
from connectors.presets import load_preset
from console.audit_log.action_names import ACTION_LABELS
from database.clock import read_clock
from integration_hub.key_rotation import ENCRYPTED_COLUMNS, _with_stored_bytes, reencrypt_column
from sync.housekeeping.log_in_pruning import find_expired_refreshed_tokens
from sync.limits import stored_refresh_tokens
from sync.limits.stored_refresh_tokens import StoredRefreshTokens
from sync.models import Connection, RefreshedToken
from tests.support.http.connectors import DEADLINE, MemoryRecorder, identity
from tests.support.http.servers import Reply, SeenRequest, Service, serving
from tests.support.threads import in_threads

pytestmark = [pytest.mark.usefixtures("database"), pytest.mark.concurrent]

AUTHENTICATION = {"scheme": "oauth2-refresh-token", "client_authentication": "post"}
CREDENTIALS = {
    "client_id": "hub",
    "client_secret": "s3cret-of-the-client",
    "refresh_token": "refresh-token-0",
}
ISSUED: IssuedTokens = {
    "refresh_token": "refresh-token-1",
    "access_token": "access-token-1",
    "ends_at": time.time() + 3600,
    "client": "c",
}


class RotatingAccounts:
    """A token endpoint that accepts each refresh token once, and an API. Only the newest access token is valid."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.number = 0
        self.used: list[str] = []
        self.pause = 0.0
        # Fields of the next token response alone; None: it leaves this one out.
        self.once: dict[str, Any] = {}

    def __call__(self, seen: SeenRequest) -> Reply:
        if seen.path != "/oauth/token":
            is_valid = seen.headers.get("authorization") == f"Bearer access-token-{self.number}"
            return Reply(200, {"id": "a1"}) if is_valid else Reply(401, {"error": "invalid_token"})
        time.sleep(self.pause)
        with self.lock:
            sent = parse_qs(seen.body.decode())["refresh_token"][0]
            self.used.append(sent)
            if sent != f"refresh-token-{self.number}":
                return Reply(400, {"error": "invalid_grant"})
            self.number += 1
            answer = {
                "access_token": f"access-token-{self.number}",
                "refresh_token": f"refresh-token-{self.number}",
                "expires_in": 3600,
            } | self.once
            self.once = {}
            return Reply(200, {name: value for name, value in answer.items() if value is not None})


@pytest.fixture
def accounts() -> RotatingAccounts:
    return RotatingAccounts()


@pytest.fixture
def service(accounts: RotatingAccounts) -> Iterator[Service]:
    forget_tokens()
    with serving(accounts) as service:
        yield service


def fetch(
    service: Service,
    notebook: MemoryRecorder | None = None,
    *,
    deadline: float = DEADLINE,
    **credentials: str,
) -> None:
    connector = identity(
        service.url,
        notebook,
        authentication=AUTHENTICATION,
        credentials=CREDENTIALS | credentials,
        deadline=deadline,
    )
    assert connector.fetch_entity("USER", "a1")


def forget_tokens() -> None:
    """Go on as another process: it has no token in memory."""
    registry._cache.clear()
    token_cache._slots.clear()


def add_connection(service: Service, **values: Any) -> Connection:
    return Connection.objects.create(
        slug="rotating",
        name="Rotating",
        side="identity",
        connector="rest-identity",
        base_url=service.url,
        authentication=AUTHENTICATION,
        credentials=CREDENTIALS,
        settings=load_preset("sandbox-identity")["settings"],
        **values,
    )


def test_the_hub_uses_this_store() -> None:
    assert isinstance(current_store(), StoredRefreshTokens)


def test_each_refresh_sends_the_token_that_was_issued_last(
    service: Service, accounts: RotatingAccounts
) -> None:
    fetch(service)
    fetch_later(service)
    fetch_later(service)
    assert accounts.used == ["refresh-token-0", "refresh-token-1", "refresh-token-2"]


def fetch_later(service: Service) -> None:
    """Fetch as another process, after the access token has expired."""
    forget_tokens()
    for row in RefreshedToken.objects.exclude(tokens=None):
        row.tokens = row.tokens | {"ends_at": time.time()}
        row.save()
    fetch(service)


UNUSABLE: list[dict[str, Any]] = [
    {"access_token": None},
    {"access_token": "x" * 20_000},
    {"token_type": "mac"},
]


@pytest.mark.parametrize("unusable", UNUSABLE, ids=repr)
def test_a_new_refresh_token_is_stored_although_the_access_token_is_of_no_use(
    service: Service, accounts: RotatingAccounts, unusable: dict[str, Any], caplog: pytest.LogCaptureFixture
) -> None:
    stored, accounts.once, notebook = add_connection(service), unusable, MemoryRecorder()
    caplog.set_level(logging.DEBUG, "hub")
    with pytest.raises(UnreadableResponse) as caught:
        fetch(service, notebook)
    row = RefreshedToken.objects.get()
    assert (row.renewals, row.busy_until) == (1, None)
    assert row.tokens | {"client": ""} == {
        "refresh_token": "refresh-token-1",
        "access_token": "",
        "ends_at": 0.0,
        "client": "",
    }
    assert Entry.objects.filter(stream=f"setting:connection:{stored.pk}").count() == 1
    assert "refresh-token-" not in f"{caught.value}{caplog.text}{notebook.sent}{notebook.exchanges}"
    fetch(service)
    fetch_later(service)
    assert accounts.used == ["refresh-token-0", "refresh-token-1", "refresh-token-2"]


@pytest.mark.parametrize("absent", [None, ""])
def test_a_refusal_with_status_200_issues_no_refresh_token(
    service: Service, accounts: RotatingAccounts, absent: Any
) -> None:
    accounts.once = {"access_token": absent, "error": "invalid_grant", "refresh_token": "of-a-refusal"}
    with pytest.raises(CredentialsRefused):
        fetch(service)
    assert RefreshedToken.objects.get().tokens is None


def test_another_process_uses_the_token_that_was_fetched_until_it_is_refused(
    service: Service, accounts: RotatingAccounts
) -> None:
    fetch(service)
    forget_tokens()
    fetch(service)
    assert accounts.used == ["refresh-token-0"], "the access token is shared"
    # Someone else refreshed, so the token of this process is refused; the stored one is as old.
    stored = RefreshedToken.objects.get()
    with accounts.lock:
        accounts.number = 7
    stored.tokens = stored.tokens | {"refresh_token": "refresh-token-7"}
    stored.save()
    fetch(service)
    assert accounts.used == ["refresh-token-0", "refresh-token-7"]


def test_many_workers_refresh_one_at_a_time(service: Service, accounts: RotatingAccounts) -> None:
    accounts.pause = 0.2
    barrier = threading.Barrier(4)

    def run(_: int) -> None:
        barrier.wait(60)
        connector = identity(service.url, authentication=AUTHENTICATION, credentials=CREDENTIALS)
        # Past the cache of this process, whose threads would share one refresh.
        prover = connector._client._config.authenticator  # type: ignore[attr-defined]
        sender = connector._client._token_sender()  # type: ignore[attr-defined]
        assert prover._refresh(sender, may_share=True).value == "Bearer access-token-1"

    in_threads(run, 4)
    assert accounts.used == ["refresh-token-0"], "the losers read the token that the winner stored"


def test_a_process_that_was_held_up_does_not_send_a_token_that_another_may_have_used(
    service: Service, accounts: RotatingAccounts, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It may have been stopped, or have waited for the database or its turn, until its claim had ended."""
    with monkeypatch.context() as held_up:
        held_up.setattr(oauth_tokens, "_CLAIM_MARGIN_SECONDS", -0.001)
        with pytest.raises(RequestTimedOut, match="POST /oauth/token: the request was not sent"):
            fetch(service)
    assert accounts.used == []
    fetch(service)
    assert accounts.used == ["refresh-token-0"]


def test_a_renewal_is_in_the_audit_log_and_no_token_is_anywhere(
    service: Service, caplog: pytest.LogCaptureFixture
) -> None:
    stored, notebook = add_connection(service), MemoryRecorder()
    caplog.set_level(logging.DEBUG, "hub")
    fetch(service, notebook)
    entry = Entry.objects.get(stream=f"setting:connection:{stored.pk}")
    assert (entry.action, entry.actor, entry.details) == ("connection.credentials-renewed", "system", "{}")
    assert entry.action in ACTION_LABELS
    with connection.cursor() as cursor:
        cursor.execute("SELECT * FROM sync_refreshedtoken")
        rows = repr(
            [[bytes(v) if isinstance(v, memoryview) else v for v in row] for row in cursor.fetchall()]
        )
    shown = (
        rows
        + caplog.text
        + repr(notebook.sent)
        + repr(notebook.exchanges)
        + repr(RefreshedToken.objects.get())
    )
    for secret in ("refresh-token-", "access-token-", "s3cret-of-the-client"):
        assert secret not in shown


def test_a_system_that_keeps_its_refresh_token_leaves_nothing_stored(service: Service) -> None:
    def answer(seen: SeenRequest) -> Reply:
        return Reply(200, {"access_token": "access-token-1", "refresh_token": "refresh-token-0", "id": "a1"})

    with serving(answer) as other:
        fetch(other)
    row = RefreshedToken.objects.get()
    assert (row.tokens, row.busy_until, row.renewals) == (None, None, 0)
    assert not Entry.objects.filter(action="connection.credentials-renewed").exists()


def test_a_new_refresh_token_of_a_person_replaces_the_chain_and_a_new_client_secret_does_not(
    service: Service, accounts: RotatingAccounts
) -> None:
    fetch(service)
    fetch(service, client_secret="the-next-secret-of-it")
    assert accounts.used == ["refresh-token-0", "refresh-token-1"]
    with accounts.lock:
        accounts.number = 20
    fetch(service, refresh_token="refresh-token-20")
    assert accounts.used[-1] == "refresh-token-20"


def test_tokens_are_found_after_the_secret_key_was_rotated(
    service: Service, accounts: RotatingAccounts, settings: Any
) -> None:
    fetch(service)
    settings.SECRET_KEY = "another-key-of-this-hub-" * 3
    fetch_later(service)
    assert accounts.used == ["refresh-token-0", "refresh-token-1"]


def test_a_refresh_that_ends_late_is_stored_unless_a_newer_one_is() -> None:
    store = StoredRefreshTokens()
    first = store.claim_refresh("k", 30.0)
    assert first is not None
    assert store.claim_refresh("k", 30.0) is None
    # Its process stood still: another one may refresh.
    RefreshedToken.objects.update(busy_until=timezone.now() - timedelta(seconds=1))
    second = store.claim_refresh("k", 30.0)
    assert second is not None
    store.finish_refresh(first, ISSUED)
    store.finish_refresh(second, ISSUED | {"refresh_token": "of-the-second"})  # type: ignore[arg-type]
    third = store.claim_refresh("k", 30.0)
    assert third is not None
    assert third.tokens is not None
    assert (third.tokens["refresh_token"], third.renewals) == ("refresh-token-1", 1)


def test_a_machine_whose_clock_is_wrong_does_not_refresh_at_the_same_time(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    store = StoredRefreshTokens()
    assert store.claim_refresh("k" * 64, 30)
    real = timezone.now
    monkeypatch.setattr(timezone, "now", lambda: real() + timedelta(hours=1))
    assert store.claim_refresh("k" * 64, 30) is None


@pytest.mark.parametrize("store", [StoredRefreshTokens(), MemoryRefreshTokens()])
def test_a_refresh_that_fails_late_does_not_end_the_claim_of_another(
    store: refresh_tokens.RefreshTokenStore,
) -> None:
    first = store.claim_refresh("k", 0.0)
    second = store.claim_refresh("k", 30.0)
    assert first is not None
    assert second is not None
    store.finish_refresh(first, None)
    assert store.claim_refresh("k", 30.0) is None, "the second would send the same token at the same time"
    store.finish_refresh(second, None)
    assert store.claim_refresh("k", 30.0) is not None


def test_storing_is_tried_again_while_the_database_is_away(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(stored_refresh_tokens, "STORE_PAUSES", (0.01, 0.01))
    caplog.set_level(logging.DEBUG, "hub")
    finish, failures = stored_refresh_tokens._finish_refresh, [2]

    def fail_at_first(claim: RefreshClaim, issued: IssuedTokens | None) -> None:
        if failures[0]:
            failures[0] -= 1
            raise OperationalError("refresh-token-1 is a part of this text")
        finish(claim, issued)

    monkeypatch.setattr(stored_refresh_tokens, "_finish_refresh", fail_at_first)
    store = StoredRefreshTokens()
    claim = store.claim_refresh("k", 30.0)
    assert claim is not None
    store.finish_refresh(claim, ISSUED)
    assert RefreshedToken.objects.get().tokens == ISSUED
    failures[0] = 3
    store.finish_refresh(claim, ISSUED)
    assert "a refreshed token could not be stored: OperationalError" in caplog.text
    assert "refresh-token-1" not in caplog.text


def test_a_thread_waits_for_a_refresh_until_its_deadline(service: Service) -> None:
    connector = identity(service.url, authentication=AUTHENTICATION, credentials=CREDENTIALS, deadline=0.3)
    key = connector._client._config.authenticator.refresh_key  # type: ignore[attr-defined]
    assert StoredRefreshTokens().claim_refresh(key, 30.0)
    with pytest.raises(RequestTimedOut):
        connector.fetch_entity("USER", "a1")


def test_tokens_are_encrypted_again_with_a_new_key_and_deleted_with_their_connection(
    service: Service, accounts: RotatingAccounts
) -> None:
    stored = add_connection(service)
    fetch(service)
    [column] = [column for column in ENCRYPTED_COLUMNS if column.model is RefreshedToken]
    assert [count for _, count in reencrypt_column(column)] == [1]
    assert RefreshedToken.objects.get().tokens["refresh_token"] == "refresh-token-1"
    later = read_clock() + timedelta(days=2)
    assert not find_expired_refreshed_tokens(later).exists()
    stored.delete()
    assert find_expired_refreshed_tokens(later).count() == 1


def test_a_refresh_token_that_cannot_be_stored_is_ignored() -> None:
    for value in (7, "", "x" * (refresh_tokens.MAX_TOKEN_LENGTH + 1), "\ud800", "a\0b", ["a"]):
        assert oauth_tokens._readable_refresh_token(value) == "", value


@pytest.mark.parametrize("is_key_missing", [True, False])
def test_a_stored_token_that_cannot_be_decrypted_is_refused_credentials_and_nothing_is_sent(
    service: Service, accounts: RotatingAccounts, settings: Any, is_key_missing: bool
) -> None:
    fetch(service)
    forget_tokens()
    row = RefreshedToken.objects.get()
    [column] = [column for column in ENCRYPTED_COLUMNS if column.model is RefreshedToken]
    stored = bytes(_with_stored_bytes(column).values_list("stored_bytes", flat=True).get())
    keys = settings.SEALING_KEYS
    if is_key_missing:
        settings.SEALING_KEYS = [urlsafe_b64encode(bytes(range(32))).decode()]
    else:
        store_bytes(row, stored[:-1] + bytes([stored[-1] ^ 1]))
    with pytest.raises(CredentialsRefused) as caught:
        fetch(service)
    assert (caught.value.code, caught.value.retryable) == ("identity-credentials", True)
    reason = str(caught.value).partition(": ")[2]
    assert reason.endswith("or enter a new refresh token")
    assert accounts.used == ["refresh-token-0"], "a token that was used up may end the grant"
    assert RefreshedToken.objects.get().busy_until is None
    # The key is back.
    settings.SEALING_KEYS = keys
    store_bytes(row, stored)
    fetch(service)
    assert accounts.used == ["refresh-token-0"]


def store_bytes(row: RefreshedToken, encrypted: bytes) -> None:
    stored = Value(encrypted, output_field=BinaryField())
    RefreshedToken.objects.filter(pk=row.pk).update(tokens=stored)


def exchange_tokens(first: str, second: str) -> None:
    stored = {key: RefreshedToken.objects.get(pk=key).__dict__["tokens"].encrypted for key in (first, second)}
    store_bytes(RefreshedToken(first), stored[second])
    store_bytes(RefreshedToken(second), stored[first])


def rename_row(first: str, second: str) -> None:
    RefreshedToken.objects.filter(pk=second).delete()
    RefreshedToken.objects.filter(pk=first).update(key=second)


@pytest.mark.parametrize("tamper", [exchange_tokens, rename_row], ids=lambda one: one.__name__)
def test_tokens_of_another_client_or_endpoint_are_not_sent(tamper: Callable[[str, str], None]) -> None:
    """Each row is for one client at one token endpoint, by its key: its tokens are bound to it."""
    store = StoredRefreshTokens()
    for key in ("shop", "trap"):
        claim = store.claim_refresh(key, 30.0)
        assert claim is not None
        store.finish_refresh(claim, {**ISSUED, "refresh_token": f"of-{key}"})
    tamper(RefreshedToken.digest_key("shop"), RefreshedToken.digest_key("trap"))
    with pytest.raises(TokensUnreadable):
        store.claim_refresh("trap", 30.0)
