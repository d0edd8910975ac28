"""Credentials, and the settings of the authentication that uses them. Pure."""

import re
from base64 import b64encode
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from config_schema.kinds import Boolean, Choice, JsonSchema, Text
from config_schema.objects import MapOf, ObjectRule, Variant, VariantObject
from config_schema.settings import SettingValues, defaulted, optional, required
from config_schema.translatable import error_sentence, translatable
from sync.connectors.http.urls import BaseUrl, parse_base_url
from sync.connectors.settings.csrf import CSRF, CsrfSettings
from sync.connectors.settings.secret_places import PARAMETER, PARAMETER_IN, SECOND, SecretPlace
from sync.connectors.settings.session import SESSION_RULES, SESSION_SETTINGS, SessionSettings, read_session
from sync.connectors.settings.setting_kinds import BaseAddress, Certificates, HeaderName, PlainPath
from sync.connectors.settings.shared_settings import EXAMPLE_CERTIFICATE
from sync.connectors.settings.signed_token import (
    ASSERTION_ALGORITHM,
    ASSERTION_AUDIENCE,
    ASSERTION_CLAIMS,
    ASYMMETRIC_ALGORITHM,
    CLIENT_CLAIMS,
    KEY_ID,
    LIFETIME,
    TOKEN_HEADER,
    TOKEN_SETTINGS,
    TOKEN_TEMPLATE,
    SignedTokenSettings,
    read_signed_token,
)
from sync.connectors.values.header_template import HeaderTemplate


@dataclass(frozen=True, slots=True)
class Credential:
    """A secret or name that an authentication needs. It is entered in a field of its own and stored encrypted."""

    meaning: str
    is_secret: bool = True


CREDENTIALS: Mapping[str, Credential] = {
    "username": Credential("The user name. It is not hidden in responses of the system.", is_secret=False),
    "password": Credential("The password."),
    "token": Credential("The token, without the word `Bearer`."),
    "value": Credential("The value of the header."),
    "parameter_value": Credential("The value of the parameter."),
    "client_id": Credential(
        "The id of the client. It is not hidden in responses of the system.", is_secret=False
    ),
    "client_secret": Credential("The secret of the client."),
    "refresh_token": Credential("The refresh token that a user of the system granted to the client."),
    "consumer_key": Credential(
        "The consumer key. It is not hidden in responses of the system.", is_secret=False
    ),
    "consumer_secret": Credential("The consumer secret."),
    "token_secret": Credential("The token secret."),
    "signing_key": Credential(
        "The key that signs tokens: a private key in PEM, with its line breaks, or a shared secret."
    ),
    "second_value": Credential("The second secret, if the authentication has `second`."),
    "client_certificate": Credential(
        "The client certificate in PEM, with its line breaks, followed by the certificates of its authorities, if "
        "the authentication has `client_certificate`. It is not hidden in responses of the system.",
        is_secret=False,
    ),
    "client_key": Credential(
        "The private key of the client certificate, in PEM, with its line breaks and not encrypted."
    ),
}

CERTIFICATE_CREDENTIALS = ("client_certificate", "client_key")
# Credentials of all schemes, which only a setting of this name asks for.
SETTING_OF_CREDENTIAL: Mapping[str, str] = {
    "second_value": "second",
    **dict.fromkeys(CERTIFICATE_CREDENTIALS, "client_certificate"),
}

