"""Read the settings of a connection strictly: each error names its place and says what is expected. Pure."""

import re
import ssl
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from ipaddress import ip_network
from typing import Any, NoReturn, TypeVar

from jmespath.exceptions import JMESPathError

from sync.connectors.http.dns import Network
from sync.connectors.http.urls import find_placeholders, is_plain_path
from sync.connectors.values.jmespath_paths import ExpressionTooLarge, compile_expression
from sync.connectors.values.json_responses import JmesPathExpression

T = TypeVar("T")

_HEADER_NAME = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]{1,100}", re.ASCII)
_HEADER_VALUE = re.compile(r"[\x21-\x7e](?:[\x20-\x7e]{0,16384}[\x21-\x7e])?", re.ASCII)
_ENTITY_TYPE = re.compile(r"[A-Za-z][A-Za-z0-9_.:-]{0,63}", re.ASCII)
# The hub or the HTTP library sets these headers.
_RESERVED_HEADERS = frozenset(
    {"accept-encoding", "authorization", "connection", "content-length", "cookie", "expect", "host"}
    | {"proxy-authorization", "te", "trailer", "transfer-encoding", "upgrade", "x-request-id"}
)


class SettingsInvalid(ValueError):
    """Invalid settings. `pointer` is the JSON Pointer (RFC 6901) of the field, `sentence` says what it must
    be.
    """

    def __init__(self, pointer: str, sentence: str) -> None:
        super().__init__(f"{pointer or '/'}: {sentence}")
        self.pointer = pointer
        self.sentence = sentence


@dataclass(frozen=True, slots=True)
class ReadRequest:
    """A GET request without placeholders."""

    path: str
    query: Mapping[str, str]


