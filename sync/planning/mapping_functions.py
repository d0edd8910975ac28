"""Functions that a mapping applies to a value, by the names that its rules use. Pure."""

from collections.abc import Callable, Mapping
from typing import Any

from config_schema.expressions.expression_functions import (
    TEXT_FUNCTIONS,
    apply_to_text,
    find_first_email,
    format_date,
    list_items,
    zip_lists,
)


def _first_item(value: Any) -> Any:
    return value[0] if isinstance(value, list) and value else None if isinstance(value, list) else value


def _verified_email(emails: Any) -> Any:
    """Return the first verified address; None if no address is verified."""
    items = emails if isinstance(emails, list) else [emails]
    # `is True`: a text such as "false" verifies nothing.
    verified = [entry for entry in items if isinstance(entry, dict) and entry.get("verified") is True]
    return next((entry.get("address") for entry in verified if entry.get("address")), None)


def _to_text(value: Any) -> Any:
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value) if isinstance(value, int | float) else value


FUNCTIONS: Mapping[str, Callable[[Any], Any]] = {
    **{name: apply_to_text(change) for name, change in TEXT_FUNCTIONS.items()},
    "date": format_date,
    "first": _first_item,
    "first_email": find_first_email,
    "items": list_items,
    "text": _to_text,
    "verified_email": _verified_email,
    "zip": zip_lists,
}
