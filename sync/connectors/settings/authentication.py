"""Settings of authentication: a class for each scheme, which says what its requests send. Pure."""

import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, ClassVar

from config_schema.declared import Declared, nullable, setting
from config_schema.errors import SettingsInvalid
from config_schema.kinds import Boolean, Choice, Text
from config_schema.objects import MapOf, VariantObject
from config_schema.rules import AnyOf, CodeRule, Fault, Given, Is, NamedValues, Requires, Rule, Stated
from config_schema.settings import defaulted
from config_schema.translatable import translatable
from sync.connectors.http.urls import BaseUrl, parse_base_url
from sync.connectors.settings.credentials import (
    CERTIFICATE_CREDENTIALS,
    CREDENTIALS,
    PARAMETER_NAME,
    Credentials,
    SecondSecret,
    SecretPlace,
    basic_authorization,
)
from sync.connectors.settings.csrf import CsrfSettings
from sync.connectors.settings.session import SessionSettings
from sync.connectors.settings.setting_kinds import BaseAddress, Certificates, HeaderName, PlainPath
from sync.connectors.settings.shared_settings import EXAMPLE_CERTIFICATE
from sync.connectors.settings.signed_token import ASYMMETRIC, SignedToken, Template, claims_kind
from sync.connectors.values.header_template import HeaderTemplate

MAX_PARAMETERS = 20


class Authentication(Declared):
    """Settings of a scheme: what all schemes have. `credentials` are the names of those that a scheme may need.
    `meaning` and `example`, the other settings of an example, explain it.
    """

    scheme: ClassVar[str]
    meaning: ClassVar[str]
    example: ClassVar[Mapping[str, Any]] = {}
    credentials: ClassVar[tuple[str, ...]] = ()

    csrf: CsrfSettings | None = setting(
        CsrfSettings.kind,
        "A CSRF token that the system requires with each write (SAP OData, Jenkins, Drupal). The hub fetches it "
        "with the same credentials, and sends it with the cookies of that response until it is refused.",
        default=None,
        example={"path": "/odata/v2/"},
    )
    client_certificate: bool = setting(
        Boolean(),
        "True if the hub presents a client certificate in TLS (mutual TLS, RFC 8705): to the origin of the base URL "
        "and, with OAuth 2, to that of the token endpoint. Both must begin with `https`.",
        default=False,
        example=True,
    )

    @classmethod
    def needed_credentials(cls, document: Mapping[str, Any]) -> tuple[str, ...]:
        """Return the names of the credentials of the scheme that its settings ask for."""
        return cls.credentials

    @property
    def credential_names(self) -> tuple[str, ...]:
        """Return the names of all credentials that these settings need."""
        return credential_names(AUTHENTICATION.to_json(self))

    @property
    def secret_header(self) -> str:
        """Return the header that holds the secret."""
        return "Authorization"

    @property
    def secret_places(self) -> tuple[SecretPlace, ...]:
        """Return the places of secrets outside that header."""
        return ()

    def fixed_headers(self, held: Credentials) -> dict[str, str]:
        """Return the headers that are the same in each request."""
        return {}

    def endpoints(self, base: BaseUrl) -> tuple[BaseUrl, ...]:
        """Return the addresses that get credentials, of a connection with this base URL."""
        return (base,)

    def check_addresses(self, base: BaseUrl) -> None:
        """Raise SettingsInvalid if the settings do not fit the base URL of their connection."""
        if self.client_certificate and any(url.scheme != "https" for url in self.endpoints(base)):
            raise SettingsInvalid(
                ("authentication", "client_certificate"),
                "A client certificate needs addresses that begin with https://.",
            )