# Credentials of schemes that a setting of the authentication asks for: see `SETTING_OF_CREDENTIAL`.
_FURTHER = ("second_value", *CERTIFICATE_CREDENTIALS)
# The credentials of each scheme. A scheme may need fewer of them: see `credential_names`.
SCHEMES: Mapping[str, tuple[str, ...]] = {
    "none": CERTIFICATE_CREDENTIALS,
    "basic": ("username", "password", *_FURTHER),
    "bearer": ("token", *_FURTHER),
    "header": ("value", *_FURTHER),
    "parameter": ("parameter_value", *_FURTHER),
    "oauth1": ("consumer_key", "consumer_secret", "token", "token_secret", *_FURTHER),
    "oauth2-client-credentials": ("client_id", "client_secret", "signing_key", *_FURTHER),
    "oauth2-refresh-token": ("client_id", "client_secret", "refresh_token", *_FURTHER),
    "oauth2-jwt-bearer": ("client_id", "signing_key", *_FURTHER),
    "session": ("username", "password", "client_id", "client_secret", *_FURTHER),
    "jwt": ("signing_key", *_FURTHER),
}
# Of the scheme `oauth2-client-credentials`, by client authentication. `body` is another word for `post`.
_CLIENT_CREDENTIALS: Mapping[str, tuple[str, ...]] = {
    "basic": ("client_id", "client_secret"),
    "post": ("client_id", "client_secret"),
    "body": ("client_id", "client_secret"),
    "private_key_jwt": ("client_id", "signing_key"),
    "tls_client_auth": ("client_id",),
}
_GRANTS: Mapping[str, str] = {
    "oauth2-client-credentials": "client_credentials",
    "oauth2-refresh-token": "refresh_token",
    "oauth2-jwt-bearer": "urn:ietf:params:oauth:grant-type:jwt-bearer",
}
MAX_PARAMETERS = 20
# The hub sets these parameters of a token request itself.
_OWN_PARAMETERS = (
    "assertion",
    "audience",
    "client_assertion",
    "client_assertion_type",
    "client_id",
    "client_secret",
    "grant_type",
    "password",
    "refresh_token",
    "resource",
    "scope",
)
_PARAMETER = re.compile(rf"(?!(?:{'|'.join(_OWN_PARAMETERS)})$)[A-Za-z0-9_.:-]{{1,64}}", re.ASCII)

_SCHEME = defaulted(
    "scheme", Choice(tuple(SCHEMES)), "none", "How requests are authenticated.", example="bearer"
)
_HEADER = required(
    "header", HeaderName("authorization"), "The header that holds the secret.", example="X-Api-Key"
)
_OAUTH1_ALGORITHM = defaulted(
    "algorithm",
    Choice(("HMAC-SHA256", "HMAC-SHA512", "HMAC-SHA1")),
    "HMAC-SHA256",
    "The signature method. `HMAC-SHA1`, the one that RFC 5849 describes, is for systems that know no other.",
    example="HMAC-SHA1",
)
_REALM = optional(
    "realm",
    Text(
        re.compile(r"[\x20-\x21\x23-\x5b\x5d-\x7e]{1,128}", re.ASCII),
        translatable("1 to 128 printable ASCII characters without quotation marks and backslashes"),
        translatable("This is not a realm."),
    ),
    "The realm that the header names, where the system wants one: the account id of NetSuite, such as `1234567_SB1`.",
    example="1234567_SB1",
)
_CONSUMER_ONLY = defaulted(
    "consumer_only",
    Boolean(),
    False,
    "True if the system issues no token, so that the key and the secret of the consumer alone sign requests.",
    example=True,
)
_TOKEN_URL = optional(
    "token_url",
    BaseAddress(),
    "The address of the token endpoint, if it has another origin than the base URL. It replaces "
    "`token_path`.",
    example="https://login.example.com/oauth/token",
)
_TOKEN_PATH = defaulted(
    "token_path",
    PlainPath(),
    "/oauth/token",
    "The path of the token endpoint at the origin of the base URL. The path of the base URL is ignored.",
    example="/oauth2/v1/token",
)
_TOKEN_CA = optional(
    "token_ca",
    Certificates(),
    "Certificates of the authorities to trust for the token endpoint at `token_url`, instead of the public ones. "
    "`ca` of the settings is for the system alone.",
    example=EXAMPLE_CERTIFICATE,
)
_SCOPE = optional(
    "scope", Text(), "The scopes to ask for, separated by spaces.", example="customers.read customers.write"
)
_AUDIENCE = optional(
    "audience",
    Text(),
    "The audience to ask for, which some services require.",
    example="https://api.example.com",
)
_RESOURCE = optional(
    "resource",
    Text(),
    "The resource to ask a token for (RFC 8707).",
    example="https://shop.example.com/api",
)
_PARAMETERS = defaulted(
    "parameters",
    MapOf(
        Text(),
        "NAME",
        0,
        MAX_PARAMETERS,
        _PARAMETER,
        translatable("This is not the name of a parameter that can be set."),
        noun=translatable("parameters"),
    ),
    {},
    "Additional parameters of the token request. Do not enter secrets here: the JSON is not encrypted.",
    example={"account_id": "4711"},
)
_CLIENT_AUTHENTICATION = defaulted(
    "client_authentication",
    Choice(tuple(_CLIENT_CREDENTIALS)),
    "basic",
    "How the client authenticates the token request: with its secret in the `Authorization` header (`basic`) or in the "
    "body (`post`, or its alias `body`), with an assertion signed with its private key (`private_key_jwt`, RFC 7523), "
    "or with the client certificate (`tls_client_auth`, RFC 8705).",
    example="private_key_jwt",
)
_SECRET_AUTHENTICATION = defaulted(
    "client_authentication",
    Choice(("basic", "post")),
    "basic",
    "How the client authenticates the token request: with its secret in the `Authorization` header (`basic`) "
    "or in the body (`post`).",
    example="post",
)
_CLIENT_CERTIFICATE = defaulted(
    "client_certificate",
    Boolean(),
    False,
    "True if the hub presents a client certificate in TLS (mutual TLS, RFC 8705): to the origin of the base URL and, "
    "with OAuth 2, to that of the token endpoint. Both must begin with `https`.",
    example=True,
)
_COMMON_SETTINGS = (CSRF, SECOND, _CLIENT_CERTIFICATE)


