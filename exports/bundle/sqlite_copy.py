"""Copy the rows that an export reads out of its snapshot on SQLite, so that the snapshot can end before the writing
does.

While a snapshot is open the write-ahead log only grows, and every read searches all of it: over a million events,
with fifty a second coming in, the log became 5.7 GB and webhooks took twice as long. Copying the rows takes a
fraction of the time that it takes to write them out.

The copies are temporary tables of this thread's connection, under the names of the original tables. SQLite looks
there first, so that the code that reads rows need not know. They are in an unnamed file that is deleted when the
connection is closed; until then no other thread gets the connection. A transaction runs on another one, that of the
process's writer, and does not see them.
"""

import json
import sqlite3
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any
from uuid import UUID

from django.db import DatabaseError, connection

from config_schema.codes.reference import to_reference
from database.connection import thread_connection
from exports.bundle.export_rows import EVENT_TABLES, LOOKUP_TABLES, SourceTable
from exports.bundle.snapshot import pin_wal_snapshot, read_snapshot
from sync.models import delivery_stream

COPY_BATCH = 2_000  # events
# Of the audit log, how far each stream goes. A stub counts where no entry is stored any more. The id stands for that of
# the entry: no entry has a number above its id (`audit.entries.stream_heads`).
_CREATE_HEADS = (
    "CREATE TEMP TABLE audit_entry (stream TEXT PRIMARY KEY, stream_seq INTEGER, leaf BLOB, id INTEGER) WITHOUT ROWID",
    "CREATE TEMP TABLE audit_stub (stream TEXT, seq INTEGER, leaf BLOB)",
)
_STREAMS = """SELECT e.uuid, NULL FROM main.webhooks_event e WHERE e.id IN (SELECT value FROM json_each(?1))
    UNION ALL SELECT e.uuid, d.route_id FROM main.sync_delivery d JOIN main.webhooks_event e ON e.id = d.event_id
    WHERE d.event_id IN (SELECT value FROM json_each(?1))"""
_INSERT_HEADS = """INSERT INTO temp.audit_entry SELECT wanted.value, seq, zeroblob(32), seq FROM (SELECT value,
    COALESCE((SELECT stream_seq FROM main.audit_entry WHERE stream = value AND stream_seq BETWEEN 0 AND id
    ORDER BY stream_seq DESC LIMIT 1),
    (SELECT seq FROM main.audit_stub WHERE stream = value), 0) AS seq FROM json_each(?)) AS wanted"""
# All keys of a batch are one JSON parameter: SQLite limits the number of parameters.
_EVENT_KEYS = "(SELECT value FROM json_each(?1))"

CopyRows = Callable[[Iterable[Sequence[int]]], None]


class NoTemporarySpace(Exception):
    """Raised if the disk has no space left for the temporary tables. The text is for people."""


@contextmanager
def snapshot_with_copy(commit_elsewhere: Callable[[], None]) -> Iterator[CopyRows]:
    """Open a snapshot, and yield a function that ends it early.

    Given keys of events in batches, the function copies the rows of these events; all later statements of this
    thread read the copies. On PostgreSQL it does nothing: the snapshot stays open. `commit_elsewhere` is passed on
    to `read_snapshot`.
    """
    if connection.vendor == "postgresql":
        with read_snapshot(commit_elsewhere):
            yield lambda _: None
        return
    thread: Any = thread_connection()
    thread.ensure_connection()
    thread.keeps_connection = True
    raw_connection = thread.connection
    try:
        pin_wal_snapshot(raw_connection, commit_elsewhere)
        yield partial(_copy_or_raise, raw_connection)
    finally:
        thread.keeps_connection = False
        # Closing the connection ends its transaction and deletes the copies.
        thread.close()


def _copy_or_raise(raw_connection: sqlite3.Connection, keys: Iterable[Sequence[int]]) -> None:
    """Copy the tables. Raises NoTemporarySpace if there is no space for them."""
    try:
        with connection.wrap_database_errors:
            _copy_tables(raw_connection, keys)
    except DatabaseError as error:
        if getattr(error.__cause__, "sqlite_errorcode", None) == sqlite3.SQLITE_FULL:
            raise NoTemporarySpace(
                "There is no space left for temporary files (SQLITE_TMPDIR or /var/tmp)."
            ) from error
        raise


def _copy_tables(raw_connection: sqlite3.Connection, keys: Iterable[Sequence[int]]) -> None:
    """Copy all rows of the lookup tables and the rows of these events, index the copies, and end the snapshot."""
    # On the raw connection: Django's cursor would queue this with the writers, though it writes nothing but copies.
    for table in LOOKUP_TABLES:
        _create_copy_table(raw_connection, table)
        raw_connection.execute(f"{_insert_sql(table)} ORDER BY id")
    for table in EVENT_TABLES:
        _create_copy_table(raw_connection, table)
    for statement in _CREATE_HEADS:
        raw_connection.execute(statement)
    for batch in keys:
        for table in EVENT_TABLES:
            raw_connection.execute(
                f"{_insert_sql(table)} WHERE {_parent_condition(table)}", [json.dumps(batch)]
            )
        _copy_stream_heads(raw_connection, batch)
    for table in (*LOOKUP_TABLES, *EVENT_TABLES):
        name = _table_name(table)
        # Indexed after all rows are copied, because each insertion into an index costs more than building it at the
        # end.
        raw_connection.execute(
            f"CREATE INDEX temp.{name}_{table.parent_column} ON {name} ({table.parent_column})"
        )
    raw_connection.execute("COMMIT")


def _copy_stream_heads(raw_connection: sqlite3.Connection, events: Sequence[int]) -> None:
    """Copy how many entries the streams of these events and of their deliveries have."""
    streams = [
        f"event:{to_reference(UUID(event))}" if route is None else delivery_stream(UUID(event), route)
        for event, route in raw_connection.execute(_STREAMS, [json.dumps(events)])
    ]
    raw_connection.execute(_INSERT_HEADS, [json.dumps(streams)])


def _create_copy_table(raw_connection: sqlite3.Connection, table: SourceTable) -> None:
    nothing = f"SELECT {_column_list(table)} FROM main.{_table_name(table)} WHERE 0"  # noqa: S608
    raw_connection.execute(f"CREATE TEMP TABLE {_table_name(table)} AS {nothing}")


def _insert_sql(table: SourceTable) -> str:
    return (
        f"INSERT INTO temp.{_table_name(table)} SELECT {_column_list(table)} FROM main.{_table_name(table)}"  # noqa: S608
    )


def _parent_condition(table: SourceTable) -> str:
    """Return the SQL condition for rows of the given events. An index serves each step."""
    if table.parent_model is None:
        return f"{table.parent_column} IN {_EVENT_KEYS}"
    (parent,) = (other for other in EVENT_TABLES if other.model is table.parent_model)
    return f"{table.parent_column} IN (SELECT id FROM main.{_table_name(parent)} WHERE {_parent_condition(parent)})"  # noqa: S608


def _column_list(table: SourceTable) -> str:
    fields = table.model._meta.concrete_fields
    names = {"id", *(name.partition("__")[0] for name in table.columns)}
    return ", ".join(str(field.column) for field in fields if {field.name, field.attname} & names)


def _table_name(table: SourceTable) -> str:
    return table.model._meta.db_table
