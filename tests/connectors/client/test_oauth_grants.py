"""Access tokens by a refresh token and by an assertion, and how requests send them."""

from itertools import count
from threading import Event, Thread
from typing import Any
from urllib.parse import parse_qs

import jwt
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from connectors.auth import refresh_tokens
from connectors.contracts.errors import ConnectorError, CredentialsRefused
from connectors.settings.authentication import credential_names
from tests.support.http.connectors import MemoryRecorder, identity
from tests.support.http.servers import Reply, SeenRequest, serving

pytestmark = [pytest.mark.pure, pytest.mark.concurrent]

REFRESH = {"scheme": "oauth2-refresh-token", "client_authentication": "post"}
ASSERTION = {"scheme": "oauth2-jwt-bearer", "algorithm": "ES256"}
_clients = count(1)


class Accounts:
    """A token endpoint and an API in one. `error`: what the endpoint answers with status 200 in place of a token."""

    def __init__(self, error: str | None = None) -> None:
        self.error = error
        self.forms: list[dict[str, str]] = []
        self.sent: list[str | None] = []
        self.header = "authorization"
        self.refused = ""

    def __call__(self, seen: SeenRequest) -> Reply:
        if seen.path != "/oauth/token":
            self.sent.append(seen.headers.get(self.header))
            if self.sent[-1] == self.refused:
                return Reply(401, {"message": f"refused: {self.sent[-1]}"})
            return Reply(200, {"id": "a1"})
        self.forms.append({name: values[0] for name, values in parse_qs(seen.body.decode()).items()})
        if self.error:
            return Reply(200, {"error": self.error})
        number = len(self.forms)
        return Reply(
            200, {"access_token": f"access-token-{number}", "token_type": "Bearer", "expires_in": 3600}
        )


@pytest.fixture(autouse=True)
def _tokens_of_this_process(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(refresh_tokens, "_store", refresh_tokens.MemoryRefreshTokens())


def _client() -> dict[str, str]:
    """Return credentials that no other test uses: tokens are cached in the process."""
    return {
        "client_id": f"client {next(_clients)}",
        "client_secret": "s3cret-of-the-client",
        "refresh_token": "1000.refresh-token",
    }


def test_a_refresh_token_is_exchanged_for_an_access_token_that_is_cached() -> None:
    accounts, credentials, notebook = Accounts(), _client(), MemoryRecorder()
    authentication = {**REFRESH, "template": "Zoho-oauthtoken {token}"}
    with serving(accounts) as service:
        for _ in range(2):
            connector = identity(
                service.url, notebook, authentication=authentication, credentials=credentials
            )
            assert connector.fetch_entity("USER", "a1")
    assert accounts.forms == [{"grant_type": "refresh_token", **credentials}]
    assert accounts.sent == ["Zoho-oauthtoken access-token-1"] * 2
    shown = repr(notebook.sent) + repr(notebook.exchanges)
    assert "***" in shown
    for secret in ("1000.refresh-token", "s3cret-of-the-client", "access-token-1"):
        assert secret not in shown


def test_a_token_that_is_refused_is_renewed_whatever_its_header() -> None:
    accounts, notebook = Accounts(), MemoryRecorder()
    accounts.header, accounts.refused = "x-access-token", "access-token-1"
    authentication = {**REFRESH, "header": "X-Access-Token", "template": "{token}"}
    with serving(accounts) as service:
        connector = identity(service.url, notebook, authentication=authentication, credentials=_client())
        assert connector.fetch_entity("USER", "a1")
    assert accounts.sent == ["access-token-1", "access-token-2"]
    assert "access-token-" not in repr(notebook.sent) + repr(notebook.exchanges)


def test_the_same_token_in_another_header_is_not_taken_from_the_cache() -> None:
    accounts, credentials = Accounts(), _client()
    with serving(accounts) as service:
        for template in ("Bearer {token}", "Token {token}"):
            authentication = {**REFRESH, "template": template}
            identity(service.url, authentication=authentication, credentials=credentials).fetch_entity(
                "USER", "a1"
            )
    assert accounts.sent == ["Bearer access-token-1", "Token access-token-2"]


@pytest.mark.parametrize(
    ("address", "path"),
    [("/o/token/", "/o/token/"), ("URL", "/"), ("URL/o/token/", "/o/token/")],
)
def test_a_token_endpoint_is_requested_at_the_address_as_it_is_written(address: str, path: str) -> None:
    def answer(seen: SeenRequest) -> Reply:
        return Reply(200, {"access_token": "access-token-1", "id": "a1"})

    with serving(answer) as service:
        name = "token_path" if address.startswith("/") else "token_url"
        place = {name: address.replace("URL", service.url)}
        connector = identity(service.url, authentication={**REFRESH, **place}, credentials=_client())
        assert connector.fetch_entity("USER", "a1")
    assert [seen.path for seen in service.seen if seen.method == "POST"] == [path]


@pytest.mark.parametrize("authentication", [REFRESH, {"scheme": "oauth2-client-credentials"}])
def test_an_error_with_status_200_is_a_refusal_of_the_credentials(authentication: dict[str, Any]) -> None:
    credentials = {name: text for name, text in _client().items() if name in credential_names(authentication)}
    with serving(Accounts("invalid_code")) as service, pytest.raises(CredentialsRefused) as caught:
        identity(service.url, authentication=authentication, credentials=credentials).fetch_entity(
            "USER", "a1"
        )
    assert "invalid_code" not in str(caught.value), "the answer of a token endpoint is secret as a whole"


def test_an_assertion_names_the_client_and_the_person_it_acts_for() -> None:
    private = ec.generate_private_key(ec.SECP256R1())
    key = private.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    ).decode()
    accounts, client, notebook = Accounts(), f"client {next(_clients)}", MemoryRecorder()
    claims = {"sub": "admin@example.com", "scope": "directory.readonly"}
    credentials = {"client_id": client, "signing_key": key}
    with serving(accounts) as service:
        for more in ({"claims": claims}, {}):
            authentication = {**ASSERTION, **more}
            identity(
                service.url, notebook, authentication=authentication, credentials=credentials
            ).fetch_entity("USER", "a1")
        audience = f"{service.url}/oauth/token"
    read = [
        jwt.decode(form["assertion"], private.public_key(), ["ES256"], audience=audience)
        for form in accounts.forms
    ]
    assert [(one["iss"], one["sub"], one.get("scope")) for one in read] == [
        (client, "admin@example.com", "directory.readonly"),
        (client, client, None),
    ]
    assert {form["grant_type"] for form in accounts.forms} == {"urn:ietf:params:oauth:grant-type:jwt-bearer"}
    assert set(accounts.forms[0]) == {"grant_type", "assertion"}
    assert accounts.sent == ["Bearer access-token-1", "Bearer access-token-2"]
    assert accounts.forms[0]["assertion"] not in repr(notebook.sent) + repr(notebook.exchanges)


