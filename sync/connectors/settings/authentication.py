"""Credentials, and the settings of the authentication that uses them. Pure."""

from base64 import b64encode
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sync.connectors.http.urls import BaseUrl, is_plain_path, parse_base_url
from sync.connectors.settings.settings_reader import SettingsReader

SCHEMES: Mapping[str, tuple[str, ...]] = {
    "none": (),
    "basic": ("username", "password"),
    "bearer": ("token",),
    "header": ("value",),
    "oauth2-client-credentials": ("client_id", "client_secret"),
}
_CREDENTIAL_NAMES = tuple(dict.fromkeys(name for names in SCHEMES.values() for name in names))


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
    members = SettingsReader(document, "/authentication")
    name = members.read_choice("scheme", tuple(SCHEMES), "none")
    scheme = AuthenticationScheme(name)
    if name == "header":
        scheme = AuthenticationScheme(name, members.read_header_name("header", also_allowed="authorization"))
    elif name == "oauth2-client-credentials":
        token_base = _parse_token_url(members, base)
        in_body = members.read_choice("client_authentication", ("basic", "body"), "basic") == "body"
        scheme = AuthenticationScheme(
            name, "Authorization", token_base, members.read_optional_text("scope"), in_body
        )
    for credential in _CREDENTIAL_NAMES:
        if credential in members:
            members.reject_field(
                credential, "This is a credential. Enter it in its own field, where it is stored encrypted."
            )
    members.reject_unknown_fields()
    return scheme


def _parse_token_url(members: SettingsReader, base: BaseUrl) -> BaseUrl:
    url = members.read_optional_text("token_url")
    path = members.read_text("token_path", "/oauth/token")
    if not path.startswith("/") or not is_plain_path(path):
        members.reject_field("token_path", "This must be a path that starts with a slash.")
    try:
        return parse_base_url(url if url is not None else base.origin + path)
    except ValueError as error:
        members.reject_field("token_url", str(error))


def basic_authorization(username: str, password: str) -> str:
    """Return the value of an Authorization header by RFC 7617."""
    return "Basic " + b64encode(f"{username}:{password}".encode()).decode("ascii")