def _find_shared_place(values: NamedValues) -> Fault | None:
    """Find a secret that is sent in the same header or parameter as another."""
    given = values.values
    header = "cookie" if given.get("cookie") else given.get("header", "Authorization").lower()
    taken, headers = {("header", header), ("query", given.get("parameter", "").lower())}, {header}
    if (second := given["second"]) is not None:
        name = second.place.name.lower()
        if (second.place.kind, name) in taken:
            return "second", translatable("The first secret is sent in the same place.")
        headers |= {name} if second.header else set()
    if given["csrf"] is not None and given["csrf"].header.lower() in headers:
        return "csrf", translatable("Another secret is sent in the same header.")
    return None


class SecretAuthentication(Authentication):
    """Settings of a scheme that sends a secret, and may send a second one."""

    second: SecondSecret | None = setting(
        SecondSecret.kind,
        "A second secret that every request to the origin of the base URL also sends, including a log-in: the "
        "key of an application, or of a gateway in front of the system.",
        default=None,
        example={"header": "App-Token"},
    )

    rules: ClassVar[tuple[Rule, ...]] = (
        CodeRule(
            sentence="The secrets and the CSRF token are sent in different headers and parameters.",
            find_fault=_find_shared_place,
        ),
    )

    @property
    def secret_places(self) -> tuple[SecretPlace, ...]:
        return () if self.second is None else (self.second.place,)


class NoAuthentication(Authentication):
    scheme = "none"
    meaning = translatable("Requests have no credentials, unless TLS presents a client certificate.")

    rules = (
        Requires(
            sentence="`csrf` needs `client_certificate`.",
            when=Given("csrf"),
            then=Is("client_certificate", True),
            at="csrf",
        ),
    )


class BasicAuthentication(SecretAuthentication):
    scheme = "basic"
    meaning = translatable("Each request has a user name and a password (RFC 7617).")
    credentials = ("username", "password")

    def fixed_headers(self, held: Credentials) -> dict[str, str]:
        return {"Authorization": basic_authorization(held["username"], held["password"])}


class BearerAuthentication(SecretAuthentication):
    scheme = "bearer"
    meaning = translatable("Each request has a token (RFC 6750).")
    credentials = ("token",)

    def fixed_headers(self, held: Credentials) -> dict[str, str]:
        return {"Authorization": f"Bearer {held['token']}"}


class HeaderAuthentication(SecretAuthentication):
    scheme = "header"
    meaning = translatable("Each request has a secret in a separate header.")
    example = {"header": "X-Api-Key"}
    credentials = ("value",)

    header: str = setting(
        HeaderName("authorization"), "The header that holds the secret.", example="X-Api-Key"
    )

    @property
    def secret_header(self) -> str:
        return self.header

    def fixed_headers(self, held: Credentials) -> dict[str, str]:
        return {self.header: held["value"]}


class ParameterAuthentication(SecretAuthentication):
    scheme = "parameter"
    meaning = translatable(
        "Each request has a secret in a query parameter, or in a field of its body. Only for a system "
        "that accepts it nowhere else."
    )
    example = {"parameter": "wstoken", "in": "body"}
    credentials = ("parameter_value",)

    parameter: str = setting(
        PARAMETER_NAME, "The name of the parameter that holds the secret.", example="wstoken"
    )
    place: str = setting(
        Choice(("query", "body")),
        "Where the parameter is. `query`: in the address of each request. `body`: in a field of the form or JSON "
        "object that a request sends; a request without a body has it in its address. Prefer `body`: addresses "
        "appear in the logs of other systems.",
        name="in",
        default="query",
        example="body",
    )

    @property
    def secret_places(self) -> tuple[SecretPlace, ...]:
        return (SecretPlace(self.place, self.parameter, "parameter_value"), *super().secret_places)


