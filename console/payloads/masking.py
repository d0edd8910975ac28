"""Contents with their values covered: what is there can be seen, what it says cannot. Pure."""

import json
from typing import Any
from urllib.parse import parse_qsl, quote, urlsplit, urlunsplit

MASK = "•••"
# Words of protocols, never of people.
_UNMASKED_FIELDS = frozenset({"entityType", "eventType", "timestamp", "status", "type", "code", "schemas"})


def mask_text(text: str) -> str:
    """A body: JSON keeps its shape and its names, anything else only its length."""
    try:
        document = json.loads(text)
    except (ValueError, RecursionError):
        return f"{MASK} ({len(text):,} characters)" if text else ""
    try:
        return json.dumps(mask_value(document), indent=2, ensure_ascii=False)
    except RecursionError:
        return f"{MASK} ({len(text):,} characters)"


def mask_value(value: Any, field_name: str = "") -> Any:
    """Text and numbers are covered, unless their name says that they are a word of the protocol."""
    if isinstance(value, dict):
        return {key: mask_value(each, key) for key, each in value.items()}
    if isinstance(value, list):
        return [mask_value(each, field_name) for each in value]
    return value if isinstance(value, bool) or value is None or field_name in _UNMASKED_FIELDS else MASK


def mask_url(url: str, path_pattern: str) -> str:
    """Host and pattern of the path as they are; of a query only the names."""
    try:
        parts = urlsplit(url)
        names = "&".join(
            f"{quote(name)}={MASK}" for name, _ in parse_qsl(parts.query, keep_blank_values=True)
        )
        return urlunsplit(
            (parts.scheme, parts.netloc, path_pattern.partition("?")[0] or parts.path, names, "")
        )
    except ValueError:
        return path_pattern
