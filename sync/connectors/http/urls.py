"""URLs that cannot leave the origin and path that were configured. Pure.

Quoting alone is not enough: `..` survives it and HTTP libraries then resolve it. So values are
allow-listed first, then quoted, and the finished URL is taken apart and compared again.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from urllib.parse import quote, urlencode, urlsplit

MAX_ID_LENGTH = 128

_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._~:@|+=-]*", re.ASCII)
_HOST = re.compile(r"[a-z0-9]([a-z0-9.-]*[a-z0-9])?|\[[0-9a-f:.]+\]", re.ASCII)
_PATH = re.compile(r"(/[A-Za-z0-9._~:@$&'()*+,;=!-]+)*/?", re.ASCII)
_PLACEHOLDER = re.compile(r"\{([a-z_]+)\}")


class UnsafeValueError(ValueError):
    """A value that must not become part of a path."""


@dataclass(frozen=True, slots=True)
class BaseUrl:
    """A configured base URL. `host` is lower-case, in brackets for IPv6; `prefix` has no slash at its end;
    `origin` is scheme, host and port, as they stand in a URL."""

    scheme: str
    host: str
    port: int | None
    prefix: str
    origin: str = field(init=False, compare=False)

    def __post_init__(self) -> None:
        port = f":{self.port}" if self.port is not None else ""
        object.__setattr__(self, "origin", f"{self.scheme}://{self.host}{port}")


def parse_base_url(text: str) -> BaseUrl:
    """Take a configured base URL apart. ValueError with a sentence where it is not fit to be one."""
    if not text.isascii() or any(character <= " " or character == "\\" for character in text):
        raise ValueError("The address may hold printable ASCII characters only.")
    try:
        parts = urlsplit(text)
        port = parts.port
    except ValueError:
        raise ValueError("The address cannot be read as a URL.") from None
    if parts.scheme not in {"http", "https"}:
        raise ValueError("The address must begin with http:// or https://.")
    if "@" in parts.netloc or "?" in text or "#" in text:
        raise ValueError("The address must hold no user name, query or fragment.")
    host = parts.netloc.lower().removesuffix(f":{port}") if port is not None else parts.netloc.lower()
    if not _HOST.fullmatch(host):
        raise ValueError("The address must name a host.")
    if not is_plain_path(parts.path):
        raise ValueError("The path of the address may hold plain, unescaped segments only.")
    return BaseUrl(parts.scheme, host, port, parts.path.rstrip("/"))


def is_plain_path(path: str) -> bool:
    """Whether a path has no empty, `.` or `..` segment and nothing escaped."""
    return bool(_PATH.fullmatch(path)) and not any(part in {".", ".."} for part in path.split("/"))


def find_placeholders(template: str) -> frozenset[str]:
    """The names in braces of a template."""
    return frozenset(_PLACEHOLDER.findall(template))


def check_id(value: str) -> str:
    """The value if it may stand in a path; raises UnsafeValueError, without the value in its message."""
    if len(value) > MAX_ID_LENGTH or not _ID.fullmatch(value) or value.endswith("."):
        raise UnsafeValueError("an id holds characters that may not stand in a path")
    return value


def fill_template(template: str, values: Mapping[str, str]) -> str:
    """The template with every placeholder replaced, in one pass: a value is never looked into again."""
    return _PLACEHOLDER.sub(lambda match: values[match[1]], template)


def quote_filter_value(value: str) -> str:
    """The value as a string of a filter language (SCIM, Trivore): in double quotes, quotes escaped."""
    escaped = value.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def build_url(base: BaseUrl, template: str, values: Mapping[str, str], query: Mapping[str, str]) -> str:
    """The URL of a path template under a base. Raises UnsafeValueError."""
    safe = {name: quote(check_id(value), safe="") for name, value in values.items()}
    try:
        tail = f"?{urlencode(query, quote_via=quote, safe='')}" if query else ""
    except UnicodeEncodeError:
        raise UnsafeValueError("a query value holds characters that cannot be sent") from None
    return f"{base.origin}{base.prefix}{fill_template(template, safe)}{tail}"


def is_allowed_url(base: BaseUrl, template: str, url: str) -> bool:
    """Whether a finished URL has the base's origin and prefix, and the template's segments in its places."""
    return bool(_allowed_url_pattern(base, template).fullmatch(url))


@lru_cache(maxsize=1024)
def _allowed_url_pattern(base: BaseUrl, template: str) -> re.Pattern[str]:
    """A segment that holds a placeholder may be any but an empty one, or one of dots, escaped or not."""
    segments = [
        r"(?!%2[eE]|\.{0,2}(?:[/?]|\Z))[^/?#\s]+" if "{" in segment else re.escape(segment)
        for segment in f"{base.prefix}{template}".split("/")
    ]
    return re.compile(rf"{re.escape(base.origin)}{'/'.join(segments)}(?:\?[^#\s]*)?")
