"""Mask the values of a payload and leave its structure readable."""

import json
import re
from collections.abc import Iterator
from typing import Any
from urllib.parse import parse_qsl, quote, urlsplit, urlunsplit

from django.utils.translation import ngettext

MASK = "•••"
WEBHOOK_KEYWORDS = frozenset({"entityType", "eventType", "timestamp"})
"""The top-level fields of a webhook that never contain personal data."""
ANSWER_KEYWORDS = frozenset({"type", "title", "status", "code", "reference", "retrying"})
"""The top-level fields of the hub's own answers that never contain personal data."""

UNREADABLE_EVENT_FIELDS = frozenset({"position", "code"})
"""The fields that the hub itself stores with each event of a request that it cannot read."""

# Their values say how, not about whom. `Location`, `ETag`, `Link` and unknown ones may name a person.
_SHOWN_HEADERS = frozenset(
    {
        *("accept", "accept-encoding", "accept-language", "accept-ranges", "age", "allow", "cache-control"),
        *("connection", "content-encoding", "content-language", "content-length", "content-type", "date"),
        *("expires", "idempotency-key", "keep-alive", "last-modified", "pragma", "ratelimit-limit"),
        *(
            "ratelimit-remaining",
            "ratelimit-reset",
            "retry-after",
            "server",
            "transfer-encoding",
            "user-agent",
        ),
        *("vary", "x-ratelimit-limit", "x-ratelimit-remaining", "x-ratelimit-reset", "x-request-id"),
        "traceparent",
    }
)


def mask_header(name: str, value: str) -> str:
    """Return the value of a header, masked unless its name is one that never contains personal data."""
    return value if name.lower() in _SHOWN_HEADERS else MASK


def mask_text(text: str, shown: frozenset[str] = frozenset()) -> str:
    """Mask a body: JSON keeps its structure and field names, any other text only its length.

    `shown`: the top-level fields whose texts and numbers are not masked; of a list, the fields of its objects.
    """
    try:
        document = json.loads(text)
    except (ValueError, RecursionError):
        return _mask_length(text) if text else ""
    try:
        is_list = isinstance(document, list)
        masked = (
            [_mask_fields(item, shown) for item in document] if is_list else _mask_fields(document, shown)
        )
        return json.dumps(masked, indent=2, ensure_ascii=False)
    # A document that the parser takes may still be nested too deeply for the masking.
    except RecursionError:
        return _mask_length(text)


def _mask_fields(document: Any, shown: frozenset[str]) -> Any:
    masked = mask_value(document)
    if isinstance(document, dict):
        masked |= {name: document[name] for name in shown & document.keys() if not _is_nested(document[name])}
    return masked


def _mask_length(text: str) -> str:
    length = ngettext("%(count)s character", "%(count)s characters", len(text)) % {"count": f"{len(text):,}"}
    return f"{MASK} ({length})"


def _is_nested(value: Any) -> bool:
    return isinstance(value, dict | list)


def mask_value(value: Any) -> Any:
    """Mask text and numbers at every depth."""
    if isinstance(value, dict):
        return {key: mask_value(item) for key, item in value.items()}
    if isinstance(value, list):
        return [mask_value(item) for item in value]
    # True, false and null do not identify a person and help to read the structure.
    return value if isinstance(value, bool) or value is None else MASK


# E-mail addresses, and numbers of at least five digits, however they are grouped.
_ADDRESS_OR_NUMBER = re.compile(r"[^\s\"'<>(),;:]+@[^\s\"'<>(),;:]+|\+?\d(?:[ ().-]?\d){4,}")
_MIN_VALUE_LENGTH = 3


def mask_message(message: str, contents: Any) -> str:
    """Mask the personal data in a system's message, so that the message itself can be read.

    That is each text of `contents` (decoded JSON: what the message is about) that is a word or more of the message, in
    any case, and every e-mail address and long number.
    """
    message = _ADDRESS_OR_NUMBER.sub(MASK, message)
    values = sorted(set(_texts_of(contents)), key=len, reverse=True)
    for value in values:
        message = re.sub(rf"(?<!\w){re.escape(value)}(?!\w)", MASK, message, flags=re.IGNORECASE)
    return message


def _texts_of(value: Any) -> Iterator[str]:
    if isinstance(value, dict | list):
        for item in value.values() if isinstance(value, dict) else value:
            yield from _texts_of(item)
    elif isinstance(value, str) and len(value.strip()) >= _MIN_VALUE_LENGTH:
        yield value.strip()


def mask_url(url: str, path_pattern: str) -> str:
    """Return the URL with the path pattern in place of the values, and with only the names of its query parameters.

    The path of the connection's base URL stays: it comes before what the pattern stands for.
    """
    try:
        parts = urlsplit(url)
        names = "&".join(
            f"{quote(name)}={MASK}" for name, _ in parse_qsl(parts.query, keep_blank_values=True)
        )
        pattern = path_pattern.partition("?")[0]
        path = f"{_base_path(parts.path, pattern)}{pattern}" if pattern else parts.path
        return urlunsplit((parts.scheme, parts.netloc, path, names, ""))
    except ValueError:
        return path_pattern


def _base_path(path: str, pattern: str) -> str:
    """Return what comes before the part of a path that the pattern stands for; empty if the path does not end so.

    A value fills one segment at most, so both have the same number of segments.
    """
    segments, wanted = path.split("/"), pattern.removeprefix("/").split("/")
    ending = segments[-len(wanted) :]
    same = len(ending) == len(wanted) and all(
        "{" in want or want == have for want, have in zip(wanted, ending, strict=True)
    )
    return "/".join(segments[: -len(wanted)]) if same else ""
