"""The database's clock, by which all leases and due times are measured.

It is `database_now` in a queryset, `{now}` and `{clock}` in a `Statement`, `values.NOW` in a row that is inserted. All
mean the time at which the statement began, not the transaction: a statement after a wait for a lock sees the time after
the wait. It is precise to the millisecond on SQLite, to the microsecond on PostgreSQL.

On SQLite it is the clock of the machine, which may be set while the hub runs: `ClockWatch` notices that.
"""

import threading
import time
from collections.abc import Callable
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
    """Return an expression for the time of the statement that contains it, plus `plus_seconds`."""
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

    def handle_step(self, handle: Callable[[float], None]) -> bool:
        """Call `handle` with the seconds by which the clock was set since the last call, or since the watch began.

        They are negative if it was set back. Returns False, without the call, if it was set by less than a second.
        Raises what `handle` raises; the next call hands out the same step again.
        """
        # One thread at a time, and the others wait for it: a thread that went on before the step is handled would use
        # times of the other clock.
        with self._lock:
            offset = _clock_offset()
            step = offset - self._offset
            is_step = abs(step) >= _STEP_SECONDS
            if is_step:
                handle(step)
            self._offset = offset
        return is_step


def _clock_offset() -> float:
    return time.time() - time.monotonic()