def test_a_late_answer_that_repeats_an_older_token_is_masked() -> None:
    """Three other tokens come while a request waits for its answer."""
    is_sent, is_renewed = Event(), Event()
    tokens = count(1)

    def answer(seen: SeenRequest) -> Reply:
        if seen.path == "/oauth/token":
            return Reply(200, {"access_token": f"token-{'abcd'[next(tokens) - 1] * 20}", "expires_in": 3600})
        if seen.path.endswith("/late"):
            is_sent.set()
            is_renewed.wait(60)
        return Reply(422, {"message": seen.headers["authorization"].removeprefix("Bearer ")})

    credentials, notebook = _client(), MemoryRecorder()

    def fetch_late(url: str) -> None:
        with pytest.raises(ConnectorError):
            identity(url, notebook, authentication=REFRESH, credentials=credentials).fetch_entity(
                "USER", "late"
            )

    with serving(answer) as service:
        late = Thread(target=fetch_late, args=(service.url,))
        late.start()
        assert is_sent.wait(60)
        for _ in range(3):
            other = identity(service.url, authentication=REFRESH, credentials=credentials)
            other.renew_credentials()
            with pytest.raises(ConnectorError):
                other.fetch_entity("USER", "a1")
        is_renewed.set()
        late.join()
    assert notebook.exchanges[-1].body == b'{"message": "***"}'


def test_any_lifetime_of_a_token_is_read() -> None:
    cases: list[tuple[str, float]] = [
        ("9" * 400, 999_999_999),
        ("-" + "9" * 400, 0),
        ("1e308", 999_999_999),
        (f'"{"9" * 400}"', 999_999_999),
        ("-1", 0),
        ("3600.5", 3600.5),
        ("true", 300),
        ("null", 300),
    ]
    for stated, seconds in cases:
        raw = f'{{"access_token": "access-token-1", "expires_in": {stated}}}'.encode()
        with serving(lambda _, raw=raw: Reply(200, raw=raw)) as service:
            connector = identity(service.url, authentication=REFRESH, credentials=_client())
            granted = connector.renew_credentials()
        assert granted is not None
        assert granted.lifetime_seconds == seconds
