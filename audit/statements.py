"""SQL that is put together once and run many times.

Django's ORM builds every statement anew; measured on the way of one webhook, that was four fifths of the CPU. What
runs for each webhook goes through here, everything else through the ORM. Both store the same: plain values as they
are, all others prepared by the fields of the models.
"""

import uuid
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any

from django.db import DEFAULT_DB_ALIAS, connections
from django.db.models import BinaryField, Field, JSONField, Model


@dataclass(frozen=True, slots=True)
class Clock:
    """As the value of a column: the database's own clock when the statement runs, and `seconds` later."""

    seconds: float = 0.0


NOW = Clock()

_CLOCKS = {
    "sqlite": "STRFTIME('%%Y-%%m-%%d %%H:%%M:%%f', 'now', %s || ' seconds')",
    "postgresql": "(STATEMENT_TIMESTAMP() + %s * INTERVAL '1 second')",
}
_PLAIN = frozenset({str, int, float, bool, type(None)})


class Statement:
    """One statement of plain SQL that both databases understand.

    `{clock}` stands for the database's clock plus so many seconds, and takes a number as its parameter; `{now}` for
    the clock itself. The other place-holders are `%s`. A partial index serves only where its condition stands in the
    text, so states are written out and never passed.
    """

    def __init__(self, sql: str) -> None:
        self.sql = " ".join(sql.split())
        self._is_reading = self.sql.startswith("SELECT")
        self._texts = {vendor: _for_vendor(self.sql, vendor) for vendor in _CLOCKS}

    def run(self, *values: Any) -> int:
        """How many rows it changed."""
        return int(self._execute(values, lambda cursor: cursor.rowcount))

    def rows(self, *values: Any) -> list[tuple[Any, ...]]:
        """All rows that it gives, as the driver gives them: see `as_time`."""
        return list(self._execute(values, lambda cursor: cursor.fetchall()))

    def row(self, *values: Any) -> tuple[Any, ...] | None:
        """The first row, if there is one."""
        found = self.rows(*values)
        return found[0] if found else None

    def _execute(self, values: Sequence[Any], result: Callable[[Any], Any]) -> Any:
        connection = connections[DEFAULT_DB_ALIAS]
        prepare = _PREPARE[connection.vendor]
        prepared = [each if type(each) in _PLAIN else prepare(each) for each in values]
        return _execute(
            connection, self._texts[connection.vendor], prepared, result, is_reading=self._is_reading
        )


def insert(*rows: Model) -> None:
    """INSERT rows of one model with one statement; each gets its key. A `Clock` may stand for a time.

    What `bulk_create` does, at a tenth of its cost: no signals, no conflict handling, no expressions but `Clock`.
    """
    if not rows:
        return
    connection = connections[DEFAULT_DB_ALIAS]
    model = type(rows[0])
    columns = _columns(model)
    prepare = _PREPARE[connection.vendor]
    values: list[Any] = []
    clocks = []
    for row in rows:
        held = row.__dict__
        for column in columns:
            value = held[column.name] if column.is_held else column.field.pre_save(row, add=True)
            if type(value) in _PLAIN and column.is_plain:
                pass
            elif type(value) is Clock:
                clocks.append(len(values))
                value = value.seconds
            elif column.is_plain:
                value = prepare(column.field.get_prep_value(value))
            else:
                value = column.field.get_db_prep_save(value, connection)
            values.append(value)
    sql = _insertion(model, len(rows), tuple(clocks), connection.vendor)
    keys = _execute(connection, sql, values, lambda cursor: cursor.fetchall(), is_reading=False)
    for row, (key,) in zip(rows, keys, strict=True):
        row.pk = key
        row._state.adding = False
        row._state.db = DEFAULT_DB_ALIAS


@dataclass(frozen=True, slots=True)
class _Column:
    """A field. `is_held`: its value stands in the row as it is; `is_plain`: a plain value is stored as it is."""

    field: "Field[Any, Any]"
    name: str
    is_held: bool
    is_plain: bool


@lru_cache(maxsize=64)
def _columns(model: type[Model]) -> tuple[_Column, ...]:
    return tuple(_column(each) for each in model._meta.concrete_fields if not each.primary_key)


def _column(field: "Field[Any, Any]") -> _Column:
    is_held = not (getattr(field, "auto_now", False) or getattr(field, "auto_now_add", False))
    is_plain = not isinstance(field, BinaryField | JSONField)
    return _Column(field, field.attname, is_held, is_plain)


@lru_cache(maxsize=512)
def _insertion(model: type[Model], rows: int, clocks: tuple[int, ...], vendor: str) -> str:
    columns = _columns(model)
    names = ", ".join(f'"{each.field.column}"' for each in columns)
    marks = ["%s"] * (len(columns) * rows)
    for place in clocks:
        marks[place] = "{clock}"
    tuples = (
        f"({', '.join(marks[start : start + len(columns)])})" for start in range(0, len(marks), len(columns))
    )
    table, key = model._meta.db_table, model._meta.pk.column
    text = f'INSERT INTO "{table}" ({names}) VALUES {", ".join(tuples)} RETURNING "{key}"'  # noqa: S608
    return _for_vendor(text, vendor)


def _for_vendor(sql: str, vendor: str) -> str:
    clock = _CLOCKS[vendor]
    return sql.replace("{clock}", clock).replace("{now}", clock.replace("%s", "0"))


def _for_sqlite(value: Any) -> Any:
    """What Django's backend makes of these types."""
    if isinstance(value, datetime):
        return str(value.astimezone(UTC).replace(tzinfo=None))
    if isinstance(value, uuid.UUID):
        return value.hex
    return value


_PREPARE: dict[str, Callable[[Any], Any]] = {"sqlite": _for_sqlite, "postgresql": lambda value: value}


def as_time(value: Any) -> datetime | None:
    """A time of a column or of the clock as a driver gives it: SQLite's are text or have no zone, and mean UTC."""
    if value is None or (isinstance(value, datetime) and value.tzinfo):
        return value
    found = value if isinstance(value, datetime) else datetime.fromisoformat(value)
    return found.replace(tzinfo=UTC)


def _execute(
    connection: Any, sql: str, values: Sequence[Any], result: Callable[[Any], Any], *, is_reading: bool
) -> Any:
    """Over the driver's own cursor: on PostgreSQL its statements are prepared on the server once they come often,
    where Django's would paste the values into the text.

    Where somebody watches (a test that counts), and for a single write that must wait in line, it is Django's.
    """
    is_watched = connection.execute_wrappers or connection.force_debug_cursor
    if is_watched or not (is_reading or connection.in_atomic_block):
        with connection.cursor() as cursor:
            cursor.execute(sql, values)
            return result(cursor)
    connection.ensure_connection()
    with connection.wrap_database_errors, closing(_OWN[connection.vendor](connection.connection)) as cursor:
        cursor.execute(_qmark(sql) if connection.vendor == "sqlite" else sql, values)
        return result(cursor)


def _of_sqlite(link: Any) -> Any:
    return link.cursor()


def _of_postgresql(link: Any) -> Any:
    from psycopg import Cursor  # only where there is a PostgreSQL

    return Cursor(link)


_OWN: dict[str, Callable[[Any], Any]] = {"sqlite": _of_sqlite, "postgresql": _of_postgresql}


@lru_cache(maxsize=1024)
def _qmark(sql: str) -> str:
    return sql.replace("%s", "?").replace("%%", "%")
