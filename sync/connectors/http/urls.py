"""Build URLs that cannot leave the configured origin and path. Pure.

Quoting alone is not enough: it leaves `..`, which HTTP libraries then resolve. So values are allow-listed
first, then quoted, and the final URL is matched against its template.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from urllib.parse import quote, urlencode, urlsplit

MAX_ID_LENGTH = 128

_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._~:@|+=-]*", re.ASCII)
_HOST = re.compile(r"[a-z0-9]([a-z0-9.-]*[a-z0-9])?|\[[0-9a-f:.]+\]", re.ASCII)
# As in a character class of a regular expression.
PATH_CHARACTERS = r"A-Za-z0-9._~:@$&'()*+,;=!-"
_PATH = re.compile(rf"(/[{PATH_CHARACTERS}]+)*/?", re.ASCII)
_PLACEHOLDER = re.compile(r"\{([a-z_]+)\}")


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


def find_placeholders(template: str) -> frozenset[str]:
    """Return the placeholder names of a template."""
    return frozenset(_PLACEHOLDER.findall(template))


def check_id(value: str) -> str:
    """Return the value if it is allowed in a path. Raises UnsafeValueError, without the value in its message."""
    if len(value) > MAX_ID_LENGTH or not _ID.fullmatch(value) or value.endswith("."):
        raise UnsafeValueError("an id contains characters that are not allowed in a path")
    return value


def fill_template(template: str, values: Mapping[str, str]) -> str:
    """Replace all placeholders of a template in one pass, so that values are not expanded again."""
    return _PLACEHOLDER.sub(lambda match: values[match[1]], template)


def quote_filter_value(value: str) -> str:
    """Quote a value for a filter language (SCIM, Trivore): in double quotes, inner quotes escaped."""
    escaped = value.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def build_url(base: BaseUrl, template: str, values: Mapping[str, str], query: Mapping[str, str]) -> str:
    """Build the URL of a path template under a base. Raises UnsafeValueError."""
    safe = {name: quote(check_id(value), safe="") for name, value in values.items()}
    try:
        tail = f"?{urlencode(query, quote_via=quote, safe='')}" if query else ""
    except UnicodeEncodeError:
        raise UnsafeValueError("a query value contains characters that cannot be sent") from None
    return f"{base.origin}{base.prefix}{fill_template(template, safe)}{tail}"


def is_allowed_url(base: BaseUrl, template: str, url: str) -> bool:
    """Return True if a final URL has the base's origin and prefix and the template's segments."""
    return bool(_allowed_url_pattern(base, template).fullmatch(url))


@lru_cache(maxsize=1024)
def _allowed_url_pattern(base: BaseUrl, template: str) -> re.Pattern[str]:
    """Compile the pattern of allowed URLs. A segment with a placeholder matches anything but an empty one or
    one of dots, escaped or not.
    """
    segments = [
        r"(?!%2[eE]|\.{0,2}(?:[/?]|\Z))[^/?#\s]+" if "{" in segment else re.escape(segment)
        for segment in f"{base.prefix}{template}".split("/")
    ]
    return re.compile(rf"{re.escape(base.origin)}{'/'.join(segments)}(?:\?[^#\s]*)?")