class OAuth1Authentication(SecretAuthentication):
    scheme = "oauth1"
    meaning = translatable(
        "Each request is signed (OAuth 1.0a, RFC 5849) with a consumer key and secret and a token and its secret, "
        "which a person creates in the system. The signature covers method, address, query and form fields, and "
        "has a time and a nonce for each request: the clocks of both systems must agree."
    )
    example = {"algorithm": "HMAC-SHA256", "realm": "1234567"}
    credentials = ("consumer_key", "consumer_secret", "token", "token_secret")

    algorithm: str = setting(
        Choice(("HMAC-SHA256", "HMAC-SHA512", "HMAC-SHA1")),
        "The signature method. `HMAC-SHA1`, the one that RFC 5849 describes, is for systems that know no other.",
        default="HMAC-SHA256",
        example="HMAC-SHA1",
    )
    realm: str | None = nullable(
        Text(
            re.compile(r"[\x20-\x21\x23-\x5b\x5d-\x7e]{1,128}", re.ASCII),
            translatable("1 to 128 printable ASCII characters without quotation marks and backslashes"),
            translatable("This is not a realm."),
        ),
        "The realm that the header names, where the system wants one: the account id of NetSuite, such as "
        "`1234567_SB1`.",
        example="1234567_SB1",
    )
    consumer_only: bool = setting(
        Boolean(),
        "True if the system issues no token, so that the key and the secret of the consumer alone sign requests.",
        default=False,
        example=True,
    )

    @classmethod
    def needed_credentials(cls, document: Mapping[str, Any]) -> tuple[str, ...]:
        return cls.credentials[:2] if document.get("consumer_only") is True else cls.credentials


class TokenAuthentication(SecretAuthentication):
    """Settings of a scheme that sends a token in a header."""

    header: str = setting(
        HeaderName("authorization"),
        "The header that holds the token.",
        default="Authorization",
        example="Authorization",
    )
    template: HeaderTemplate = setting(
        Template(),
        "The value of that header. `{token}` stands for the token, `{base64:…}` for the base64 encoding of "
        "its contents.",
        default="Bearer {token}",
        example="Ghost {token}",
    )

    @property
    def secret_header(self) -> str:
        return self.header


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
            translatable("This is not the name of a parameter that can be set."),
            noun=translatable("parameters"),
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


# Needed by the client authentication `private_key_jwt` alone.
_ASSERTION_SETTINGS = ("algorithm", "key_id", "claims", "lifetime", "assertion_audience")
_IS_SIGNED = Is("client_authentication", "private_key_jwt")


class OAuthClient(OAuth):
    """Settings of a scheme whose token requests prove who the client is."""

    client_authentication: str = setting(
        Choice(("basic", "post")),
        "How the client authenticates the token request: with its secret in the `Authorization` header (`basic`) "
        "or in the body (`post`).",
        default="basic",
        example="post",
    )


