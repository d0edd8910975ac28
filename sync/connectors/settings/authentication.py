"""Secrets, and the settings that say how they are used. Pure."""

from base64 import b64encode
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sync.connectors.http.urls import Base, is_plain_path, parse_base_url
from sync.connectors.settings.reader import Members

SCHEMES: Mapping[str, tuple[str, ...]] = {
    "none": (),
    "basic": ("username", "password"),
    "bearer": ("token",),
    "header": ("value",),
    "oauth2-client-credentials": ("client_id", "client_secret"),
}


class Credentials:
    """Secrets by name. Not shown by repr, str or format."""

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
class Scheme:
    """The settings of an authentication, read. Only OAuth has the members after `header`."""

    name: str
    header: str = "Authorization"
    token_base: Base | None = None
    scope: str | None = None
    in_body: bool = False


def parse_authentication(data: Any, base: Base) -> Scheme:
    """Read `{"scheme": …}`. The token is fetched from `token_path` at the connection's own origin, which is
    `/oauth/token` unless said, or from an explicit `token_url`. Raises SettingsInvalid."""
    members = Members(data, "/authentication")
    name = members.choice("scheme", tuple(SCHEMES), "none")
    scheme = Scheme(name)
    if name == "header":
        scheme = Scheme(name, members.header_name("header", also="authorization"))
    elif name == "oauth2-client-credentials":
        token_base = _token_base(members, base)
        in_body = members.choice("client_authentication", ("basic", "body"), "basic") == "body"
        scheme = Scheme(name, "Authorization", token_base, members.optional_text("scope"), in_body)
    members.done()
    return scheme


def _token_base(members: Members, base: Base) -> Base:
    url = members.optional_text("token_url")
    path = members.text("token_path", "/oauth/token")
    if not path.startswith("/") or not is_plain_path(path):
        members.refuse("token_path", "This must be a path that begins with a slash.")
    try:
        return parse_base_url(url if url is not None else base.origin + path)
    except ValueError as error:
        members.refuse("token_url", str(error))


def basic(username: str, password: str) -> str:
    """The value of an Authorization header by RFC 7617."""
    return "Basic " + b64encode(f"{username}:{password}".encode()).decode("ascii")
