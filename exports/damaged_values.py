"""Recognise a stored value that cannot be read, and read it as text.

SQLite can store any value in any column, and PostgreSQL some times that Python does not have.
"""

from typing import Any

from django.db import DatabaseError, DataError, models
from django.db.models.functions import Cast

from audit.models.column_values import UNREADABLE

READ_ERRORS = (*UNREADABLE, LookupError, RecursionError, DatabaseError)
_MAX_SHOWN = 200  # characters of a damaged value


def is_damage(error: Exception) -> bool:
    """Return True if an error while rows were read comes from a stored value, and not from the database's state."""
    # SQLite's driver reports text that is no UTF-8 as an error of operation.
    return not isinstance(error, DatabaseError) or isinstance(error, DataError) or "UTF-8" in str(error)


def stored_text(model: type[models.Model], key: int, column: str) -> str | None:
    """Return what is stored in a column as text, at most 200 characters; "?" if it is not text either, and None for
    null.
    """
    rows = model._default_manager.filter(pk=key)
    try:
        text: Any = rows.values_list(Cast(column, models.TextField()), flat=True).first()
    except READ_ERRORS as error:
        if not is_damage(error):
            raise
        return "?"
    return None if text is None else str(text)[:_MAX_SHOWN]
