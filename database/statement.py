"""SQL that is put together once and run many times.

Django's ORM builds every statement anew; measured on the way of one webhook, that was four fifths of the CPU. What
runs for each webhook goes through here, everything else through the ORM. Both store the same: plain values as they
are, all others prepared by the fields of the models.
"""

from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Any, NamedTuple

from database.connection import current
from database.values import _CLOCKS, prepared


class Statement:
    """One statement of plain SQL that both databases understand.

    `{clock}` stands for the database's clock plus so many seconds, and takes a number as its parameter; `{now}` for
    the clock itself. The other place-holders are `%s`. A partial index serves only where its condition stands in the
    text, so states are written out and never passed.
    """

    def __init__(self, sql: str) -> None:
        self.sql = " ".join(sql.split())
        self._is_reading = self.sql.startswith("SELECT")
        self._texts = {vendor: for_vendor(self.sql, vendor) for vendor in _CLOCKS}

    def bound(self, *values: Any) -> "Bound":
        """With its values, for a `database.write_batch.WriteBatch`."""
        return Bound(self._texts[current().vendor], values)

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
        connection = current()
        vendor = connection.vendor
        return execute(
            connection, self._texts[vendor], prepared(values, vendor), result, is_reading=self._is_reading
        )


class Bound(NamedTuple):
    """A statement in the words of this database, and its values."""

    sql: str
    values: Sequence[Any]

    def run(self) -> int:
        """How many rows it changed."""
        connection = current()
        values = prepared(self.values, connection.vendor)
        return int(execute(connection, self.sql, values, lambda cursor: cursor.rowcount, is_reading=False))


def for_vendor(sql: str, vendor: str) -> str:
    clock = _CLOCKS[vendor]
    return sql.replace("{clock}", clock).replace("{now}", clock.replace("%s", "0"))


_CURSOR = "_hub_cursor"


def execute(
    connection: Any, sql: str, values: Sequence[Any], result: Callable[[Any], Any], *, is_reading: bool
) -> Any:
    """Over the driver's own cursor: on PostgreSQL its statements are prepared on the server once they come often,
    where Django's would paste the values into the text.

    Where somebody watches (a test that counts), and for a single write that must wait in line (SQLite), it is Django's.
    """
    is_sqlite = connection.vendor == "sqlite"
    is_watched = connection.execute_wrappers or connection.force_debug_cursor
    if is_watched or (is_sqlite and not (is_reading or connection.in_atomic_block)):
        with connection.cursor() as cursor:
            cursor.execute(sql, values)
            return result(cursor)
    if connection.connection is None:
        connection.ensure_connection()
    link = connection.connection
    with connection.wrap_database_errors:
        if is_sqlite:
            cursor = link.cursor()
            try:
                cursor.execute(_qmark(sql), values)
                return result(cursor)
            finally:
                cursor.close()
        cursor = _raw_cursor(link)
        cursor.execute(_numbered(sql), values)
        return result(cursor)


def _raw_cursor(link: Any) -> Any:
    """The one cursor of a connection that takes the text as it is: the usual one reads a long text anew each time, to
    find its `%s`. It stays, for it knows how to read and write the types that it has met; a new one learns them again.
    """
    known = link.__dict__
    cursor = known.get(_CURSOR)
    if cursor is None:
        from psycopg import RawCursor  # only where there is a PostgreSQL

        cursor = known[_CURSOR] = RawCursor(link)
    return cursor


@lru_cache(maxsize=1024)
def _numbered(sql: str) -> bytes:
    first, *rest = sql.split("%s")
    text = first + "".join(f"${number}{piece}" for number, piece in enumerate(rest, 1))
    return text.replace("%%", "%").encode()


@lru_cache(maxsize=1024)
def _qmark(sql: str) -> str:
    return sql.replace("%s", "?").replace("%%", "%")
