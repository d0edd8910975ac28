"""Build URLs that cannot leave the configured origin and path. Pure.

Quoting alone is not enough: it leaves `..`, which HTTP libraries then resolve. So values are allow-listed
first, then quoted, and the final URL is matched against its template.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from urllib.parse import quote, urlsplit

from connectors.http.placeholders import fill_template
from connectors.http.query_parameters import Query, encode_query

MAX_ID_LENGTH = 128
MAX_VALUE_LENGTH = 1_000

_ID = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9._~:@|+=-]*", re.ASCII)
_ID_CHARACTERS = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._~:@|+=-")
_HOST = re.compile(r"[a-z0-9]([a-z0-9.-]*[a-z0-9])?|\[[0-9a-f:.]+\]", re.ASCII)
# As in a character class of a regular expression.
PATH_CHARACTERS = r"A-Za-z0-9._~:@$&'()*+,;=!-"
_PATH = re.compile(rf"(/[{PATH_CHARACTERS}]+)*/?", re.ASCII)


class UnsafeValueError(ValueError):
    """A value that is not allowed in a path."""


@dataclass(frozen=True, slots=True)
class BaseUrl:
    """A configured base URL. `host` is lower-case, in brackets for IPv6; `prefix` has no trailing slash;
    `origin` is scheme, host and port.
    """

    scheme: str
    host: str
    port: int | None
    prefix: str
    origin: str = field(init=False, compare=False)

    def __post_init__(self) -> None:
        port = f":{self.port}" if self.port is not None else ""
        object.__setattr__(self, "origin", f"{self.scheme}://{self.host}{port}")


def parse_base_url(text: str) -> BaseUrl:
    """Parse a configured base URL. Raises ValueError with a sentence if it is not valid."""
    if not text.isascii() or any(character <= " " or character == "\\" for character in text):
        raise ValueError("The address can contain only printable ASCII characters.")
    try:
        parts = urlsplit(text)
        port = parts.port
    except ValueError:
        raise ValueError("The address cannot be read as a URL.") from None
    if parts.scheme not in {"http", "https"}:
        raise ValueError("The address must start with http:// or https://.")
    if "@" in parts.netloc:
        raise ValueError("The address must not contain a username or password. Enter them as credentials.")
    if "?" in text or "#" in text:
        raise ValueError("The address must not contain a query or fragment. Enter a key as a credential.")
    host = parts.netloc.lower().removesuffix(f":{port}") if port is not None else parts.netloc.lower()
    if not _HOST.fullmatch(host):
        raise ValueError("The address must contain a host name.")
    if not is_plain_path(parts.path):
        raise ValueError("The path of the address can contain only plain, unescaped segments.")
    return BaseUrl(parts.scheme, host, port, parts.path.rstrip("/"))


def is_plain_path(path: str) -> bool:
    """Return True if a path has no empty, `.` or `..` segment and no escapes."""
    return bool(_PATH.fullmatch(path)) and not any(part in {".", ".."} for part in path.split("/"))


def check_id(value: str, more_characters: frozenset[str] = frozenset()) -> str:
    """Return the value if it is allowed in a path. Raises UnsafeValueError, without the value in its message.

    `more_characters`: those that ids of this system may hold besides the usual ones.
    """
    is_usual = bool(_ID.fullmatch(value)) and not value.endswith(".")
    if len(value) <= MAX_ID_LENGTH and (is_usual or _is_wider_id(value, more_characters)):
        return value
    raise UnsafeValueError("an id contains characters that are not allowed in a path")


def _is_wider_id(value: str, more_characters: frozenset[str]) -> bool:
    if not more_characters or not value.strip() or _has_dot_segment(value) or value.endswith("."):
        return False
    return all(character in _ID_CHARACTERS or character in more_characters for character in value)


def _check_path_value(value: str) -> str:
    """Return a value that is searched for if it is allowed in a path. Raises UnsafeValueError."""
    is_printable = value.isprintable() and bool(value.strip()) and len(value) <= MAX_VALUE_LENGTH
    if not is_printable or _has_dot_segment(value):
        raise UnsafeValueError("a value contains characters that are not allowed in a path")
    return value


def _has_dot_segment(value: str) -> bool:
    """Return True if a server that decodes a value before it reads the path would find `.` or `..` as a segment."""
    return any(part in {".", ".."} for part in re.split(r"[/\\]", value))


def build_url(
    base: BaseUrl,
    template: str,
    values: Mapping[str, str],
    query: Query,
    *,
    id_characters: frozenset[str] = frozenset(),
    searched: frozenset[str] = frozenset(),
) -> str:
    """Build the URL of a path template under a base: each value stays within one segment. Raises UnsafeValueError.

    All values except those in `searched` are ids, which may contain `id_characters` too.
    """
    for name, value in values.items():
        if name in searched:
            _check_path_value(value)
        else:
            check_id(value, id_characters)
    try:
        path = fill_template(template, values, lambda _, value: quote(value, safe=""))
        tail = f"?{encode_query(query)}" if query else ""
    except UnicodeEncodeError:
        raise UnsafeValueError("a value contains characters that cannot be sent") from None
    return f"{base.origin}{base.prefix}{path}{tail}"


@lru_cache(maxsize=1024)
def allowed_url_pattern(base: BaseUrl, template: str) -> re.Pattern[str]:
    """Return the pattern of allowed URLs: the base's origin and prefix, and the template's segments. A segment with a
    placeholder matches anything but an empty one or one of dots, escaped or not.
    """
    segments = [
        r"(?!%2[eE]|\.{0,2}(?:[/?]|\Z))[^/?#\s]+" if "{" in segment else re.escape(segment)
        for segment in f"{base.prefix}{template}".split("/")
    ]
    return re.compile(rf"{re.escape(base.origin)}{'/'.join(segments)}(?:\?[^#\s]*)?")