def _need_certificate(condition: JsonSchema) -> JsonSchema:
    presented = {"properties": {"client_certificate": {"const": True}}, "required": ["client_certificate"]}
    return {"if": condition, "then": presented}


_TOKEN_REQUEST_SETTINGS = (_TOKEN_URL, _TOKEN_PATH, _TOKEN_CA, _SCOPE, _AUDIENCE, _RESOURCE, _PARAMETERS)
_ACCESS_TOKEN_SETTINGS = (TOKEN_HEADER, TOKEN_TEMPLATE, *_COMMON_SETTINGS)
_TOKEN_CA_RULE = ObjectRule(
    "`token_ca` needs `token_url` with another origin than the base URL.",
    {"if": {"required": ["token_ca"]}, "then": {"required": ["token_url"]}},
)
_OAUTH_RULES = (
    _TOKEN_CA_RULE,
    ObjectRule(
        "`algorithm`, `key_id`, `claims`, `lifetime` and `assertion_audience` need `private_key_jwt`.",
        {
            "if": {
                "anyOf": [
                    {"required": [setting.name]}
                    for setting in (ASYMMETRIC_ALGORITHM, KEY_ID, CLIENT_CLAIMS, LIFETIME, ASSERTION_AUDIENCE)
                ]
            },
            "then": {
                "properties": {"client_authentication": {"const": "private_key_jwt"}},
                "required": ["client_authentication"],
            },
        },
    ),
    ObjectRule(
        "`tls_client_auth` needs `client_certificate`.",
        _need_certificate(
            {
                "properties": {"client_authentication": {"const": "tls_client_auth"}},
                "required": ["client_authentication"],
            }
        ),
    ),
)

