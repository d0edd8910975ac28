"""Schemes that fetch an access token (OAuth 2.0). Pure."""

import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, ClassVar

from config_schema.declared import nullable, setting
from config_schema.errors import SettingsInvalid
from config_schema.kinds import Choice, Text
from config_schema.objects import MapOf
from config_schema.rules import AnyOf, Given, Is, Requires, Rule, Stated
from connectors.http.urls import BaseUrl, parse_base_url
from connectors.settings.schemes.base import TokenAuthentication
from connectors.settings.setting_kinds import BaseAddress, Certificates, PlainPath
from connectors.settings.shared_settings import EXAMPLE_CERTIFICATE
from connectors.settings.signed_token import ASYMMETRIC, SignedToken, claims_kind

MAX_PARAMETERS = 20
# The hub sets these parameters of a token request itself.
_OWN_PARAMETERS = (
    "assertion|audience|client_assertion|client_assertion_type|client_id|client_secret|grant_type|password|"
    "refresh_token|resource|scope"
)
_PARAMETER = re.compile(rf"(?!(?:{_OWN_PARAMETERS})$)[A-Za-z0-9_.:-]{{1,64}}", re.ASCII)


class OAuth(TokenAuthentication):
    """Settings of a scheme that fetches an access token (OAuth 2.0)."""

    grant_type: ClassVar[str]

    token_url: str | None = nullable(
        BaseAddress(),
        "The address of the token endpoint, if it has another origin than the base URL. It replaces `token_path`.",
        example="https://login.example.com/oauth/token",
    )
    token_path: str = setting(
        PlainPath(),
        "The path of the token endpoint at the origin of the base URL. The path of the base URL is ignored.",
        default="/oauth/token",
        example="/oauth2/v1/token",
    )
    token_ca: str | None = nullable(
        Certificates(),
        "Certificates of the authorities to trust for the token endpoint at `token_url`, instead of the public ones. "
        "`ca` of the settings is for the system alone.",
        example=EXAMPLE_CERTIFICATE,
    )
    scope: str | None = nullable(
        Text(), "The scopes to ask for, separated by spaces.", example="customers.read customers.write"
    )
    audience: str | None = nullable(
        Text(), "The audience to ask for, which some services require.", example="https://api.example.com"
    )
    resource: str | None = nullable(
        Text(), "The resource to ask a token for (RFC 8707).", example="https://shop.example.com/api"
    )
    parameters: Mapping[str, str] = setting(
        MapOf(
            Text(),
            "NAME",
            0,
            MAX_PARAMETERS,
            _PARAMETER,
            "This is not the name of a parameter that can be set.",
            noun="parameters",
        ),
        "Additional parameters of the token request. Do not enter secrets here: the JSON is not encrypted.",
        default={},
        example={"account_id": "4711"},
    )

    rules: ClassVar[tuple[Rule, ...]] = (
        *TokenAuthentication.rules,
        Requires(
            sentence="`token_ca` needs `token_url` with another origin than the base URL.",
            when=Given("token_ca"),
            then=Given("token_url"),
            at="token_ca",
        ),
    )

    @property
    def token_parameters(self) -> dict[str, str]:
        """Return the parameters of a token request that do not depend on the credentials."""
        named = {"scope": self.scope, "audience": self.audience, "resource": self.resource}
        return {**self.parameters, **{name: value for name, value in named.items() if value}}

    @property
    def assertion(self) -> SignedToken | None:
        """Return the settings of the assertion that a token request has; None if it has none."""
        return None

    def assertion_claims(self, client_id: str, endpoint: str) -> dict[str, Any]:
        """Return the claims by which an assertion for the token endpoint names the client."""
        return {}

    def token_endpoint(self, base: BaseUrl) -> BaseUrl:
        """Return the address of the token endpoint. Unlike a base URL, it is a complete address: it keeps its path, and
        a slash at its end.
        """
        url = base.origin + self.token_path if self.token_url is None else self.token_url
        address = parse_base_url(url)
        has_slash = url.endswith("/") or not address.prefix
        return replace(address, prefix=f"{address.prefix}/") if has_slash else address

    def endpoints(self, base: BaseUrl) -> tuple[BaseUrl, ...]:
        return (base, self.token_endpoint(base))

    def check_addresses(self, base: BaseUrl) -> None:
        super().check_addresses(base)
        if self.token_ca is not None and self.token_endpoint(base).origin == base.origin:
            raise SettingsInvalid(
                ("authentication", "token_ca"),
                "The token endpoint has the origin of the base URL, whose authorities are named in “ca” of the "
                "settings.",
            )


class OAuthClient(OAuth):
    """Settings of a scheme whose token requests prove who the client is."""

    client_authentication: str = setting(
        Choice(("basic", "post")),
        "How the client authenticates the token request: with its secret in the `Authorization` header (`basic`) "
        "or in the body (`post`).",
        default="basic",
        example="post",
    )


