"""The database's clock: the only one that leases and due times are measured by.

It is `database_now` in a queryset, `{now}` and `{clock}` in a `Statement`, `values.NOW` in a row that is inserted. All
mean the time at which the statement began, not the transaction: a statement after a wait for a lock sees the time after
the wait. It is precise to the millisecond on SQLite, to the microsecond on PostgreSQL.

On SQLite it is the clock of the machine, which may be set while the hub runs: `ClockWatch` notices that.
"""

import threading
import time
from datetime import datetime, timedelta
from typing import Any

from django.db.models import DateTimeField, ExpressionWrapper
from django.db.models.functions import Now

from database.statement import Statement
from database.values import parse_timestamp

_CLOCK = Statement("SELECT {now}")
# Seconds. The two clocks of a machine run at one rate; reading both takes microseconds, or longer in a stopped process.
_STEP_SECONDS = 1.0


def database_now(*, plus_seconds: float = 0.0) -> Any:
    """Return the time of the statement that it becomes part of, or so many seconds later, as an expression."""
    if not plus_seconds:
        return Now()
    return ExpressionWrapper(Now() + timedelta(seconds=plus_seconds), output_field=DateTimeField())


def read_clock() -> datetime:
    """Read the database's clock: one statement."""
    [(now,)] = _CLOCK.fetch_all()
    return parse_timestamp(now)


class ClockWatch:
    """Notices that the machine's clock was set, or the machine suspended, by comparing it with the monotonic clock."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._offset = _clock_offset()

    def read_step(self) -> float:
        """Return the seconds by which the clock was set since the last call, or since the watch began: negative if it
        was set back, 0 if it was set by less than a second.
        """
        # One thread at a time: each step is returned once.
        with self._lock:
            before, self._offset = self._offset, _clock_offset()
            step = self._offset - before
        return step if abs(step) >= _STEP_SECONDS else 0.0

    def put_back(self, step: float) -> None:
        """Return the step at the next call again, because what it is for failed."""
        with self._lock:
            self._offset -= step


def _clock_offset() -> float:
    return time.time() - time.monotonic()
