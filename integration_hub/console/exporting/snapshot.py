"""One state of the database for everything that is read, and a second connection for what is noted meanwhile."""

from collections.abc import Iterator
from contextlib import contextmanager

from django.db import DEFAULT_DB_ALIAS, connection, connections, transaction

NOTES = "exports"


@contextmanager
def snapshot() -> Iterator[None]:
    """Every statement of this thread reads the state that the first one saw.

    PostgreSQL: a transaction that is REPEATABLE READ and READ ONLY. SQLite: a transaction that only reads, and stands
    in no line of writers; as long as it is open, the write-ahead log can be copied back only up to it, and grows.
    """
    if connection.vendor == "postgresql":
        with transaction.atomic():
            with connection.cursor() as cursor:
                cursor.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
            yield
        return
    with connection.cursor() as cursor:
        cursor.execute("BEGIN DEFERRED")
        try:
            yield
        finally:
            cursor.execute("ROLLBACK")


@contextmanager
def streaming() -> Iterator[None]:
    """What makes the database stream what cannot change anyway: on PostgreSQL a transaction, on SQLite nothing."""
    if connection.vendor == "postgresql":
        with transaction.atomic():
            yield
    else:
        yield


@contextmanager
def notes() -> Iterator[str]:
    """The alias, in this thread, of a connection beside the one that reads."""
    read = connections[DEFAULT_DB_ALIAS]
    options = {name: value for name, value in read.settings_dict["OPTIONS"].items() if name != "pool"}
    connections[NOTES] = type(read)({**read.settings_dict, "OPTIONS": options}, NOTES)
    try:
        yield NOTES
    finally:
        connections[NOTES].close()
        del connections[NOTES]
