"""What an export reads, copied out of its snapshot on SQLite, so that that need not last as long as the writing.

While a snapshot is open the write-ahead log only grows, and whoever reads a page looks for it in all of the log: over a
million events, with fifty a second coming in, it became 5.7 GB, and webhooks took twice as long. To copy the rows takes
a fraction of the time that it takes to write them out.

The copies are temporary tables of this thread's connection, and have the names of the tables: SQLite looks there first,
so that whoever reads rows need not know. They lie in a file without a name that goes when the connection is closed. A
transaction runs on another connection, that of the process's writer, and does not see them.
"""

import json
import sqlite3
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial

from django.db import DatabaseError, connection

from exports.bundle.rows import JOINED, READ, Reading
from exports.bundle.snapshot import begin_reading, snapshot

AT_ONCE = 2_000  # events
_KEYS = "(SELECT value FROM json_each(?1))"

Detach = Callable[[Iterable[Sequence[int]]], None]


class NoRoom(Exception):
    """There is no room for what an export needs. The text is for people."""


@contextmanager
def detachable_snapshot(write: Callable[[], None]) -> Iterator[Detach]:
    """A snapshot, and what ends it early: given the keys of events, some at a time, it copies what the rows of these
    events are made from. All statements of this thread go on reading that state. PostgreSQL needs no copies: there the
    snapshot itself goes on. `write`: as `snapshot` asks for it.
    """
    if connection.vendor == "postgresql":
        with snapshot(write):
            yield lambda _: None
        return
    connection.ensure_connection()
    link = connection.connection
    try:
        begin_reading(link, write)
        yield partial(_detach_if_there_is_room, link)
    finally:
        connection.close()  # with it go its transaction and the copies


def _detach_if_there_is_room(link: sqlite3.Connection, keys: Iterable[Sequence[int]]) -> None:
    """`NoRoom` where there is none for the copies."""
    try:
        with connection.wrap_database_errors:
            _detach(link, keys)
    except DatabaseError as error:
        if getattr(error.__cause__, "sqlite_errorcode", None) == sqlite3.SQLITE_FULL:
            raise NoRoom("No space is left for temporary files (SQLITE_TMPDIR or /var/tmp).") from error
        raise


def _detach(link: sqlite3.Connection, keys: Iterable[Sequence[int]]) -> None:
    """Past Django's cursor, where whatever writes stands in the line of writers: this writes nothing but copies."""
    for each in JOINED:
        _make_table(link, each)
        link.execute(f"{_copying(each)} ORDER BY id")
    for each in READ:
        _make_table(link, each)
    for some in keys:
        for each in READ:
            link.execute(f"{_copying(each)} WHERE {_is_under(each)}", [json.dumps(some)])
    for each in (*JOINED, *READ):
        name = _table(each)
        link.execute(f"CREATE INDEX temp.{name}_{each.under} ON {name} ({each.under})")
    link.execute("COMMIT")


def _make_table(link: sqlite3.Connection, read: Reading) -> None:
    nothing = f"SELECT {_columns(read)} FROM main.{_table(read)} WHERE 0"  # noqa: S608
    link.execute(f"CREATE TEMP TABLE {_table(read)} AS {nothing}")


def _copying(read: Reading) -> str:
    return f"INSERT INTO temp.{_table(read)} SELECT {_columns(read)} FROM main.{_table(read)}"  # noqa: S608


def _is_under(read: Reading) -> str:
    """Which rows stand under events with the keys that are given: by an index at each step."""
    if read.above is None:
        return f"{read.under} IN {_KEYS}"
    (above,) = (each for each in READ if each.model is read.above)
    return f"{read.under} IN (SELECT id FROM main.{_table(above)} WHERE {_is_under(above)})"  # noqa: S608


def _columns(read: Reading) -> str:
    known = read.model._meta.concrete_fields
    asked = {"id", *(name.partition("__")[0] for name in read.names)}
    return ", ".join(str(field.column) for field in known if {field.name, field.attname} & asked)


def _table(read: Reading) -> str:
    return read.model._meta.db_table
