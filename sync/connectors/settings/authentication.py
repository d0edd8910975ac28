"""Credentials, and the settings of the authentication that uses them. Pure."""

from base64 import b64encode
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from config_schema.kinds import Choice, Text
from config_schema.objects import Variant, VariantObject
from config_schema.settings import Values, defaulted, optional, required
from sync.connectors.http.urls import BaseUrl, parse_base_url
from sync.connectors.settings.setting_kinds import BaseAddress, HeaderName, PlainPath


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
    "client_id": Credential(
        "The id of the client. It is not hidden in responses of the system.", is_secret=False
    ),
    "client_secret": Credential("The secret of the client."),
}

# The credentials of each scheme.
SCHEMES: Mapping[str, tuple[str, ...]] = {
    "none": (),
    "basic": ("username", "password"),
    "bearer": ("token",),
    "header": ("value",),
    "oauth2-client-credentials": ("client_id", "client_secret"),
}

_SCHEME = defaulted(
    "scheme", Choice(tuple(SCHEMES)), "none", "How requests prove who sends them.", example="bearer"
)
_HEADER = required(
    "header", HeaderName("authorization"), "The header that holds the secret.", example="X-Api-Key"
)
_TOKEN_URL = optional(
    "token_url",
    BaseAddress(),
    "The address of the token endpoint, if it has another origin than the base URL. It takes the place of "
    "`token_path`.",
    example="https://login.example.com/oauth/token",
)
_TOKEN_PATH = defaulted(
    "token_path",
    PlainPath(),
    "/oauth/token",
    "The path of the token endpoint at the origin of the base URL. The path of the base URL does not count.",
    example="/oauth2/v1/token",
)
_SCOPE = optional(
    "scope", Text(), "The scopes to ask for, separated by spaces.", example="customers.read customers.write"
)
_CLIENT_AUTHENTICATION = defaulted(
    "client_authentication",
    Choice(("basic", "body")),
    "basic",
    "How the token request sends the client's credentials: in the `Authorization` header, or in its body.",
    example="body",
)

AUTHENTICATION = VariantObject(
    _SCHEME,
    {
        "none": Variant("Requests have no credentials.", {"scheme": "none"}),
        "basic": Variant("Each request has a user name and a password (RFC 7617).", {"scheme": "basic"}),
        "bearer": Variant("Each request has a token (RFC 6750).", {"scheme": "bearer"}),
        "header": Variant(
            "Each request has a secret in a header of its own.",
            {"scheme": "header", "header": "X-Api-Key"},
            (_HEADER,),
        ),
        "oauth2-client-credentials": Variant(
            "The hub fetches an access token (RFC 6749, client credentials), keeps it until it expires, and "
            "sends it as a bearer token.",
            {"scheme": "oauth2-client-credentials", "token_path": "/oauth2/token"},
            (_TOKEN_URL, _TOKEN_PATH, _SCOPE, _CLIENT_AUTHENTICATION),
        ),
    },
    lambda values: values,
    dict.fromkeys(
        CREDENTIALS, "This is a credential. Enter it in its own field, where it is stored encrypted."
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
class AuthenticationScheme:
    """Parsed authentication settings. Only OAuth uses the fields after `header`."""

    name: str
    header: str = "Authorization"
    token_url: BaseUrl | None = None
    scope: str | None = None
    credentials_in_body: bool = False


def parse_authentication(document: Any, base: BaseUrl) -> AuthenticationScheme:
    """Parse `{"scheme": …}`. A token is fetched from `token_path` at the connection's own origin, by default
    `/oauth/token`, or from an explicit `token_url`. Raises SettingsInvalid.
    """
    values = AUTHENTICATION.read(document, ("authentication",))
    name = values[_SCHEME]
    if name == "header":
        return AuthenticationScheme(name, values[_HEADER])
    if name == "oauth2-client-credentials":
        in_body = values[_CLIENT_AUTHENTICATION] == "body"
        return AuthenticationScheme(name, "Authorization", _token_base(values, base), values[_SCOPE], in_body)
    return AuthenticationScheme(name)


def _token_base(values: Values, base: BaseUrl) -> BaseUrl:
    url = values[_TOKEN_URL]
    try:
        return parse_base_url(base.origin + values[_TOKEN_PATH] if url is None else url)
    except ValueError as error:
        values.reject(_TOKEN_URL, str(error))


def basic_authorization(username: str, password: str) -> str:
    """Return the value of an Authorization header by RFC 7617."""
    return "Basic " + b64encode(f"{username}:{password}".encode()).decode("ascii")