AUTHENTICATION = VariantObject(
    _SCHEME,
    {
        "none": Variant(
            "Requests have no credentials, unless TLS presents a client certificate.",
            {"scheme": "none"},
            (CSRF, _CLIENT_CERTIFICATE),
            (ObjectRule("`csrf` needs `client_certificate`.", _need_certificate({"required": ["csrf"]})),),
        ),
        "basic": Variant(
            "Each request has a user name and a password (RFC 7617).", {"scheme": "basic"}, _COMMON_SETTINGS
        ),
        "bearer": Variant("Each request has a token (RFC 6750).", {"scheme": "bearer"}, _COMMON_SETTINGS),
        "header": Variant(
            "Each request has a secret in a separate header.",
            {"scheme": "header", "header": "X-Api-Key"},
            (_HEADER, *_COMMON_SETTINGS),
        ),
        "parameter": Variant(
            "Each request has a secret in a query parameter, or in a field of its body. Only for a system "
            "that accepts it nowhere else.",
            {"scheme": "parameter", "parameter": "wstoken", "in": "body"},
            (PARAMETER, PARAMETER_IN, *_COMMON_SETTINGS),
        ),
        "oauth1": Variant(
            "Each request is signed (OAuth 1.0a, RFC 5849) with a consumer key and secret and a token and its secret, "
            "which a person creates in the system. The signature covers method, address, query and form fields, and "
            "has a time and a nonce for each request: the clocks of both systems must agree.",
            {"scheme": "oauth1", "algorithm": "HMAC-SHA256", "realm": "1234567"},
            (_OAUTH1_ALGORITHM, _REALM, _CONSUMER_ONLY, *_COMMON_SETTINGS),
        ),
        "oauth2-client-credentials": Variant(
            "The hub fetches an access token (RFC 6749, client credentials), keeps it until it expires, and "
            "sends it as a bearer token.",
            {"scheme": "oauth2-client-credentials", "token_path": "/oauth2/token"},
            (
                *_TOKEN_REQUEST_SETTINGS,
                _CLIENT_AUTHENTICATION,
                ASYMMETRIC_ALGORITHM,
                KEY_ID,
                CLIENT_CLAIMS,
                LIFETIME,
                ASSERTION_AUDIENCE,
                *_ACCESS_TOKEN_SETTINGS,
            ),
            _OAUTH_RULES,
        ),
        "oauth2-refresh-token": Variant(
            "The hub fetches an access token with a refresh token (RFC 6749, section 6), keeps it until it "
            "expires, and sends it as a bearer token. A refresh token in the response replaces the one of "
            "the credentials: the hub stores it encrypted, and one process refreshes at a time. If the hub "
            "is killed between the response and the commit, and the system accepts each refresh token only "
            "once, a person has to enter a new one. If the stored token cannot be decrypted, nothing is "
            "sent: the delivery fails as with refused credentials, and is retried. Add its key to "
            "`SEALING_KEYS` again, or enter a new refresh token.",
            {
                "scheme": "oauth2-refresh-token",
                "token_url": "https://accounts.example.com/oauth/v2/token",
                "client_authentication": "post",
                "template": "Zoho-oauthtoken {token}",
            },
            (
                *_TOKEN_REQUEST_SETTINGS,
                _SECRET_AUTHENTICATION,
                *_ACCESS_TOKEN_SETTINGS,
            ),
            (_TOKEN_CA_RULE,),
        ),
        "oauth2-jwt-bearer": Variant(
            "The hub fetches an access token with an assertion signed with its private key (RFC 7523, "
            "section 2.1), as a Google service account does, keeps it until it expires, and sends it as a "
            "bearer token. The client id is the issuer (`iss`) of the assertion, and its subject (`sub`) "
            "unless `claims` names another.",
            {
                "scheme": "oauth2-jwt-bearer",
                "token_url": "https://oauth2.example.com/token",
                "claims": {"sub": "admin@example.com", "scope": "directory.readonly"},
            },
            (
                *_TOKEN_REQUEST_SETTINGS,
                ASSERTION_ALGORITHM,
                KEY_ID,
                ASSERTION_CLAIMS,
                LIFETIME,
                *_ACCESS_TOKEN_SETTINGS,
            ),
            (_TOKEN_CA_RULE,),
        ),
        "session": Variant(
            "The hub logs in with a user name and a password, keeps the session until the system ends it, and sends "
            "its token with each request. A refused password is not tried again until the settings change or a "
            "person tests the connection, because systems lock users out.",
            {
                "scheme": "session",
                "log_in": {
                    "path": "/login",
                    "body": {"user": {"expression": "username"}, "password": {"expression": "password"}},
                },
                "token": {"path": "token"},
                "template": "Bearer {token}",
            },
            (*SESSION_SETTINGS, *_COMMON_SETTINGS),
            SESSION_RULES,
        ),
        "jwt": Variant(
            "The hub signs a token for each request (RFC 7519).",
            {"scheme": "jwt", "algorithm": "ES256", "claims": {"iss": "hub"}, "lifetime": 60},
            (*TOKEN_SETTINGS, *_COMMON_SETTINGS),
            (
                ObjectRule(
                    "`encoding` other than `text` needs `HS256`.",
                    {
                        "if": {
                            "properties": {"encoding": {"enum": ["base64", "hex"]}},
                            "required": ["encoding"],
                        },
                        "then": {"properties": {"algorithm": {"const": "HS256"}}},
                    },
                ),
            ),
        ),
    },
    lambda values: values,
    dict.fromkeys(
        CREDENTIALS,
        translatable("This is a credential. Enter it in its own field, where it is stored encrypted."),
    ),
)


class Credentials:
    """Secrets by name. Hidden from repr, str and format."""

    __slots__ = ("_values",)

    def __init__(self, values: Mapping[str, str]) -> None:
        self._values = dict(values)

    def __getitem__(self, name: str) -> str:
        return self._values[name]

    def __contains__(self, name: object) -> bool:
        return name in self._values

    def __repr__(self) -> str:
        return f"<Credentials {', '.join(sorted(self._values)) or 'none'}>"


@dataclass(frozen=True, slots=True)
class OAuth1Settings:
    """How requests are signed by OAuth 1.0a. `algorithm` is the value of `oauth_signature_method`."""

    algorithm: str
    realm: str | None
    is_consumer_only: bool


