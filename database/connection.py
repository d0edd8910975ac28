"""This thread's database connection: held for a transaction, never while waiting for another system."""

import threading
from contextlib import AbstractContextManager, nullcontext
from typing import Any

from django.db import DEFAULT_DB_ALIAS, connections, transaction

# SQLSTATE `deadlock_detected`
_DEADLOCK = "40P01"
_threads = threading.local()


def thread_connection() -> Any:
    """Return this thread's connection. Faster than `connections[…]`, which takes as long as a small statement."""
    connection = getattr(_threads, "connection", None)
    if connection is None:
        connection = _threads.connection = connections[DEFAULT_DB_ALIAS]
    return connection


def streaming_transaction() -> AbstractContextManager[None]:
    """Return the transaction that PostgreSQL needs for a server-side cursor; on SQLite a context that does nothing.

    On SQLite a statement reads from its own snapshot anyway, and a transaction would block every writer.
    """
    return transaction.atomic() if thread_connection().vendor == "postgresql" else nullcontext()


def release_connection() -> None:
    """Return the connection to the pool for other threads, unless a transaction is open."""
    held = thread_connection()
    # A test or a caller may hold a transaction: its connection is not returned to the pool.
    if held.connection is not None and not held.in_atomic_block:
        held.close_if_unusable_or_obsolete()


def is_deadlock(error: BaseException) -> bool:
    """True if PostgreSQL ended a transaction because it and another one waited for each other."""
    return getattr(error.__cause__, "sqlstate", None) == _DEADLOCK