# Needed by the client authentication `private_key_jwt` alone.
_ASSERTION_SETTINGS = ("algorithm", "key_id", "claims", "lifetime", "assertion_audience")


class ClientCredentials(SignedToken, OAuthClient):
    scheme = "oauth2-client-credentials"
    meaning = (
        "The hub fetches an access token (RFC 6749, client credentials), keeps it until it expires, and sends it as a "
        "bearer token."
    )
    example = {"token_path": "/oauth2/token"}
    credentials = ("client_id", "client_secret", "signing_key")
    grant_type = "client_credentials"

    client_authentication: str = setting(
        Choice(("basic", "post", "body", "private_key_jwt", "tls_client_auth")),
        "How the client authenticates the token request: with its secret in the `Authorization` header (`basic`) or "
        "in the body (`post`, or its alias `body`), with an assertion signed with its private key "
        "(`private_key_jwt`, RFC 7523), or with the client certificate (`tls_client_auth`, RFC 8705).",
        default="basic",
        example="private_key_jwt",
    )
    algorithm: str = setting(
        Choice(ASYMMETRIC),
        "With `private_key_jwt`: how the assertion is signed. The private key, in PEM, must match it.",
        default="RS256",
        example="ES256",
    )
    claims: Mapping[str, Any] = setting(
        claims_kind("iss", "sub", "aud"),
        "With `private_key_jwt`: additional claims of the assertion. The hub sets `iss`, `sub`, `aud`, `iat`, "
        "`exp` and `jti`.",
        default={},
        example={"scope": "rest_webservices"},
    )
    assertion_audience: str | None = nullable(
        Text(),
        "With `private_key_jwt`: the audience (`aud`) of the assertion. Without it: the address of the token endpoint.",
        example="https://login.example.com",
    )

    rules = (
        *OAuth.rules,
        Requires(
            sentence="`algorithm`, `key_id`, `claims`, `lifetime` and `assertion_audience` need `private_key_jwt`.",
            when=AnyOf(*map(Stated, _ASSERTION_SETTINGS)),
            then=Is("client_authentication", "private_key_jwt"),
            at=_ASSERTION_SETTINGS,
        ),
        Requires(
            sentence="`tls_client_auth` needs `client_certificate`.",
            when=Is("client_authentication", "tls_client_auth"),
            then=Is("client_certificate", True),
            at="client_authentication",
        ),
    )

    @classmethod
    def needed_credentials(cls, document: Mapping[str, Any]) -> tuple[str, ...]:
        own = {"private_key_jwt": ("signing_key",), "tls_client_auth": ()}
        authentication = str(document.get("client_authentication", "basic"))
        is_known = authentication in cls.settings["client_authentication"].kind.choices
        return ("client_id", *own.get(authentication, ("client_secret",))) if is_known else ()

    @property
    def assertion(self) -> SignedToken | None:
        return self if self.client_authentication == "private_key_jwt" else None

    def assertion_claims(self, client_id: str, endpoint: str) -> dict[str, Any]:
        # RFC 7523, 3: the client is both issuer and subject.
        return {"iss": client_id, "sub": client_id, "aud": self.assertion_audience or endpoint}


class RefreshToken(OAuthClient):
    scheme = "oauth2-refresh-token"
    meaning = (
        "The hub fetches an access token with a refresh token (RFC 6749, section 6), keeps it until it expires, and "
        "sends it as a bearer token. A refresh token in the response replaces the one of the credentials: the hub "
        "stores it encrypted, and one process refreshes at a time. If the hub is killed between the response and the "
        "commit, and the system accepts each refresh token only once, a person has to enter a new one. If the stored "
        "token cannot be decrypted, nothing is sent: the delivery fails as with refused credentials, and is retried. "
        "Add its key to `SEALING_KEYS` again, or enter a new refresh token."
    )
    example = {
        "token_url": "https://accounts.example.com/oauth/v2/token",
        "client_authentication": "post",
        "template": "Zoho-oauthtoken {token}",
    }
    credentials = ("client_id", "client_secret", "refresh_token")
    grant_type = "refresh_token"


class JwtBearer(SignedToken, OAuth):
    scheme = "oauth2-jwt-bearer"
    meaning = (
        "The hub fetches an access token with an assertion signed with its private key (RFC 7523, section 2.1), as a "
        "Google service account does, keeps it until it expires, and sends it as a bearer token. The client id is the "
        "issuer (`iss`) of the assertion, and its subject (`sub`) unless `claims` names another."
    )
    example = {
        "token_url": "https://oauth2.example.com/token",
        "claims": {"sub": "admin@example.com", "scope": "directory.readonly"},
    }
    credentials = ("client_id", "signing_key")
    grant_type = "urn:ietf:params:oauth:grant-type:jwt-bearer"

    @property
    def assertion(self) -> SignedToken:
        return self

    def assertion_claims(self, client_id: str, endpoint: str) -> dict[str, Any]:
        return {"sub": client_id, "aud": endpoint, **self.claims, "iss": client_id}
