"""The control of `reference_wait_minutes`: how long a delivery waits for records that its record refers to. Pure."""

from collections.abc import Mapping
from typing import Any

from sync.planning.mapping_declaration import InvalidMapping, parse_mapping

NAME = "reference_wait_minutes"
_MAX_DIGITS = 9
# A declaration needs a field.
_FIELDS = {"fields": {"id": {"path": "entity.id"}}}


def show_wait(document: Mapping[str, Any]) -> str | None:
    """Return the text of the control, empty without the setting. None: no control shows its value."""
    value = document.get(NAME, "")
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    return value if isinstance(value, str) and value.isprintable() and value == value.strip() else None


def read_wait(typed: str) -> int | str | None:
    """Return the value that a person typed, None for none. What is no number stays a text, which is refused later."""
    text = typed.strip()
    is_number = text.isascii() and text.isdecimal() and len(text) <= _MAX_DIGITS
    return int(text) if is_number else text or None


def find_wait_error(document: Mapping[str, Any]) -> str:
    """Return a sentence if the value is refused; empty if it is valid."""
    if NAME not in document:
        return ""
    try:
        parse_mapping({**_FIELDS, NAME: document[NAME]})
    except InvalidMapping as invalid:
        return str(invalid)
    return ""
