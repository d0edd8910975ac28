"""Name the rows with a value that cannot be read."""

from collections.abc import Iterable, Iterator, Sequence
from datetime import MAXYEAR, MINYEAR, datetime
from math import isfinite
from typing import Any

from django.db import models
from django.db.models import QuerySet

from audit.models.column_values import is_valid_value
from config_schema.codes.reference import to_reference
from exports.bundle.export_rows import read_rows
from exports.bundle.shipped.check_rows import RowFault
from exports.damaged_values import READ_ERRORS, is_damage
from sync.models import Attempt, Call, Delivery
from webhooks.models import Event, Receipt

MAX_ROWS = 2_000  # searched under one event, of each table
# How each table is called in a fault, and the way from its rows to their event.
EVENT_TABLES: tuple[tuple[type[models.Model], str, str], ...] = (
    (Event, "events", "pk"),
    (Receipt, "receipts", "event"),
    (Delivery, "deliveries", "event"),
    (Attempt, "attempts", "delivery__event"),
    (Call, "calls", "attempt__delivery__event"),
)


class UnreadableRows(Exception):
    """Raised if an event of an export has a value that cannot be read. The text is for people."""


def name_event(key: int) -> str:
    """Return the reference of an event; its key if the reference cannot be read."""
    try:
        return to_reference(Event.objects.values_list("uuid", flat=True).get(pk=key))
    except (*READ_ERRORS, Event.DoesNotExist) as error:
        if not is_damage(error):
            raise
        return f"with id {key}"


def unreadable_faults(event: int) -> Iterator[RowFault]:
    """Yield a fault for each row under an event with a value that the hub does not write or cannot read."""
    name = name_event(event)
    for model, table, path in EVENT_TABLES:
        rows = model._default_manager.filter(**{path: event}).order_by("pk")
        for key in rows.values_list("pk", flat=True)[:MAX_ROWS]:
            if columns := invalid_columns(model, key):
                place = name if model is Event else f"with id {key} of event {name}"
                yield RowFault("unreadable", table, place, columns, "cannot be read")


def invalid_columns(model: type[models.Model], key: int) -> str:
    """Return the columns of a row whose values the hub does not write or cannot read; empty if there is none."""
    return " or ".join(invalid_column_names(model, key))


def invalid_column_names(model: type[models.Model], key: int) -> list[str]:
    """Return the names of these columns, by one statement for each column."""
    rows = model._default_manager.filter(pk=key)
    return [field.name for field in model._meta.concrete_fields if not _is_valid_column(rows, field)]


def _is_valid_column(rows: QuerySet[Any], field: "models.Field[Any, Any]") -> bool:
    try:
        values: list[Any] = list(rows.values_list(field.attname, flat=True))
    except READ_ERRORS as error:
        if not is_damage(error):
            raise
        return False
    return all(is_valid_column_value(field, value) for value in values)


def is_valid_column_value(field: "models.Field[Any, Any]", value: Any) -> bool:
    """Return True for a value that the hub may have written into this column, a foreign key or a number included."""
    if value is None:
        return field.null
    while isinstance(field, models.ForeignKey):
        field = field.target_field
    # Such a field has values of its own type: its conversion has refused all others.
    if hasattr(field, "from_db_value"):
        return True
    if isinstance(field, models.FloatField):
        return isinstance(value, int | float) and isfinite(value)
    return is_valid_value(field, value)


def read_values(
    rows: QuerySet[Any], keys: Sequence[int], columns: Sequence[str], table: str
) -> tuple[list[tuple[Any, ...]], list[RowFault]]:
    """Return these columns of the rows with these keys, by key, and a fault for each row that cannot be read."""
    found = _read_or_none(rows.filter(pk__in=keys).order_by("pk"), columns)
    if found is not None:
        return found, []
    values: list[tuple[Any, ...]] = []
    faults: list[RowFault] = []
    for key in keys:
        found = _read_or_none(rows.filter(pk=key), columns)
        if found is None:
            names = invalid_columns(rows.model, key)
            faults.append(RowFault("unreadable", table, f"with id {key}", names, "cannot be read"))
        values += found or []
    return values, faults


def _read_or_none(rows: QuerySet[Any], columns: Sequence[str]) -> list[tuple[Any, ...]] | None:
    """Return these columns of the rows; None if a value cannot be read, or is a time without a UTC time."""
    try:
        values = list(rows.values_list(*columns))
    except READ_ERRORS as error:
        if not is_damage(error):
            raise
        return None
    times = (value for row in values for value in row if isinstance(value, datetime))
    return None if any(not MINYEAR < at.year < MAXYEAR for at in times) else values


def find_unreadable_event(batches: Iterable[Sequence[int]]) -> UnreadableRows | None:
    """Return the error for the first of these events with an unreadable row; None if all can be read."""
    for batch in batches:
        keys = batch
        while not _is_readable(keys):
            if len(keys) == 1:
                return UnreadableRows(
                    f"A stored value of event {name_event(keys[0])} cannot be read. Run verify_audit, which names the "
                    "row."
                )
            half = len(keys) // 2
            keys = keys[half:] if _is_readable(keys[:half]) else keys[:half]
    return None


def _is_readable(keys: Sequence[int]) -> bool:
    try:
        read_rows(keys)
    except READ_ERRORS as error:
        if not is_damage(error):
            raise
        return False
    return True
