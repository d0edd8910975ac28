"""SQL that is put together once and run many times.

Django's ORM builds every statement anew; measured on the way of one webhook, that was four fifths of the CPU. What
runs for each webhook goes through here, everything else through the ORM. Values are prepared by the fields of the
models, so both ways store the same.
"""

import uuid
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any

from django.db import connection
from django.db.models import Field, Model


@dataclass(frozen=True, slots=True)
class Clock:
    """As the value of a column: the database's own clock when the statement runs, and `seconds` later."""

    seconds: float = 0.0


NOW = Clock()

_CLOCKS = {
    "sqlite": "STRFTIME('%%Y-%%m-%%d %%H:%%M:%%f', 'now', %s || ' seconds')",
    "postgresql": "(STATEMENT_TIMESTAMP() + %s * INTERVAL '1 second')",
}


class Statement:
    """One statement of plain SQL that both databases understand.

    `{clock}` stands for the database's clock plus so many seconds, and takes a number as its parameter; `{now}` for
    the clock itself. The other place-holders are `%s`. A partial index serves only where its condition stands in the
    text, so states are written out and never passed.
    """

    def __init__(self, sql: str) -> None:
        self._sql = " ".join(sql.split())

    def run(self, *values: Any) -> int:
        """How many rows it changed."""
        with closing(_cursor()) as cursor:
            _execute(cursor, _for_vendor(self._sql, connection.vendor), [_adapted(each) for each in values])
            return int(cursor.rowcount)

    def rows(self, *values: Any) -> list[tuple[Any, ...]]:
        """All rows that it gives, as the driver gives them: see `as_time`."""
        with closing(_cursor()) as cursor:
            _execute(cursor, _for_vendor(self._sql, connection.vendor), [_adapted(each) for each in values])
            return list(cursor.fetchall())

    def row(self, *values: Any) -> tuple[Any, ...] | None:
        """The first row, if there is one."""
        found = self.rows(*values)
        return found[0] if found else None


def insert(*rows: Model) -> None:
    """INSERT rows of one model with one statement; each gets its key. A `Clock` may stand for a time.

    What `bulk_create` does, at a fifth of its cost: no signals, no conflict handling, no expressions but `Clock`.
    """
    if not rows:
        return
    model = type(rows[0])
    columns = _columns(model)
    values: list[Any] = []
    clocks = []
    for row in rows:
        for column in columns:
            value = column.pre_save(row, add=True)
            if isinstance(value, Clock):
                clocks.append(len(values))
                values.append(value.seconds)
            else:
                values.append(column.get_db_prep_save(value, connection))
    sql = _insertion(model, len(rows), tuple(clocks), connection.vendor)
    with closing(_cursor()) as cursor:
        _execute(cursor, sql, values)
        for row, (key,) in zip(rows, cursor.fetchall(), strict=True):
            row.pk = key
            row._state.adding = False
            row._state.db = connection.alias


@lru_cache(maxsize=64)
def _columns(model: type[Model]) -> "tuple[Field[Any, Any], ...]":
    return tuple(each for each in model._meta.concrete_fields if not each.primary_key)


@lru_cache(maxsize=512)
def _insertion(model: type[Model], rows: int, clocks: tuple[int, ...], vendor: str) -> str:
    columns = _columns(model)
    names = ", ".join(f'"{each.column}"' for each in columns)
    marks = ["%s"] * (len(columns) * rows)
    for place in clocks:
        marks[place] = _CLOCKS[vendor]
    tuples = (
        f"({', '.join(marks[start : start + len(columns)])})" for start in range(0, len(marks), len(columns))
    )
    table, key = model._meta.db_table, model._meta.pk.column
    return f'INSERT INTO "{table}" ({names}) VALUES {", ".join(tuples)} RETURNING "{key}"'  # noqa: S608


@lru_cache(maxsize=512)
def _for_vendor(sql: str, vendor: str) -> str:
    clock = _CLOCKS[vendor]
    return sql.replace("{clock}", clock).replace("{now}", clock.replace("%s", "0"))


def _adapted(value: Any) -> Any:
    if isinstance(value, datetime):
        return connection.ops.adapt_datetimefield_value(value)
    if isinstance(value, uuid.UUID) and not connection.features.has_native_uuid_field:
        return value.hex
    return value


def as_time(value: Any) -> datetime | None:
    """A time of a column or of the clock as a driver gives it: SQLite's are text or have no zone, and mean UTC."""
    if value is None or (isinstance(value, datetime) and value.tzinfo):
        return value
    found = value if isinstance(value, datetime) else datetime.fromisoformat(value)
    return found.replace(tzinfo=UTC)


def _cursor() -> Any:
    """On PostgreSQL the driver's own cursor: its statements are prepared on the server once they come often.

    Django's would paste the values into the text. Where somebody watches (a test that counts) it is Django's.
    """
    if connection.vendor != "postgresql" or connection.execute_wrappers or connection.force_debug_cursor:
        return connection.cursor()
    connection.ensure_connection()
    return _own_cursor(connection.connection)


def _own_cursor(link: Any) -> Any:
    from psycopg import Cursor  # only where there is a PostgreSQL

    return Cursor(link)


def _execute(cursor: Any, sql: str, values: Sequence[Any]) -> None:
    with connection.wrap_database_errors:
        cursor.execute(sql, values)
