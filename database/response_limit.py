"""The longest wait of a thread for one response of PostgreSQL, whatever the state of the server.

A server that is frozen (its machine is paused, its disk hangs) enforces none of its own limits, while the kernel of its
machine still acknowledges data and answers keepalives. Only the side that waits can end such a wait.
"""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

import psycopg
from psycopg.abc import PQGen

# Seconds. For pages and for deliveries of a worker, for which no other system waits.
LONG_RESPONSE_SECONDS = 60.0
# How often psycopg looks for an interrupt while it waits.
_INTERVAL_SECONDS = 0.1

_threads = threading.local()

Result = TypeVar("Result")


@contextmanager
def limited_responses(seconds: float) -> Iterator[None]:
    """Limit this thread's wait for each response of the database to `seconds` (PostgreSQL only).

    A longer wait raises OperationalError and closes the connection. As with a connection that breaks, the server may
    still execute the statement.
    """
    before = getattr(_threads, "seconds", None)
    _threads.seconds = seconds
    try:
        yield
    finally:
        _threads.seconds = before


class LimitedConnection(psycopg.Connection[Any]):
    """A connection that keeps the limit of the thread that uses it."""

    def wait(
        self, gen: PQGen[Result], interval: float = _INTERVAL_SECONDS, timeout: float | None = None
    ) -> Result:
        """Wait for a response. Raises OperationalError, and closes the connection, if there is none in time."""
        limit = getattr(_threads, "seconds", None)
        if limit is None or timeout is not None:
            return super().wait(gen, interval, timeout)
        try:
            return super().wait(gen, interval, limit)
        except psycopg.OperationalError as error:
            # Not an error that the server has sent: a response that is still to come would be read as the next one.
            if error.sqlstate is None:
                self.close()
            raise
