"""The database's clock: the only one that leases and due times are measured by."""

from datetime import datetime, timedelta
from typing import Any

from django.db import connection
from django.db.models import DateTimeField, ExpressionWrapper
from django.db.models.functions import Now

from database.statement import Statement
from database.values import as_time, moment

_CLOCKS = {"sqlite": "SELECT STRFTIME('%Y-%m-%d %H:%M:%f', 'NOW')", "postgresql": "SELECT CLOCK_TIMESTAMP()"}


def database_clock() -> datetime:
    """The moment, as the database sees it, to the millisecond at least."""
    with connection.cursor() as cursor:
        cursor.execute(_CLOCKS[connection.vendor])
        (found,) = cursor.fetchone()
    return moment(found)


_CLOCK = Statement("SELECT {now}")


def database_now() -> Now:
    """The moment at which the statement runs, as the database sees it."""
    return Now()


def database_now_plus(seconds: float) -> Any:
    """That moment, `seconds` later."""
    return ExpressionWrapper(Now() + timedelta(seconds=seconds), output_field=DateTimeField())


def read_clock() -> datetime:
    """What the database's clock says now."""
    found = _CLOCK.row()
    now = as_time(found[0]) if found else None
    assert now is not None, "a SELECT without FROM gives one row"
    return now
