"""SQL statements that are built once and run many times.

Django's ORM builds the SQL of every statement again; for one webhook, that was four fifths of the measured CPU time.
Statements that run for each webhook are `Statement`s; everything else uses the ORM. Both store equal values: plain
values unchanged, all others prepared by the fields of the models.
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

    `{clock}` is replaced by the database's clock plus a number of seconds, which is its parameter; `{now}` for
    the clock itself. The other place-holders are `%s`. A partial index is used only if its condition is in the
    text, so states are written out and never passed.
    """

    def __init__(self, sql: str) -> None:
        self.sql = " ".join(sql.split())
        self._is_read = self.sql.startswith("SELECT")
        self._texts = {vendor: sql_for_vendor(self.sql, vendor) for vendor in CLOCK_SQL}

    def bind(self, *values: Any) -> "BoundStatement":
        """Return the statement with its values, for a `database.write_batch.WriteBatch`."""
        return BoundStatement(self._texts, values)

    def execute(self, *values: Any) -> int:
        """Execute the statement and return the number of changed rows."""
        return int(self._execute_and_fetch(values, row_count))

    def fetch_all(self, *values: Any) -> list[tuple[Any, ...]]:
        """Return all rows as the driver returns them: see `database.values` for times."""
        return list(self._execute_and_fetch(values, all_rows))

    def fetch_one(self, *values: Any) -> tuple[Any, ...] | None:
        """Return the first row, or None."""
        row = self._execute_and_fetch(values, all_rows)
        return row[0] if row else None

    def _execute_and_fetch(self, values: Sequence[Any], fetch: Callable[[Any], Any]) -> Any:
        connection = thread_connection()
        return execute_sql(connection, self._texts[connection.vendor], values, fetch, is_read=self._is_read)


class BoundStatement(NamedTuple):
    """A statement's text for each database, with its values."""

    texts: Mapping[str, str]
    values: Sequence[Any]

    def execute(self) -> int:
        """Execute the statement and return the number of changed rows."""
        connection = thread_connection()
        return int(
            execute_sql(connection, self.texts[connection.vendor], self.values, row_count, is_read=False)
        )


def sql_for_vendor(sql: str, vendor: str) -> str:
    """Return the SQL text with `{clock}` and `{now}` replaced by this database's clock."""
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
    """Return the first column of the first row, or None. For a write that returns no rows: True if it changed one, else
    None.
    """
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
    """Execute a text through the driver's own cursor, and return what `fetch` returns for it.

    PostgreSQL prepares a statement on the server once it runs often; Django's cursor would paste the values into the
    text. A statement goes through Django's cursor if it is watched (a test that counts) or is a single write that has
    to queue (SQLite).
    """
    is_sqlite = connection.vendor == "sqlite"
    plain = _NATIVE_TYPES[connection.vendor]
    if not plain.issuperset(map(type, values)):
        convert = _for_sqlite if is_sqlite else _for_postgresql
        # Rare: most values are of types that the driver takes unchanged.
        values = [value if type(value) in plain else convert(value) for value in values]
    is_watched = connection.execute_wrappers or connection.force_debug_cursor
    if is_watched or (is_sqlite and not (is_read or connection.in_atomic_block)):
        with connection.cursor() as cursor:
            cursor.execute(sql, values)
            return fetch(cursor)
    if connection.connection is None:
        connection.ensure_connection()
    raw_connection = connection.connection
    try:
        if is_sqlite:
            cursor = raw_connection.cursor()
            try:
                cursor.execute(_with_qmark_parameters(sql), values)
                return fetch(cursor)
            finally:
                cursor.close()
        cursor = _raw_cursor(raw_connection)
        # Bytes, so that the cached text is encoded only once.
        cursor.execute(_with_numbered_parameters(sql), values)
        return fetch(cursor)
    except connection.Database.Error:
        # Not entered before: nearly all statements succeed.
        with connection.wrap_database_errors:
            raise


def _raw_cursor(raw_connection: Any) -> Any:
    """Return the one cursor of this connection that takes the text as it is.

    Psycopg's usual cursor searches a long text for `%s` each time. The cursor is reused because it remembers how to
    convert the types that it has met.
    """
    known = raw_connection.__dict__
    cursor = known.get(_CURSOR_ATTRIBUTE)
    if cursor is None:
        # Imported here, so that a process on SQLite does not load psycopg.
        from psycopg import RawCursor

        cursor = known[_CURSOR_ATTRIBUTE] = RawCursor(raw_connection)
    return cursor


@lru_cache(maxsize=1024)
def _with_numbered_parameters(sql: str) -> bytes:
    first, *rest = sql.split("%s")
    text = first + "".join(f"${number}{piece}" for number, piece in enumerate(rest, 1))
    return text.replace("%%", "%").encode()


@lru_cache(maxsize=1024)
def _with_qmark_parameters(sql: str) -> str:
    return sql.replace("%s", "?").replace("%%", "%")
