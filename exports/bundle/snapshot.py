"""Read one state of the database for a whole export, and save progress meanwhile over a second connection."""

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager

from django.db import DEFAULT_DB_ALIAS, connection, connections, transaction

PROGRESS_ALIAS = "exports"


@contextmanager
def read_snapshot(commit_elsewhere: Callable[[], None]) -> Iterator[None]:
    """Let every statement of this thread read the state that the first one saw.

    PostgreSQL: a REPEATABLE READ, READ ONLY transaction. SQLite: a transaction that only reads, and so does not
    queue with the writers; while it is open the write-ahead log is copied back no further than to it, and grows.

    `commit_elsewhere` commits something over another connection: see `pin_wal_snapshot`.
    """
    if connection.vendor == "postgresql":
        with transaction.atomic():
            with connection.cursor() as cursor:
                cursor.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
            yield
        return
    connection.ensure_connection()
    raw_connection = connection.connection
    try:
        pin_wal_snapshot(raw_connection, commit_elsewhere)
        yield
    finally:
        raw_connection.rollback()


def pin_wal_snapshot(raw_connection: sqlite3.Connection, commit_elsewhere: Callable[[], None]) -> None:
    """Begin to read at a position inside SQLite's write-ahead log, not behind its end.

    A reader that begins once all of the log has been copied back reads the database file alone, and then nothing
    can be copied back. Each commit tries nevertheless, and sorts the whole log for it, in vain: at 235 MB commits
    took four times as long. So this holds one reader open while something is committed: that commit cannot be
    copied back yet, and the snapshot begins inside the log.
    """
    with (
        connection.wrap_database_errors,
        closing(sqlite3.connect(connection.settings_dict["NAME"], isolation_level=None)) as before,
    ):
        _start_reading(before)
        commit_elsewhere()
        _start_reading(raw_connection)


def _start_reading(raw_connection: sqlite3.Connection) -> None:
    """Begin a transaction that reads, and fix its state by a first read."""
    raw_connection.execute("BEGIN DEFERRED")
    raw_connection.execute("SELECT 1 FROM sqlite_master").fetchone()


@contextmanager
def progress_connection() -> Iterator[str]:
    """Open a second connection for this thread, and yield its alias."""
    read = connections[DEFAULT_DB_ALIAS]
    # A pool belongs to an alias, and this one needs a single connection.
    options = {name: value for name, value in read.settings_dict["OPTIONS"].items() if name != "pool"}
    connections[PROGRESS_ALIAS] = type(read)({**read.settings_dict, "OPTIONS": options}, PROGRESS_ALIAS)
    try:
        yield PROGRESS_ALIAS
    finally:
        connections[PROGRESS_ALIAS].close()
        del connections[PROGRESS_ALIAS]
