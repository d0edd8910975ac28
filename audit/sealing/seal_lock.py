"""The lock under which one process at a time seals, over all processes and machines."""

from collections.abc import Iterator
from contextlib import contextmanager

from django.db import connection, transaction

from database.statement import Statement

_LOCK = 0x61756469742031  # "audit 1"
_TRY = Statement("SELECT pg_try_advisory_xact_lock(%s)")
_WAIT = Statement("SELECT pg_advisory_xact_lock(%s)")


@contextmanager
def sealing_lock(*, waits: bool = False) -> Iterator[bool]:
    """Open a transaction with the sealing lock. Yields False if another holds it, which cannot be if it `waits`.

    The lock is an advisory lock on PostgreSQL and the queue of writers on SQLite.
    """
    with transaction.atomic():
        # A transaction on SQLite is the only writer from its beginning (BEGIN IMMEDIATE).
        if connection.vendor == "sqlite":
            yield True
        elif waits:
            _WAIT.fetch_all(_LOCK)
            yield True
        else:
            row = _TRY.fetch_one(_LOCK)
            yield bool(row and row[0])
