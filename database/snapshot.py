"""Long looks at the log: of one state where the database can give it, and holding up nobody."""

from collections.abc import Iterator
from contextlib import contextmanager

from django.db import connection, transaction


@contextmanager
def read_snapshot() -> Iterator[None]:
    """One state of the database for all statements. On SQLite a transaction would hold up every writer: there each
    statement has a state of its own, and what was appended in between counts as not sealed yet."""
    if connection.vendor == "sqlite" or connection.in_atomic_block:
        yield
        return
    with transaction.atomic():
        with connection.cursor() as cursor:
            cursor.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
        yield
