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

from exports.bundle.export_rows import EVENT_TABLES, LOOKUP_TABLES, SourceTable
from exports.bundle.snapshot import pin_wal_snapshot, read_snapshot

COPY_BATCH = 2_000  # events
_EVENT_KEYS = "(SELECT value FROM json_each(?1))"

CopyRows = Callable[[Iterable[Sequence[int]]], None]


class NoTemporarySpace(Exception):
    """There is no room for what an export needs. The text is for people."""


@contextmanager
def snapshot_with_copy(commit_elsewhere: Callable[[], None]) -> Iterator[CopyRows]:
    """A snapshot, and what ends it early: given the keys of events, some at a time, it copies what the rows of these
    events are made from. All statements of this thread go on reading that state. PostgreSQL needs no copies: there the
    snapshot itself goes on. `save_fields`: as `read_snapshot` asks for it.
    """
    if connection.vendor == "postgresql":
        with read_snapshot(commit_elsewhere):
            yield lambda _: None
        return
    connection.ensure_connection()
    link = connection.connection
    try:
        pin_wal_snapshot(link, commit_elsewhere)
        yield partial(_copy_or_raise, link)
    finally:
        connection.close()  # with it go its transaction and the copies


def _copy_or_raise(link: sqlite3.Connection, keys: Iterable[Sequence[int]]) -> None:
    """`NoTemporarySpace` where there is none for the copies."""
    try:
        with connection.wrap_database_errors:
            _copy_tables(link, keys)
    except DatabaseError as error:
        if getattr(error.__cause__, "sqlite_errorcode", None) == sqlite3.SQLITE_FULL:
            raise NoTemporarySpace(
                "No space is left for temporary files (SQLITE_TMPDIR or /var/tmp)."
            ) from error
        raise


def _copy_tables(link: sqlite3.Connection, keys: Iterable[Sequence[int]]) -> None:
    """Past Django's cursor, where whatever writes stands in the line of writers: this writes nothing but copies."""
    for each in LOOKUP_TABLES:
        _create_copy_table(link, each)
        link.execute(f"{_insert_sql(each)} ORDER BY id")
    for each in EVENT_TABLES:
        _create_copy_table(link, each)
    for some in keys:
        for each in EVENT_TABLES:
            link.execute(f"{_insert_sql(each)} WHERE {_parent_condition(each)}", [json.dumps(some)])
    for each in (*LOOKUP_TABLES, *EVENT_TABLES):
        name = _table_name(each)
        link.execute(f"CREATE INDEX temp.{name}_{each.parent_column} ON {name} ({each.parent_column})")
    link.execute("COMMIT")


def _create_copy_table(link: sqlite3.Connection, read: SourceTable) -> None:
    nothing = f"SELECT {_column_list(read)} FROM main.{_table_name(read)} WHERE 0"  # noqa: S608
    link.execute(f"CREATE TEMP TABLE {_table_name(read)} AS {nothing}")


def _insert_sql(read: SourceTable) -> str:
    return f"INSERT INTO temp.{_table_name(read)} SELECT {_column_list(read)} FROM main.{_table_name(read)}"  # noqa: S608


def _parent_condition(read: SourceTable) -> str:
    """Which rows stand under events with the keys that are given: by an index at each step."""
    if read.parent_model is None:
        return f"{read.parent_column} IN {_EVENT_KEYS}"
    (above,) = (each for each in EVENT_TABLES if each.model is read.parent_model)
    return (
        f"{read.parent_column} IN (SELECT id FROM main.{_table_name(above)} WHERE {_parent_condition(above)})"  # noqa: S608
    )


def _column_list(read: SourceTable) -> str:
    known = read.model._meta.concrete_fields
    asked = {"id", *(name.partition("__")[0] for name in read.columns)}
    return ", ".join(str(field.column) for field in known if {field.name, field.attname} & asked)


def _table_name(read: SourceTable) -> str:
    return read.model._meta.db_table
