"""One state of the database for everything that is read, and a second connection for what is noted meanwhile."""

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager

from django.db import DEFAULT_DB_ALIAS, connection, connections, transaction

PROGRESS_ALIAS = "exports"


@contextmanager
def read_snapshot(commit_elsewhere: Callable[[], None]) -> Iterator[None]:
    """Every statement of this thread reads the state that the first one saw.

    PostgreSQL: a transaction that is REPEATABLE READ and READ ONLY. SQLite: a transaction that only reads, and stands
    in no line of writers; as long as it is open, the write-ahead log can be copied back only up to it, and grows.
    `save_fields` commits something by another connection: see `pin_wal_snapshot`.
    """
    if connection.vendor == "postgresql":
        with transaction.atomic():
            with connection.cursor() as cursor:
                cursor.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
            yield
        return
    connection.ensure_connection()
    link = connection.connection
    try:
        pin_wal_snapshot(link, commit_elsewhere)
        yield
    finally:
        link.rollback()


def pin_wal_snapshot(link: sqlite3.Connection, commit_elsewhere: Callable[[], None]) -> None:
    """Begin to read at a place in the write-ahead log of SQLite, and not behind its end.

    Who begins when all of the log has been copied back reads the file alone, and lets nobody copy anything back. Each
    commit tries nevertheless, and sorts all of the log for it, in vain: at 235 MB it took four times as long. So
    somebody reads, and something is committed meanwhile: that cannot be copied back yet.
    """
    with (
        connection.wrap_database_errors,
        closing(sqlite3.connect(connection.settings_dict["NAME"], isolation_level=None)) as before,
    ):
        _start_reading(before)
        commit_elsewhere()
        _start_reading(link)


def _start_reading(link: sqlite3.Connection) -> None:
    """What this connection reads from now on is the state of now."""
    link.execute("BEGIN DEFERRED")
    link.execute("SELECT 1 FROM sqlite_master").fetchone()


@contextmanager
def streaming_transaction() -> Iterator[None]:
    """What makes the database stream what cannot change anyway: on PostgreSQL a transaction, on SQLite nothing."""
    if connection.vendor == "postgresql":
        with transaction.atomic():
            yield
    else:
        yield


@contextmanager
def progress_connection() -> Iterator[str]:
    """The alias, in this thread, of a connection beside the one that reads."""
    read = connections[DEFAULT_DB_ALIAS]
    options = {name: value for name, value in read.settings_dict["OPTIONS"].items() if name != "pool"}
    connections[PROGRESS_ALIAS] = type(read)({**read.settings_dict, "OPTIONS": options}, PROGRESS_ALIAS)
    try:
        yield PROGRESS_ALIAS
    finally:
        connections[PROGRESS_ALIAS].close()
        del connections[PROGRESS_ALIAS]