class SettingsReader:
    """Reads the fields of one JSON object; `reject_unknown_fields` refuses the fields that were not read."""

    def __init__(self, value: Any, pointer: str = "") -> None:
        self.pointer = pointer
        if not isinstance(value, Mapping):
            raise SettingsInvalid(pointer, "This must be an object.")
        self._unread: dict[str, Any] = dict(value)

    def __contains__(self, name: str) -> bool:
        """Return True if a field is there and was not read."""
        return name in self._unread

    def reject_field(self, name: str, sentence: str) -> NoReturn:
        """Raise SettingsInvalid for one field."""
        raise SettingsInvalid(self._pointer_to(name), sentence)

    def read_text(self, name: str, default: str | None = None) -> str:
        """Read a non-empty string; required unless there is a default."""
        value = self._unread.pop(name, default)
        if value is None:
            self.reject_field(name, "This field is required.")
        if not isinstance(value, str) or not value.strip():
            self.reject_field(name, "This must be a non-empty text.")
        return value

    def read_optional_text(self, name: str) -> str | None:
        """Read a non-empty string, or None if the field is absent or null."""
        return None if self._pop_null(name) else self.read_text(name)

    def read_choice(self, name: str, choices: tuple[str, ...], default: str | None = None) -> str:
        """Read one of the given words."""
        value = self.read_text(name, default)
        if value not in choices:
            self.reject_field(name, f"This must be one of: {', '.join(choices)}.")
        return value

    def read_whole_number(self, name: str, default: int, lowest: int, highest: int) -> int:
        """Read a whole number within bounds."""
        value = self._unread.pop(name, default)
        if isinstance(value, bool) or not isinstance(value, int) or not lowest <= value <= highest:
            self.reject_field(name, f"This must be a whole number from {lowest} to {highest}.")
        return value

    def read_texts(self, name: str) -> tuple[str, ...]:
        """Read a list of non-empty strings; absent means empty."""
        value = self._unread.pop(name, [])
        if not isinstance(value, list | tuple) or not all(isinstance(one, str) and one for one in value):
            self.reject_field(name, "This must be a list of texts.")
        return tuple(value)

    def read_text_map(self, name: str) -> dict[str, str]:
        """Read an object whose values are strings; absent means empty."""
        value = self._unread.pop(name, {})
        if not isinstance(value, Mapping) or not all(isinstance(one, str) for one in value.values()):
            self.reject_field(name, "This must be an object whose values are texts.")
        return dict(value)

    def read_object(self, name: str) -> "SettingsReader":
        """Return a reader of a nested object; absent means empty."""
        return SettingsReader(self._unread.pop(name, {}), self._pointer_to(name))

    def read_optional_object(self, name: str) -> "SettingsReader | None":
        """Return a reader of a nested object, or None if the field is absent or null."""
        return None if self._pop_null(name) else self.read_object(name)

    def read_optional_objects(self, name: str, most: int) -> "list[SettingsReader]":
        """Return readers of a list of at most so many objects; absent or null means empty."""
        value = None if self._pop_null(name) else self._unread.pop(name)
        if value is None:
            return []
        if not isinstance(value, list | tuple) or not 1 <= len(value) <= most:
            self.reject_field(name, f"This must be a list of 1 to {most} objects.")
        return [SettingsReader(one, f"{self._pointer_to(name)}/{index}") for index, one in enumerate(value)]

    def read_path(self, name: str, *, required_placeholders: frozenset[str] = frozenset()) -> str:
        """Read a path template below the base URL that holds exactly the given placeholders."""
        value = self.read_text(name)
        plain = re.sub(r"\{[a-z_]+\}", "x", value)
        if not value.startswith("/") or not is_plain_path(plain):
            self.reject_field(
                name, "This must be a path that starts with a slash and has only plain segments."
            )
        if find_placeholders(value) != required_placeholders:
            placeholders = (
                " and ".join(f"{{{one}}}" for one in sorted(required_placeholders)) or "no placeholder"
            )
            self.reject_field(name, f"This path must contain {placeholders}, and no other placeholder.")
        return value

    def read_expression(self, name: str, default: str | None = None) -> JmesPathExpression:
        """Read and compile a JMESPath expression."""
        try:
            return JmesPathExpression(
                compile_expression(self.read_text(name, default)), self._pointer_to(name)
            )
        except ExpressionTooLarge as too_large:
            self.reject_field(name, f"This JMESPath expression {too_large}")
        except JMESPathError:
            self.reject_field(name, "This must be a JMESPath expression.")

    def read_optional_expression(self, name: str) -> JmesPathExpression | None:
        """Read and compile a JMESPath expression, or None if the field is absent or null."""
        return None if self._pop_null(name) else self.read_expression(name)

    def read_header_name(self, name: str, *, also_allowed: str = "") -> str:
        """Read a header name that settings may set, or that is `also_allowed` here."""
        value = self.read_text(name)
        if not is_settable_header(value) and value.lower() != also_allowed:
            self.reject_field(name, "This must be a header name that the hub does not set itself.")
        return value

    def read_optional_header_name(self, name: str) -> str | None:
        """Read a header name that settings may set, or None if the field is absent or null."""
        return None if self._pop_null(name) else self.read_header_name(name)

    def read_headers(self, name: str) -> dict[str, str]:
        """Read headers to send with every request."""
        value = self.read_text_map(name)
        for header, content in value.items():
            if not is_settable_header(header) or not is_header_value(content):
                self.reject_field(name, f"The header “{header[:100]}” cannot be sent.")
        return value

    def read_per_entity_type(self, name: str, parse: Callable[["SettingsReader"], T]) -> dict[str, T]:
        """Read an object with one object for each entity type, keyed by its upper-case name."""
        pointer = self._pointer_to(name)
        reader = SettingsReader(self._unread.pop(name, None), pointer)
        if not reader._unread:
            self.reject_field(name, "At least one entity type is required.")
        parsed: dict[str, T] = {}
        for entity_type in list(reader._unread):
            if not _ENTITY_TYPE.fullmatch(entity_type):
                reader.reject_field(entity_type, "This is not the name of an entity type.")
            parsed[entity_type.upper()] = parse(reader.read_object(entity_type))
        return parsed

    def read_optional_read_request(self, name: str) -> "ReadRequest | None":
        """Read an object with the path and the query of a GET request; None if it is absent."""
        members = self.read_optional_object(name)
        if members is None:
            return None
        request = ReadRequest(members.read_path("path"), members.read_text_map("query"))
        members.reject_unknown_fields()
        return request

    def reject_unknown_fields(self) -> None:
        """Raise SettingsInvalid for the first field that was not read."""
        for name in self._unread:
            self.reject_field(name, "Unknown field.")

    def _pop_null(self, name: str) -> bool:
        if self._unread.get(name) is None:
            self._unread.pop(name, None)
            return True
        return False

    def _pointer_to(self, name: str) -> str:
        return f"{self.pointer}/{name.replace('~', '~0').replace('/', '~1')}"


def is_settable_header(name: str) -> bool:
    """Return True if settings may set this header."""
    return bool(_HEADER_NAME.fullmatch(name)) and name.lower() not in _RESERVED_HEADERS


def is_header_value(value: str) -> bool:
    """Return True if a text is a valid header value: printable ASCII, no space at its ends."""
    return bool(_HEADER_VALUE.fullmatch(value))


@dataclass(frozen=True, slots=True)
class ConnectionOptions:
    """Settings of the HTTP connection, common to both sides."""

    headers: Mapping[str, str]
    ca_certificates: str | None
    allowed_networks: tuple[Network, ...]


def parse_connection_options(members: SettingsReader) -> ConnectionOptions:
    """Read the fields `headers`, `ca` (certificates in PEM) and `networks` (allowed addresses, CIDR)."""
    ca = members.read_optional_text("ca")
    if ca is not None and not _can_load_certificates(ca):
        members.reject_field(
            "ca", "This must be one or more certificates in PEM form, in ASCII, with their line breaks."
        )
    return ConnectionOptions(members.read_headers("headers"), ca, _parse_networks(members))


def _can_load_certificates(certificates: str) -> bool:
    """Return True if `ssl` can load the certificates. It raises TypeError for text that is not ASCII."""
    try:
        ssl.create_default_context(cadata=certificates)
    except (ssl.SSLError, TypeError):
        return False
    return True


def _parse_networks(members: SettingsReader) -> tuple[Network, ...]:
    try:
        return tuple(ip_network(text) for text in members.read_texts("networks"))
    except ValueError:
        members.reject_field("networks", "Each of these must be a network such as 10.0.0.0/8.")