@dataclass(frozen=True, slots=True)
class AuthenticationScheme:
    """Parsed authentication settings.

    `credential_names` are the names of the credentials that the scheme needs. Only OAuth uses `token_url`,
    `grant_type`, `client_authentication` and `token_parameters`, all of the token request. `signed_token` describes the
    token of the scheme `jwt`, or the assertion of OAuth. `template` is the text in which requests send a token.

    `secret_places` are the places of secrets outside `header`. `csrf` describes the CSRF token that requests also send.
    If `has_client_certificate`, TLS presents a certificate. `oauth1` is set for the scheme `oauth1` only.
    `token_authorities` are the PEM certificates to trust for a token endpoint of another origin; None means the public
    authorities.
    """

    name: str
    header: str = "Authorization"
    credential_names: tuple[str, ...] = ()
    token_url: BaseUrl | None = None
    scope: str | None = None
    grant_type: str = "client_credentials"
    client_authentication: str = "basic"
    token_parameters: Mapping[str, str] = field(default_factory=dict)
    signed_token: SignedTokenSettings | None = None
    template: HeaderTemplate | None = None
    session: SessionSettings | None = None
    secret_places: tuple[SecretPlace, ...] = ()
    csrf: CsrfSettings | None = None
    has_client_certificate: bool = False
    oauth1: OAuth1Settings | None = None
    token_authorities: str | None = None


def credential_names(document: Any) -> tuple[str, ...]:
    """Return the names of the credentials that authentication settings need; none if they are not valid."""
    if not isinstance(document, Mapping):
        return ()
    scheme = document.get("scheme", "none")
    if scheme == "oauth2-client-credentials":
        names = _CLIENT_CREDENTIALS.get(str(document.get("client_authentication", "basic")), ())
    elif scheme == "session":
        log_in = document.get("log_in")
        has_client = isinstance(log_in, Mapping) and bool(log_in.get("client"))
        names = ("username", "password", *(("client_id", "client_secret") if has_client else ()))
    elif scheme == "oauth1" and document.get("consumer_only") is True:
        names = ("consumer_key", "consumer_secret")
    else:
        names = tuple(name for name in SCHEMES.get(str(scheme), ()) if name not in SETTING_OF_CREDENTIAL)
    if names and document.get("second"):
        names = (*names, "second_value")
    has_certificate = document.get("client_certificate") is True and str(scheme) in SCHEMES
    return (*names, *CERTIFICATE_CREDENTIALS) if has_certificate else names


def parse_authentication(document: Any, base: BaseUrl) -> AuthenticationScheme:
    """Parse `{"scheme": …}`. A token is fetched from `token_path` at the connection's own origin, by default
    `/oauth/token`, or from an explicit `token_url`. Raises SettingsInvalid.
    """
    values = AUTHENTICATION.read(document, ("authentication",))
    scheme = _read_scheme(values, base, credential_names(document))
    places: list[SecretPlace] = []
    if scheme.name == "parameter":
        places.append(SecretPlace(values[PARAMETER_IN], values[PARAMETER], "parameter_value"))
    second = None if scheme.name == "none" else values[SECOND]
    if second is not None:
        # A request without a body has the parameter of a body in its address too.
        taken = {(False, place.name.lower()) for place in places} | {(True, scheme.header.lower())}
        if (second.kind == "header", second.name.lower()) in taken:
            values.reject(SECOND, "The first secret is sent in the same place.")
        places.append(second)
    csrf = values[CSRF]
    if csrf is not None and scheme.name == "none" and not values[_CLIENT_CERTIFICATE]:
        values.reject(CSRF, "This needs “client_certificate”: true.")
    if csrf is not None:
        headers = {scheme.header.lower(), *(place.name.lower() for place in places if place.kind == "header")}
        if csrf.header.lower() in headers:
            values.reject(CSRF, "Another secret is sent in the same header.")
    has_certificate = values[_CLIENT_CERTIFICATE]
    if has_certificate and any(one.scheme != "https" for one in (base, scheme.token_url or base)):
        values.reject(_CLIENT_CERTIFICATE, "A client certificate needs addresses that begin with https://.")
    return replace(scheme, secret_places=tuple(places), csrf=csrf, has_client_certificate=has_certificate)


