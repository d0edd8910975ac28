"""Deadlines of exchanges that pass when a test says so, whatever the clock says."""

import contextlib
import time

import pytest

from connectors.http import deadline
from connectors.http.deadline import Deadline

HOUR = 3600.0


class PassingDeadlines:
    """The clock of the deadlines of this process, which a test puts forward."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self._passed = 0.0
        monkeypatch.setattr(deadline, "time", self)

    def monotonic(self) -> float:
        return time.monotonic() + self._passed

    def pass_now(self) -> None:
        """Let every deadline pass that has begun."""
        self._passed += HOUR
        # One that ended before all others wakes the watchdog.
        with contextlib.suppress(TimeoutError), Deadline(-2 * HOUR).watch_exchange(None):
            pass
