"""Authentication: sent as configured, absent from every record, renewed once."""

import threading
from base64 import b64decode
from itertools import count
from typing import Any
from urllib.parse import parse_qs

import pytest

from connectors.contracts.errors import ConnectorError, CredentialsRefused, RequestThrottled
from connectors.contracts.types import IdentityConnector
from tests.support.http.connectors import MemoryRecorder, identity, shop
from tests.support.http.servers import Answering, Reply, SeenRequest, Service, serving

pytestmark = [pytest.mark.pure, pytest.mark.concurrent]

OAUTH = {"scheme": "oauth2-client-credentials"}
_clients = count(1)


def _entity(_: SeenRequest) -> Reply:
    return Reply(200, {"id": "a1"})


def _client() -> dict[str, str]:
    """Return credentials that no other test uses: tokens are cached in the process."""
    return {"client_id": f"client {next(_clients)}", "client_secret": "hush: ä"}


def _issuing(tokens: Any, answer: Answering = _entity, **members: Any) -> Answering:
    """Run a service with a token endpoint that issues these tokens in turn."""

    def answering(seen: SeenRequest) -> Reply:
        if seen.path == "/oauth/token":
            return Reply(
                200, {"access_token": next(tokens), "token_type": "Bearer", "expires_in": 3600, **members}
            )
        return answer(seen)

    return answering


def _oauth(
    url: str, credentials: dict[str, str], notebook: MemoryRecorder | None = None, **over: Any
) -> IdentityConnector:
    return identity(url, notebook, authentication={**OAUTH, **over}, credentials=credentials)


def _paths(service: Service) -> list[str]:
    return [seen.path for seen in service.seen]


@pytest.mark.parametrize(
    ("authentication", "credentials", "header", "value"),
    [
        ({"scheme": "none"}, {}, "authorization", None),
        (
            {"scheme": "basic"},
            {"username": "hub", "password": "pä:ss"},
            "authorization",
            "Basic aHViOnDDpDpzcw==",
        ),
        ({"scheme": "bearer"}, {"token": "t0ken"}, "authorization", "Bearer t0ken"),
        ({"scheme": "header", "header": "X-Api-Key"}, {"value": "k3y"}, "x-api-key", "k3y"),
        (
            {"scheme": "header", "header": "Authorization"},
            {"value": "Token t0k"},
            "authorization",
            "Token t0k",
        ),
    ],
    ids=["none", "basic", "bearer", "header", "a word of its own"],
)
def test_a_fixed_secret_is_sent_as_configured_and_masked_in_the_recorded_call(
    authentication: dict[str, str], credentials: dict[str, str], header: str, value: str | None
) -> None:
    notebook = MemoryRecorder()
    with serving(_entity) as service:
        connector = identity(service.url, notebook, authentication=authentication, credentials=credentials)
        assert connector.fetch_entity("USER", "a1")
    assert service.seen[0].headers.get(header) == value
    shown = {name.lower(): text for name, text in notebook.sent[0].headers.items()}
    assert shown.get(header) == ("***" if value else None)
    assert not any(secret in repr(notebook) for secret in credentials.values() if secret != "hub")


@pytest.mark.parametrize("way", ["basic", "body"])
def test_a_client_authenticates_to_the_token_endpoint_in_both_ways(way: str) -> None:
    credentials, notebook = _client(), MemoryRecorder()
    with serving(_issuing(iter(["t1"]))) as service:
        assert _oauth(
            service.url, credentials, notebook, client_authentication=way, scope="read"
        ).fetch_entity("USER", "a1")
        token, fetch = service.seen
    form = {name: values[0] for name, values in parse_qs(token.body.decode()).items()}
    common = {"grant_type": "client_credentials", "scope": "read"}
    if way == "body":
        assert form == common | credentials
        assert "authorization" not in token.headers
    else:
        assert form == common
        shown = b64decode(token.headers["authorization"].removeprefix("Basic ")).decode()
        assert shown == f"{credentials['client_id']}:{credentials['client_secret']}"
    assert fetch.headers["authorization"] == "Bearer t1"
    assert token.headers["content-type"] == "application/x-www-form-urlencoded"
    assert (notebook.sent[0].purpose, notebook.sent[0].body, notebook.exchanges[0].body) == (
        "token",
        b"***",
        b"***",
    )


