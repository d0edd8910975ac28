"""Tokens that the hub signs: one for each request, and the assertion of an OAuth client."""

from itertools import count
from typing import Any

import pytest

from config_schema.errors import SettingsInvalid
from connectors.contracts.errors import ConnectorError, CredentialsRefused
from connectors.contracts.types import IdentityConnector
from connectors.settings.authentication import credential_names
from tests.support.http.authentication_servers import AssertionServer, SignedTokenServer, make_key
from tests.support.http.connectors import MemoryRecorder, identity
from tests.support.http.servers import Reply, SeenRequest, serving

pytestmark = [pytest.mark.pure, pytest.mark.concurrent]

AUDIENCE = "https://shop.example.com"
JWT: dict[str, Any] = {"scheme": "jwt", "claims": {"iss": "hub", "aud": AUDIENCE}}
OAUTH: dict[str, Any] = {
    "scheme": "oauth2-client-credentials",
    "client_authentication": "private_key_jwt",
}
_clients = count(1)


def connect(url: str, key: str, notebook: MemoryRecorder | None = None, **over: Any) -> IdentityConnector:
    authentication = {**JWT, **over}
    return identity(
        url, notebook, authentication=authentication, credentials={"signing_key": key}, deadline=60.0
    )


@pytest.mark.submission_rows(2)
@pytest.mark.parametrize("algorithm", ["HS256", "RS256", "PS256", "ES256", "EdDSA"])
def test_each_request_has_a_new_token_that_verifies(algorithm: str) -> None:
    key, public = make_key(algorithm)
    server = SignedTokenServer(public, algorithm, AUDIENCE, prefix="Token ")
    over = {"algorithm": algorithm, "key_id": "k1", "lifetime": 30, "template": "Token {token}"}
    with serving(server) as service:
        for _ in range(2):
            assert connect(service.url, key, **over).fetch_entity("USER", "a1") is not None
    assert len(server.tokens) == 2
    claims, header = server.tokens[0]
    assert (claims["iss"], claims["exp"] - claims["iat"]) == ("hub", 30)
    assert (header["alg"], header["kid"]) == (algorithm, "k1")


def test_a_shared_secret_may_be_written_in_hex_or_base64() -> None:
    secret = bytes(range(200, 232))
    for encoding, text in (("hex", secret.hex()), ("base64", "yMnKy8zNzs/Q0dLT1NXW19jZ2tvc3d7f4OHi4+Tl5uc=")):
        server = SignedTokenServer(secret, "HS256", AUDIENCE)
        with serving(server) as service:
            assert connect(service.url, text, encoding=encoding).fetch_entity("USER", "a1") is not None


def test_a_refused_token_is_not_signed_again() -> None:
    key, _ = make_key("HS256")
    with serving(SignedTokenServer(b"x" * 40, "HS256", AUDIENCE)) as service:
        with pytest.raises(CredentialsRefused):
            connect(service.url, key).fetch_entity("USER", "a1")
        assert len(service.seen) == 1


def test_a_key_that_does_not_fit_is_refused_without_being_shown() -> None:
    cases: list[tuple[str, str, str]] = [
        ("HS256", "too short", "text"),
        ("HS256", "zz", "hex"),
        ("HS256", "not base64!", "base64"),
        ("RS256", "no key", "text"),
        ("RS256", make_key("ES256")[0], "text"),
        ("ES256", make_key("RS256")[0], "text"),
        ("EdDSA", make_key("ES256")[0], "text"),
    ]
    for algorithm, key, encoding in cases:
        with pytest.raises(SettingsInvalid) as caught:
            connect("http://127.0.0.1:9", key, algorithm=algorithm, encoding=encoding)
        assert caught.value.place == ("credentials", "signing_key")
        assert key.strip()[:20] not in caught.value.sentence
        assert caught.value.__cause__ is None


def test_a_token_and_its_key_are_in_no_record() -> None:
    key, public = make_key("ES256")

    def echo(seen: SeenRequest) -> Reply:
        return Reply(422, {"id": "a1", "message": seen.headers["authorization"]})

    notebook = MemoryRecorder()
    with serving(SignedTokenServer(public, "ES256", AUDIENCE, answer=echo)) as service:
        with pytest.raises(ConnectorError) as caught:
            connect(service.url, key, notebook, algorithm="ES256").fetch_entity("USER", "a1")
        token = service.seen[0].headers["authorization"].removeprefix("Bearer ")
    for text in (repr(notebook.sent), repr(notebook.exchanges), str(caught.value.sentence)):
        assert token not in text
        assert token.split(".")[2] not in text


