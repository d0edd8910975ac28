"""Read entries for people: an entry with a damaged column is shown with what is stored there, and breaks no page.

The verification reads the log in another way (`audit.verification.database_rows`): it reports each damaged column.
"""

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import datetime
from typing import Any

from django.db import DatabaseError, models
from django.db.models import QuerySet
from django.db.models.functions import Cast

from audit.models import Entry
from audit.models.column_values import UNREADABLE, is_valid_value

_ERRORS = (*UNREADABLE, DatabaseError)
_MAX_SHOWN = 200  # characters of a damaged value
# The replacement of a damaged value. A damaged time is None, which the type of the column does not say.
_NEUTRAL: tuple[tuple[type, Any], ...] = (
    (models.BinaryField, b""),
    (models.DateTimeField, None),
    (models.IntegerField, 0),
)


def load_entries(entries: QuerySet[Entry]) -> list[Entry]:
    """Return the entries. Each names its damaged columns in `damaged`; a damaged time is None."""
    return load_entries_by(lambda: entries, lambda: entries.values_list("pk", flat=True))


def load_entries_by(
    read: Callable[[], Iterable[Entry]], read_keys: Callable[[], Iterable[int]]
) -> list[Entry]:
    """Return the entries that `read` returns. `read_keys` returns their keys, for the case that one is unreadable."""
    try:
        rows = list(read())
    except _ERRORS:
        # One value that the driver cannot convert hides all rows, so they are read one by one.
        rows = [_load_entry(key) for key in list(read_keys())]
    return [_mark_damaged(row) for row in rows]


def iterate_entries(entries: QuerySet[Entry], chunk_size: int) -> Iterator[Entry]:
    """Yield the entries in constant memory, as `load_entries` returns them."""
    read = 0
    try:
        for row in entries.iterator(chunk_size):
            yield _mark_damaged(row)
            read += 1
    except _ERRORS:
        for key in entries.values_list("pk", flat=True)[read:].iterator(chunk_size):
            yield _mark_damaged(_load_entry(key))


def find_entry(key: int) -> Entry | None:
    """Return an entry, or None if there is none."""
    return next(iter(load_entries(Entry.objects.filter(pk=key))), None)


def parse_details(text: object) -> Mapping[str, Any]:
    """Return the details of an entry; empty if the column contains no JSON object."""
    try:
        details = json.loads(text) if isinstance(text, str) else None
    except (ValueError, RecursionError):
        return {}
    return details if isinstance(details, dict) else {}


def earliest_time(entries: QuerySet[Entry]) -> datetime | None:
    """Return the time of the first of these entries; None if there is none, or if it is damaged."""
    return next((entry.at for entry in load_entries(entries.order_by("pk")[:1])), None)


def _load_entry(key: int) -> Entry:
    try:
        return Entry.objects.get(pk=key)
    except _ERRORS:
        pass
    values, damaged = dict[str, Any](), dict[str, str]()
    for field in Entry._meta.concrete_fields:
        try:
            values[field.name] = Entry.objects.values_list(field.name, flat=True).get(pk=key)
        except _ERRORS:
            values[field.name], damaged[field.name] = _neutral_value(field), _stored_text(key, field.name)
    row = Entry(**values)
    row.damaged = damaged
    return row


def _stored_text(key: int, column: str) -> str:
    try:
        text = Entry.objects.values_list(Cast(column, models.TextField()), flat=True).get(pk=key)
    # Text that is no UTF-8.
    except _ERRORS:
        return "?"
    return str(text)[:_MAX_SHOWN]


def _mark_damaged(row: Entry) -> Entry:
    damaged = dict(row.damaged)
    for field in Entry._meta.concrete_fields:
        value = getattr(row, field.attname)
        if field.name not in damaged and not is_valid_value(field, value):
            # Django reads some texts that are not times as None.
            damaged[field.name] = (
                _stored_text(row.pk, field.name) if value is None else str(value)[:_MAX_SHOWN]
            )
            setattr(row, field.attname, _neutral_value(field))
    if "details" not in damaged and not _is_object(row.details):
        damaged["details"] = row.details[:_MAX_SHOWN]
    if damaged:
        row.damaged = damaged
    return row


def _is_object(text: str) -> bool:
    return text == "{}" or bool(parse_details(text))


def _neutral_value(field: "models.Field[Any, Any]") -> Any:
    return next((neutral for kind, neutral in _NEUTRAL if isinstance(field, kind)), "")