class ClientCredentials(SignedToken, OAuthClient):
    scheme = "oauth2-client-credentials"
    meaning = translatable(
        "The hub fetches an access token (RFC 6749, client credentials), keeps it until it expires, and "
        "sends it as a bearer token."
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
            then=_IS_SIGNED,
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
    meaning = translatable(
        "The hub fetches an access token with a refresh token (RFC 6749, section 6), keeps it until it "
        "expires, and sends it as a bearer token. A refresh token in the response replaces the one of "
        "the credentials: the hub stores it encrypted, and one process refreshes at a time. If the hub "
        "is killed between the response and the commit, and the system accepts each refresh token only "
        "once, a person has to enter a new one. If the stored token cannot be decrypted, nothing is "
        "sent: the delivery fails as with refused credentials, and is retried. Add its key to "
        "`SEALING_KEYS` again, or enter a new refresh token."
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
    meaning = translatable(
        "The hub fetches an access token with an assertion signed with its private key (RFC 7523, "
        "section 2.1), as a Google service account does, keeps it until it expires, and sends it as a "
        "bearer token. The client id is the issuer (`iss`) of the assertion, and its subject (`sub`) "
        "unless `claims` names another."
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


class SessionAuthentication(SessionSettings, SecretAuthentication):
    scheme = "session"
    meaning = translatable(
        "The hub logs in with a user name and a password, keeps the session until the system ends it, and sends "
        "its token with each request. A refused password is not tried again until the settings change or a "
        "person tests the connection, because systems lock users out."
    )
    example = {
        "log_in": {
            "path": "/login",
            "body": {"user": {"expression": "username"}, "password": {"expression": "password"}},
        },
        "token": {"path": "token"},
        "template": "Bearer {token}",
    }
    credentials = ("username", "password", "client_id", "client_secret")

    rules = (*SecretAuthentication.rules, *SessionSettings.rules)

    @classmethod
    def needed_credentials(cls, document: Mapping[str, Any]) -> tuple[str, ...]:
        log_in = document.get("log_in")
        has_client = isinstance(log_in, Mapping) and log_in.get("client")
        return cls.credentials if has_client else cls.credentials[:2]

    @property
    def secret_header(self) -> str:
        return self.header if self.cookie is None else "Cookie"


class SignedTokenAuthentication(SignedToken, TokenAuthentication):
    scheme = "jwt"
    meaning = translatable("The hub signs a token for each request (RFC 7519).")
    example = {"algorithm": "ES256", "claims": {"iss": "hub"}, "lifetime": 60}
    credentials = ("signing_key",)

    algorithm: str = setting(
        Choice(("HS256", *ASYMMETRIC)),
        "How tokens are signed: `HS256` with a shared secret of at least 32 bytes, the others with a private key in "
        "PEM.",
        default="HS256",
        example="ES256",
    )
    encoding: str = setting(
        Choice(("text", "base64", "hex")),
        "How the shared secret of `HS256` is encoded.",
        default="text",
        example="hex",
    )
    claims: Mapping[str, Any] = setting(
        claims_kind(),
        "The claims of the token, in addition to `iat`, `exp` and `jti`, which the hub sets.",
        default={},
        example={"iss": "hub", "aud": "https://shop.example.com"},
    )

    rules = (
        *TokenAuthentication.rules,
        Requires(
            sentence="`encoding` other than `text` needs `HS256`.",
            when=Is("encoding", "base64", "hex"),
            then=Is("algorithm", "HS256"),
            at="encoding",
        ),
    )


_CLASSES: Mapping[str, type[Authentication]] = {
    cls.scheme: cls
    for cls in (
        NoAuthentication,
        BasicAuthentication,
        BearerAuthentication,
        HeaderAuthentication,
        ParameterAuthentication,
        OAuth1Authentication,
        ClientCredentials,
        RefreshToken,
        JwtBearer,
        SessionAuthentication,
        SignedTokenAuthentication,
    )
}
# The credentials of each scheme. A scheme may need fewer of them: see `credential_names`.
SCHEMES: Mapping[str, tuple[str, ...]] = {
    name: (
        *cls.credentials,
        *(("second_value",) if issubclass(cls, SecretAuthentication) else ()),
        *CERTIFICATE_CREDENTIALS,
    )
    for name, cls in _CLASSES.items()
}
AUTHENTICATION: VariantObject[Authentication] = VariantObject(
    defaulted("scheme", Choice(tuple(_CLASSES)), "none", "How requests are authenticated.", example="bearer"),
    {name: cls.variant(cls.meaning, {"scheme": name, **cls.example}) for name, cls in _CLASSES.items()},
    hints=dict.fromkeys(
        CREDENTIALS,
        translatable("This is a credential. Enter it in its own field, where it is stored encrypted."),
    ),
)


def credential_names(document: Any) -> tuple[str, ...]:
    """Return the names of the credentials that authentication settings need; none if they are not valid."""
    if not isinstance(document, Mapping):
        return ()
    scheme = _CLASSES.get(str(document.get("scheme", "none")))
    if scheme is None:
        return ()
    names = scheme.needed_credentials(document)
    if names and document.get("second"):
        names = (*names, "second_value")
    return (*names, *CERTIFICATE_CREDENTIALS) if document.get("client_certificate") is True else names


def parse_authentication(document: Any, base: BaseUrl) -> Authentication:
    """Parse `{"scheme": …}` for a connection with this base URL. Raises SettingsInvalid."""
    scheme = AUTHENTICATION.read(document, ("authentication",))
    scheme.check_addresses(base)
    return scheme