def test_a_token_is_fetched_once_for_all_threads() -> None:
    patient = {"authentication": OAUTH, "credentials": _client(), "deadline": 60}
    with serving(_issuing(iter(["t1"]))) as service:
        threads = [
            threading.Thread(target=lambda: identity(service.url, **patient).fetch_entity("USER", "a1"))
            for _ in range(8)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert sorted(_paths(service)) == ["/api/users/a1"] * 8 + ["/oauth/token"]


@pytest.mark.parametrize(
    ("lifetime", "fetched"), [(29, 1), (0, 2), ("0", 2), (3600, 1), (None, 1), (True, 1)]
)
def test_a_token_is_used_while_it_lasts(lifetime: Any, fetched: int) -> None:
    with serving(_issuing(iter(["t1", "t2"]), expires_in=lifetime)) as service:
        connector = _oauth(service.url, _client())
        assert connector.fetch_entity("USER", "a1")
        assert connector.fetch_entity("USER", "a1")
        assert _paths(service).count("/oauth/token") == fetched


def test_a_write_rejected_with_401_is_repeated_once_with_the_same_key() -> None:
    def answer(seen: SeenRequest) -> Reply:
        return Reply(401 if seen.headers["authorization"] == "Bearer t1" else 201, {"id": 7})

    with serving(_issuing(iter(["t1", "t2"]), answer)) as service:
        record = shop(service.url, authentication=OAUTH, credentials=_client()).create_record(
            "USER", {"email": "a"}, "k1"
        )
        writes = [seen for seen in service.seen if seen.path == "/api/customers"]
    assert record.id == "7"
    assert [(seen.headers["idempotency-key"], seen.json()) for seen in writes] == [("k1", {"email": "a"})] * 2


def test_a_second_401_is_an_error() -> None:
    with serving(_issuing(iter(["t1", "t2", "t3"]), lambda _: Reply(401, {}))) as service:
        with pytest.raises(CredentialsRefused):
            _oauth(service.url, _client()).fetch_entity("USER", "a1")
        assert _paths(service) == ["/oauth/token", "/api/users/a1"] * 2


def test_without_a_token_no_request_is_sent() -> None:
    cases: list[tuple[Reply, str]] = [
        (Reply(400, {"error": "invalid_client"}), "identity-credentials"),
        (Reply(401, {}), "identity-credentials"),
        (Reply(404, {}), "identity-credentials"),
        (Reply(429, {}), "identity-throttled"),
        (Reply(500, {}), "identity-unavailable"),
        (Reply(302, {}, {"Location": "/other"}), "identity-garbled"),
        (Reply(200, raw=b"<html>"), "identity-garbled"),
        (Reply(200, {"access_token": "t", "token_type": "mac"}), "identity-garbled"),
        (Reply(200, {"access_token": "t\r\nX-Evil: 1", "token_type": "bearer"}), "identity-garbled"),
        (Reply(200, {"access_token": 7}), "identity-garbled"),
    ]  # fmt: skip
    for reply, code in cases:
        credentials, notebook = _client(), MemoryRecorder()
        with serving(lambda _, reply=reply: reply) as service:
            with pytest.raises(ConnectorError) as caught:
                _oauth(service.url, credentials, notebook).fetch_entity("USER", "a1")
            assert _paths(service) == ["/oauth/token"]
        assert (caught.value.code, caught.value.retryable) == (code, True)
        assert credentials["client_secret"] not in f"{caught.value} {notebook!r}"


def test_the_retry_after_of_a_token_endpoint_is_respected() -> None:
    with (
        serving(lambda _: Reply(429, {}, {"Retry-After": "7"})) as service,
        pytest.raises(RequestThrottled) as caught,
    ):
        _oauth(service.url, _client()).fetch_entity("USER", "a1")
    assert caught.value.retry_after == 7


@pytest.mark.promise("I15")
def test_the_client_secret_is_sent_to_the_token_url_only() -> None:
    with serving(_issuing(iter(["t1"]))) as issuer, serving(_entity) as service:
        assert _oauth(service.url, _client(), token_url=f"{issuer.url}/oauth/token").fetch_entity(
            "USER", "a1"
        )
        assert (_paths(issuer), _paths(service)) == (["/oauth/token"], ["/api/users/a1"])
        assert service.seen[0].headers["authorization"] == "Bearer t1"
