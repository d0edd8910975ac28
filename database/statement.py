"""SQL that is put together once and run many times.

Django's ORM builds every statement anew; measured on the way of one webhook, that was four fifths of the CPU. What
runs for each webhook goes through here, everything else through the ORM. Both store the same: plain values as they
are, all others prepared by the fields of the models.
"""

import uuid
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any, NamedTuple

from django.db.models import Model

from database.connection import thread_connection
from database.values import CLOCK_SQL


class Statement:
    """One statement of plain SQL that both databases understand.

    `{clock}` stands for the database's clock plus so many seconds, and takes a number as its parameter; `{now}` for
    the clock itself. The other place-holders are `%s`. A partial index serves only where its condition stands in the
    text, so states are written out and never passed.
    """

    def __init__(self, sql: str) -> None:
        self.sql = " ".join(sql.split())
        self._is_read = self.sql.startswith("SELECT")
        self._texts = {vendor: sql_for_vendor(self.sql, vendor) for vendor in CLOCK_SQL}

    def bind(self, *values: Any) -> "BoundStatement":
        """With its values, for a `database.write_batch.WriteBatch`."""
        return BoundStatement(self._texts, values)

    def execute(self, *values: Any) -> int:
        """How many rows it changed."""
        return int(self._execute_and_fetch(values, row_count))

    def fetch_all(self, *values: Any) -> list[tuple[Any, ...]]:
        """All rows that it gives, as the driver gives them: see `as_time`."""
        return list(self._execute_and_fetch(values, all_rows))

    def fetch_one(self, *values: Any) -> tuple[Any, ...] | None:
        """The first row, if there is one."""
        found = self._execute_and_fetch(values, all_rows)
        return found[0] if found else None

    def _execute_and_fetch(self, values: Sequence[Any], fetch: Callable[[Any], Any]) -> Any:
        connection = thread_connection()
        return execute_sql(connection, self._texts[connection.vendor], values, fetch, is_read=self._is_read)


class BoundStatement(NamedTuple):
    """A statement's text for each database, and its values."""

    texts: Mapping[str, str]
    values: Sequence[Any]

    def execute(self) -> int:
        """How many rows it changed."""
        connection = thread_connection()
        return int(
            execute_sql(connection, self.texts[connection.vendor], self.values, row_count, is_read=False)
        )


def sql_for_vendor(sql: str, vendor: str) -> str:
    """Return the text with the clock of that database in place of `{clock}` and `{now}`."""
    clock = CLOCK_SQL[vendor]
    return sql.replace("{clock}", clock).replace("{now}", clock.replace("%s", "0"))


def all_rows(cursor: Any) -> Any:
    """Fetch all rows."""
    return cursor.fetchall()


def first_row(cursor: Any) -> Any:
    """Fetch the first row, if there is one."""
    return cursor.fetchone()


def row_count(cursor: Any) -> Any:
    """Return how many rows were changed."""
    return cursor.rowcount


def first_value(cursor: Any) -> Any:
    """Return the first column of the first row, of a write that returns nothing whether it changed a row; or None."""
    if cursor.description is None:
        return True if cursor.rowcount else None
    row = cursor.fetchone()
    return None if row is None else row[0]


_COMMON_TYPES = frozenset({str, int, float, bool, bytes, type(None)})
# What the drivers take as it is.
_NATIVE_TYPES = {"sqlite": _COMMON_TYPES, "postgresql": _COMMON_TYPES | {datetime, uuid.UUID}}
_UTC_SUFFIX_LENGTH = len("+00:00")


def _for_sqlite(value: Any) -> Any:
    """Convert a value as Django's SQLite backend does."""
    if isinstance(value, datetime):
        at = value if value.tzinfo is UTC else value.astimezone(UTC)
        return at.isoformat(" ")[:-_UTC_SUFFIX_LENGTH]
    if isinstance(value, uuid.UUID):
        return value.hex
    return _for_postgresql(value)


def _for_postgresql(value: Any) -> Any:
    """Convert a member of TextChoices to plain text, and a model instance to its primary key."""
    if isinstance(value, str):
        return str(value)
    return value.pk if isinstance(value, Model) else value


_CURSOR_ATTRIBUTE = "_hub_cursor"


def execute_sql(
    connection: Any, sql: str, values: Sequence[Any], fetch: Callable[[Any], Any], *, is_read: bool
) -> Any:
    """Execute a text over the driver's own cursor, and return what `fetch` returns for that.

    On PostgreSQL its statements are prepared on the server once they come often, where Django's would paste the values
    into the text. If the statement is watched (a test that counts), or is a single write that has to queue (SQLite), it
    goes over Django's cursor.
    """
    is_sqlite = connection.vendor == "sqlite"
    plain = _NATIVE_TYPES[connection.vendor]
    if not plain.issuperset(map(type, values)):
        convert = _for_sqlite if is_sqlite else _for_postgresql
        values = [value if type(value) in plain else convert(value) for value in values]
    is_watched = connection.execute_wrappers or connection.force_debug_cursor
    if is_watched or (is_sqlite and not (is_read or connection.in_atomic_block)):
        with connection.cursor() as cursor:
            cursor.execute(sql, values)
            return fetch(cursor)
    if connection.connection is None:
        connection.ensure_connection()
    link = connection.connection
    with connection.wrap_database_errors:
        if is_sqlite:
            cursor = link.cursor()
            try:
                cursor.execute(_with_qmark_parameters(sql), values)
                return fetch(cursor)
            finally:
                cursor.close()
        cursor = _raw_cursor(link)
        cursor.execute(_with_numbered_parameters(sql), values)
        return fetch(cursor)


def _raw_cursor(link: Any) -> Any:
    """The one cursor of a connection that takes the text as it is: the usual one reads a long text anew each time, to
    find its `%s`. It stays, for it knows how to read and write the types that it has met; a new one learns them again.
    """
    known = link.__dict__
    cursor = known.get(_CURSOR_ATTRIBUTE)
    if cursor is None:
        from psycopg import RawCursor  # only where there is a PostgreSQL

        cursor = known[_CURSOR_ATTRIBUTE] = RawCursor(link)
    return cursor


@lru_cache(maxsize=1024)
def _with_numbered_parameters(sql: str) -> bytes:
    first, *rest = sql.split("%s")
    text = first + "".join(f"${number}{piece}" for number, piece in enumerate(rest, 1))
    return text.replace("%%", "%").encode()


@lru_cache(maxsize=1024)
def _with_qmark_parameters(sql: str) -> str:
    return sql.replace("%s", "?").replace("%%", "%")