def _read_scheme(values: SettingValues, base: BaseUrl, needed: tuple[str, ...]) -> AuthenticationScheme:
    name = values[_SCHEME]
    if name == "header":
        return AuthenticationScheme(name, values[_HEADER], needed)
    if name == "oauth1":
        oauth1 = OAuth1Settings(values[_OAUTH1_ALGORITHM], values[_REALM], values[_CONSUMER_ONLY])
        return AuthenticationScheme(name, credential_names=needed, oauth1=oauth1)
    if name in _GRANTS:
        return _read_oauth(values, base, needed)
    if name == "session":
        session = read_session(values)
        header = session.header if session.cookie is None else "Cookie"
        return AuthenticationScheme(name, header, needed, session=session)
    if name == "jwt":
        token = read_signed_token(values)
        template = values[TOKEN_TEMPLATE]
        return AuthenticationScheme(name, values[TOKEN_HEADER], needed, signed_token=token, template=template)
    return AuthenticationScheme(name, credential_names=needed)


def _read_oauth(values: SettingValues, base: BaseUrl, needed: tuple[str, ...]) -> AuthenticationScheme:
    name, token_url = values[_SCHEME], _token_base(values, base)
    if values[_TOKEN_CA] is not None and token_url.origin == base.origin:
        values.reject(
            _TOKEN_CA,
            "The token endpoint has the origin of the base URL, whose authorities are named in “ca” of the settings.",
        )
    named = {
        _SCOPE.name: values[_SCOPE],
        _AUDIENCE.name: values[_AUDIENCE],
        _RESOURCE.name: values[_RESOURCE],
    }
    own = {name: value for name, value in named.items() if value}
    authentication, assertion = "assertion", None
    if name == "oauth2-client-credentials":
        authentication = values[_CLIENT_AUTHENTICATION]
        assertion = _read_client_assertion(values, token_url)
    elif name == "oauth2-refresh-token":
        authentication = values[_SECRET_AUTHENTICATION]
    else:
        claims = {"aud": token_url.origin + token_url.prefix, **values[ASSERTION_CLAIMS]}
        assertion = SignedTokenSettings(values[ASSERTION_ALGORITHM], values[KEY_ID], claims, values[LIFETIME])
    return AuthenticationScheme(
        name,
        values[TOKEN_HEADER],
        credential_names=needed,
        token_url=token_url,
        scope=values[_SCOPE],
        grant_type=_GRANTS[name],
        client_authentication=authentication,
        token_parameters={**values[_PARAMETERS], **own},
        signed_token=assertion,
        template=values[TOKEN_TEMPLATE],
        token_authorities=values[_TOKEN_CA],
    )


def _read_client_assertion(values: SettingValues, token_url: BaseUrl) -> SignedTokenSettings | None:
    """Return the settings of the assertion by which a client proves who it is; None if it does so by its secret."""
    if values[_CLIENT_AUTHENTICATION] == "tls_client_auth" and not values[_CLIENT_CERTIFICATE]:
        values.reject(_CLIENT_AUTHENTICATION, "This needs “client_certificate”: true.")
    if values[_CLIENT_AUTHENTICATION] == "private_key_jwt":
        audience = values[ASSERTION_AUDIENCE] or token_url.origin + token_url.prefix
        claims = {**values[CLIENT_CLAIMS], "aud": audience}
        return SignedTokenSettings(values[ASYMMETRIC_ALGORITHM], values[KEY_ID], claims, values[LIFETIME])
    for setting in (ASYMMETRIC_ALGORITHM, KEY_ID, CLIENT_CLAIMS, LIFETIME, ASSERTION_AUDIENCE):
        if values.is_given(setting):
            values.reject(setting, "This needs “client_authentication”: “private_key_jwt”.")
    return None


def _token_base(values: SettingValues, base: BaseUrl) -> BaseUrl:
    """Return the address of the token endpoint. Unlike a base URL, it is a complete address: it keeps its path, and a
    slash at its end.
    """
    stated = values[_TOKEN_URL]
    url = base.origin + values[_TOKEN_PATH] if stated is None else stated
    try:
        address = parse_base_url(url)
    except ValueError as error:
        values.reject(_TOKEN_URL, error_sentence(error))
    has_slash = url.endswith("/") or not address.prefix
    return replace(address, prefix=f"{address.prefix}/") if has_slash else address


def basic_authorization(username: str, password: str) -> str:
    """Return the value of an Authorization header by RFC 7617."""
    return "Basic " + b64encode(f"{username}:{password}".encode()).decode("ascii")
