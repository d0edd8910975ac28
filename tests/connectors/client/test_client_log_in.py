"""A log-in that names a client too, such as OAuth 2 with a password."""

import json
from base64 import b64encode
from itertools import count
from typing import Any
from urllib.parse import parse_qsl

import pytest

from config_schema.errors import SettingsInvalid
from connectors.auth import log_in_guard
from connectors.contracts.errors import CredentialsRefused
from connectors.settings.authentication import credential_names
from tests.support.http.connectors import MemoryRecorder, identity
from tests.support.http.servers import Reply, SeenRequest, serving

pytestmark = [pytest.mark.pure, pytest.mark.concurrent]

_users = count(1)
PASSWORD = {"username": {"expression": "username"}, "password": {"expression": "password"}}


@pytest.fixture(autouse=True)
def own_guard(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(log_in_guard, "_guard", log_in_guard.MemoryGuard())


def _session(client: str, **log_in: Any) -> dict[str, Any]:
    body = {"grant_type": "password", **PASSWORD}
    return {
        "scheme": "session",
        "log_in": {"path": "/token", "body": body, "client": client, **log_in},
        "token": {"path": "access_token"},
    }


def _credentials(secret: str = "s3cret-of-the-client") -> dict[str, str]:
    """Return credentials that no other test uses: tokens are cached in the process."""
    return {
        "username": f"hub {next(_users)}",
        "password": "p4ssword-of-the-hub",
        "client_id": "client-1",
        "client_secret": secret,
    }


def answer(seen: SeenRequest) -> Reply:
    if seen.path == "/token":
        return Reply(200, {"access_token": "access-token-of-a-person", "seen": seen.body.decode()})
    return Reply(200, {"id": "a1"})


def test_a_client_is_named_in_the_header_of_the_log_in_alone() -> None:
    credentials, notebook = _credentials(), MemoryRecorder()
    with serving(answer) as service:
        connector = identity(service.url, notebook, authentication=_session("basic"), credentials=credentials)
        assert connector.fetch_entity("USER", "a1")
    log_in, fetch = service.seen
    pair = b64encode(b"client-1:s3cret-of-the-client").decode()
    assert log_in.headers["authorization"] == f"Basic {pair}"
    assert json.loads(log_in.body) == {
        "grant_type": "password",
        "username": credentials["username"],
        "password": "p4ssword-of-the-hub",
    }
    assert fetch.headers["authorization"] == "Bearer access-token-of-a-person"
    shown = repr(notebook.sent) + repr(notebook.exchanges)
    for secret in ("p4ssword", "s3cret", pair, "access-token-of"):
        assert secret not in shown


@pytest.mark.parametrize("encoding", ["form", "json"])
def test_a_client_is_named_in_the_body_of_the_log_in(encoding: str) -> None:
    credentials = _credentials()
    with serving(answer) as service:
        authentication = _session("post", encoding=encoding)
        identity(service.url, authentication=authentication, credentials=credentials).fetch_entity(
            "USER", "a1"
        )
    text = service.seen[0].body.decode()
    body = dict(parse_qsl(text)) if encoding == "form" else json.loads(text)
    assert body == {"grant_type": "password", **credentials}
    assert "authorization" not in service.seen[0].headers


@pytest.mark.parametrize("client", ["basic", "post"])
def test_a_refused_log_in_is_tried_again_with_another_secret_of_the_client(client: str) -> None:
    credentials = _credentials("mistyped-secret")
    with serving(lambda _: Reply(401, {"error": "invalid_client"})) as service:
        for secret in ("mistyped-secret", "mistyped-secret", "another-secret"):
            held = {**credentials, "client_secret": secret}
            with pytest.raises(CredentialsRefused):
                identity(service.url, authentication=_session(client), credentials=held).fetch_entity(
                    "USER", "a1"
                )
    assert len(service.seen) == 2


def test_the_credentials_of_the_client_are_needed_where_it_is_named() -> None:
    assert credential_names(_session("basic")) == ("username", "password", "client_id", "client_secret")
    with pytest.raises(SettingsInvalid) as caught:
        identity(
            "http://a.test",
            authentication=_session("basic"),
            credentials={"username": "a", "password": "b", "client_id": "c"},
        )
    assert caught.value.pointer == "/credentials/client_secret"
