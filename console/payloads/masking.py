"""Mask the values of a payload and leave its structure readable."""

import json
from typing import Any
from urllib.parse import parse_qsl, quote, urlsplit, urlunsplit

from django.utils.translation import ngettext

MASK = "•••"
WEBHOOK_KEYWORDS = frozenset({"entityType", "eventType", "timestamp"})
"""The top-level fields of a webhook that never hold personal data."""
ANSWER_KEYWORDS = frozenset({"type", "title", "status", "code", "reference", "retrying"})
"""The top-level fields of the hub's own answers that never hold personal data."""


def mask_text(text: str, shown: frozenset[str] = frozenset()) -> str:
    """Mask a body: JSON keeps its structure and field names, any other text only its length.

    `shown`: the top-level fields whose texts and numbers are not masked.
    """
    try:
        document = json.loads(text)
    except (ValueError, RecursionError):
        return _mask_length(text) if text else ""
    try:
        masked = mask_value(document)
        if isinstance(document, dict):
            masked |= {
                name: document[name] for name in shown & document.keys() if not _is_nested(document[name])
            }
        return json.dumps(masked, indent=2, ensure_ascii=False)
    # A document that the parser takes may still be nested too deeply for the masking.
    except RecursionError:
        return _mask_length(text)


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


def mask_url(url: str, path_pattern: str) -> str:
    """Return the URL with the host and the path pattern, and with only the names of its query parameters."""
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
