"""Decide which values of a column the hub writes itself. SQLite can store any other, and PostgreSQL some times."""

from datetime import MAXYEAR, MINYEAR, datetime
from typing import Any

from django.db import DataError, models

from audit.format.canonical_json import MAX_NUMBER

# What reading such a value raises, in the driver, in Django's conversion, or where a body is made of it.
UNREADABLE = (AttributeError, DataError, OverflowError, TypeError, ValueError)
_TYPES: tuple[tuple[type, type | tuple[type, ...]], ...] = (
    (models.BinaryField, (bytes, memoryview)),
    (models.DateTimeField, datetime),
    (models.BooleanField, bool),
    (models.IntegerField, int),
    (models.CharField, str),
    (models.TextField, str),
)


def is_valid_value(field: "models.Field[Any, Any]", value: object) -> bool:
    """Return True for a value that the hub may have written into this column."""
    if value is None:
        return field.null
    if isinstance(value, int) and abs(value) >= MAX_NUMBER:
        return False
    # A time in the first or last year may have no UTC time.
    if isinstance(value, datetime) and not MINYEAR < value.year < MAXYEAR:
        return False
    return all(isinstance(value, type_) for kind, type_ in _TYPES if isinstance(field, kind))
