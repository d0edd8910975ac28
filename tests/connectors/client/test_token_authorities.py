"""Which authorities vouch for a token endpoint: the public ones, or those of `token_ca`; never those of the system."""

from pathlib import Path
from typing import Any

import pytest

from config_schema.errors import SettingsInvalid
from connectors.auth import refresh_tokens
from connectors.auth.refresh_tokens import MemoryRefreshTokens
from connectors.contracts.errors import SystemUnavailable
from connectors.contracts.types import TargetConnector
from connectors.registry import validate_connection
from tests.support.http.client_certificates import Authority
from tests.support.http.connectors import shop, shop_settings
from tests.support.http.servers import Reply, SeenRequest, serving

pytestmark = [pytest.mark.pure, pytest.mark.concurrent]
SYSTEMS = Authority("Systems")
TOKENS = Authority("Tokens")
GRANTS: list[dict[str, Any]] = [
    {"scheme": "oauth2-client-credentials"},
    {"scheme": "oauth2-refresh-token"},
]


def give_token(_: SeenRequest) -> Reply:
    return Reply(200, {"access_token": "fresh", "token_type": "Bearer"})


def require_token(seen: SeenRequest) -> Reply:
    return Reply(200 if seen.headers.get("authorization") == "Bearer fresh" else 401, {"id": "1"})


def connect(system: str, tokens: str, name: str, **authentication: Any) -> TargetConnector:
    document = {"scheme": "oauth2-client-credentials", "token_url": f"{tokens}/token"} | authentication
    return shop(
        system,
        authentication=document,
        # Another client for each test, since processes share tokens.
        credentials={"client_id": name, "client_secret": "s3cret-of-client", "refresh_token": name},
        settings=shop_settings() | {"ca": SYSTEMS.pem},
        deadline=60.0,
    )


@pytest.mark.parametrize("grant", GRANTS, ids=lambda grant: grant["scheme"])
def test_token_ca_names_the_authorities_of_a_token_endpoint_elsewhere(
    tmp_path: Path, grant: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(refresh_tokens, "_store", MemoryRefreshTokens())
    with (
        serving(give_token, TOKENS.server_context(tmp_path)) as tokens,
        serving(require_token, SYSTEMS.server_context(tmp_path)) as system,
    ):
        connector = connect(system.url, tokens.url, grant["scheme"], token_ca=TOKENS.pem, **grant)
        assert connector.get_record("USER", "1") is not None


@pytest.mark.parametrize("token_ca", [{}, {"token_ca": SYSTEMS.pem}], ids=["public", "other"])
def test_the_authorities_of_the_system_do_not_vouch_for_the_token_endpoint(
    tmp_path: Path, token_ca: dict[str, str]
) -> None:
    authority = TOKENS if token_ca else SYSTEMS
    with (
        serving(give_token, authority.server_context(tmp_path)) as tokens,
        serving(require_token, SYSTEMS.server_context(tmp_path)) as system,
    ):
        connector = connect(system.url, tokens.url, f"untrusted-{len(token_ca)}", **token_ca)
        with pytest.raises(SystemUnavailable, match="POST /token: the certificate is not trusted"):
            connector.get_record("USER", "1")
        assert (tokens.seen, system.seen) == ([], [])


def test_a_token_is_not_shared_with_a_connection_that_trusts_other_authorities(tmp_path: Path) -> None:
    with (
        serving(give_token, TOKENS.server_context(tmp_path)) as tokens,
        serving(require_token, SYSTEMS.server_context(tmp_path)) as system,
    ):
        assert connect(system.url, tokens.url, "shared", token_ca=TOKENS.pem).get_record("USER", "1")
        with pytest.raises(SystemUnavailable, match="POST /token: the certificate is not trusted"):
            connect(system.url, tokens.url, "shared").get_record("USER", "1")


def test_the_authorities_of_the_token_endpoint_do_not_vouch_for_the_system(tmp_path: Path) -> None:
    with (
        serving(give_token, TOKENS.server_context(tmp_path)) as tokens,
        serving(require_token, TOKENS.server_context(tmp_path)) as system,
    ):
        connector = connect(system.url, tokens.url, "one-way", token_ca=TOKENS.pem)
        with pytest.raises(SystemUnavailable, match="the certificate is not trusted"):
            connector.get_record("USER", "1")


@pytest.mark.parametrize(
    "document",
    [
        {"token_ca": SYSTEMS.pem},
        {"token_ca": SYSTEMS.pem, "token_url": "https://shop.test/token"},
        {"token_ca": "no certificate", "token_url": "https://login.test/token"},
    ],
    ids=["own-origin", "same-origin", "unreadable"],
)
def test_token_ca_that_would_have_no_effect_is_refused(document: dict[str, str]) -> None:
    authentication = {"scheme": "oauth2-client-credentials"} | document
    with pytest.raises(SettingsInvalid) as caught:
        validate_connection("rest-target", shop_settings(), authentication, "https://shop.test")
    assert caught.value.pointer == "/authentication/token_ca"
