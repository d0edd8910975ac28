"""Sealing is done by one at a time, over all processes and machines."""

from collections.abc import Iterator
from contextlib import contextmanager

from django.db import connection, transaction

from database.statement import Statement

_LOCK = 0x61756469742031  # "audit 1"
_TRY = Statement("SELECT pg_try_advisory_xact_lock(%s)")
_WAIT = Statement("SELECT pg_advisory_xact_lock(%s)")


@contextmanager
def sealing_lock(*, waits: bool = False) -> Iterator[bool]:
    """A transaction in which nobody else seals; whether it is ours, which it is for sure where it `waits`.

    On PostgreSQL an advisory lock says so, on SQLite the line of writers in which every transaction stands.
    """
    with transaction.atomic():
        if connection.vendor == "sqlite":
            yield True
        elif waits:
            _WAIT.fetch_all(_LOCK)
            yield True
        else:
            found = _TRY.fetch_one(_LOCK)
            yield bool(found and found[0])
