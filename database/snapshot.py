"""Consistent reads over several statements, without blocking writers."""

from collections.abc import Iterator
from contextlib import contextmanager

from django.db import connection, transaction


@contextmanager
def read_snapshot() -> Iterator[None]:
    """Let all statements of the block see one state of the database (PostgreSQL: REPEATABLE READ, READ ONLY).

    On SQLite each statement sees its own state, because a transaction would block every writer: entries that are
    appended in between count as not sealed yet.
    """
    if connection.vendor == "sqlite" or connection.in_atomic_block:
        yield
        return
    with transaction.atomic():
        with connection.cursor() as cursor:
            cursor.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
        yield