def oauth(
    url: str, key: str, client_id: str, notebook: MemoryRecorder | None = None, **over: Any
) -> IdentityConnector:
    credentials = {"client_id": client_id, "signing_key": key}
    return identity(url, notebook, authentication={**OAUTH, **over}, credentials=credentials, deadline=60.0)


@pytest.mark.parametrize("algorithm", ["RS256", "EdDSA"])
def test_a_client_proves_itself_by_an_assertion(algorithm: str) -> None:
    key, public = make_key(algorithm)
    server = AssertionServer(public, algorithm, f"client {next(_clients)}")
    over = {
        "algorithm": algorithm,
        "scope": "read write",
        "audience": "https://api.example.com",
        "resource": "https://shop.example.com/api",
        "parameters": {"account_id": "4711"},
    }
    notebook = MemoryRecorder()
    with serving(server) as service:
        server.audience = f"{service.url}/oauth/token"
        for _ in range(2):
            assert oauth(service.url, key, server.client_id, notebook, **over).fetch_entity("USER", "a1")
        form = server.forms[0]
        assert (form["scope"], form["audience"], form["resource"]) == (
            "read write",
            "https://api.example.com",
            "https://shop.example.com/api",
        )
        assert (form["account_id"], form["grant_type"]) == ("4711", "client_credentials")
        assert len(server.forms) == 1, "the token is kept"
        oauth(service.url, key, server.client_id, notebook, **over).renew_credentials()
    assert len({claims["jti"] for claims in server.assertions}) == 2
    assert form["client_assertion"] not in repr(notebook.sent) + repr(notebook.exchanges)


def test_an_assertion_may_have_further_claims() -> None:
    """NetSuite reads the scope from the assertion, and from nowhere else."""
    key, public = make_key("ES256")
    server = AssertionServer(public, "ES256", f"client {next(_clients)}")
    with serving(server) as service:
        server.audience = f"{service.url}/oauth/token"
        for scope in ("rest_webservices", "restlets"):
            over = {"algorithm": "ES256", "claims": {"scope": scope}}
            assert oauth(service.url, key, server.client_id, **over).fetch_entity("USER", "a1")
    assert [claims["scope"] for claims in server.assertions] == ["rest_webservices", "restlets"]
    assert "scope" not in server.forms[0]


def test_an_assertion_for_another_audience_or_by_another_key_is_refused() -> None:
    key, public = make_key("ES256")
    other_key, _ = make_key("ES256")
    server = AssertionServer(
        public, "ES256", f"client {next(_clients)}", audience="https://login.example.com"
    )
    with serving(server) as service:
        for own_key, over in (
            (key, {"algorithm": "ES256"}),
            (other_key, {"algorithm": "ES256", "assertion_audience": "https://login.example.com"}),
        ):
            with pytest.raises(CredentialsRefused):
                oauth(service.url, own_key, server.client_id, **over).fetch_entity("USER", "a1")
        over = {"algorithm": "ES256", "assertion_audience": "https://login.example.com"}
        assert oauth(service.url, key, server.client_id, **over).fetch_entity("USER", "a1") is not None


def test_clients_that_ask_for_something_else_share_no_token() -> None:
    key, public = make_key("ES256")
    server = AssertionServer(public, "ES256", f"client {next(_clients)}")
    with serving(server) as service:
        server.audience = f"{service.url}/oauth/token"
        for audience in ("https://a.example.com", "https://b.example.com"):
            oauth(
                service.url, key, server.client_id, algorithm="ES256", audience=audience
            ).renew_credentials()
            assert oauth(
                service.url, key, server.client_id, algorithm="ES256", audience=audience
            ).fetch_entity("USER", "a1")
    assert [form["audience"] for form in server.forms] == ["https://a.example.com", "https://b.example.com"]


def test_the_credentials_of_a_client_depend_on_how_it_proves_itself() -> None:
    assert credential_names(OAUTH) == ("client_id", "signing_key")
    for how in ("basic", "post", "body"):
        assert credential_names({**OAUTH, "client_authentication": how}) == ("client_id", "client_secret")
    assert credential_names({"scheme": "jwt"}) == ("signing_key",)
    assert credential_names({"scheme": "session"}) == ("username", "password")
    assert credential_names(["session"]) == ()
