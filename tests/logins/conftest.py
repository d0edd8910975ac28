"""A clock for the limits of logins that tests move."""

from types import SimpleNamespace
from typing import Any

import pytest

from logins import attempt_counts, guard, limits
from tests.logins.login_clock import LoginClock, NotingHasher
from webhooks.models import rate_limit


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch, settings: Any) -> LoginClock:
    """Return the clock of the limits. It notes each hash of a password, and stands still unless it is moved."""
    clock = LoginClock()
    for module in (rate_limit, limits):
        monkeypatch.setattr(module, "database_now", clock.database_now)
    monkeypatch.setattr(attempt_counts, "timezone", SimpleNamespace(now=lambda: clock.now))
    monkeypatch.setattr(guard, "time", SimpleNamespace(monotonic=lambda: clock.now.timestamp()))
    # Tests write the counts when they want to: a thread would wait for the transaction of the test.
    monkeypatch.setattr("database.deferred_counts.FLUSH_SECONDS", 3600.0)
    monkeypatch.setattr(NotingHasher, "clock", clock)
    settings.PASSWORD_HASHERS = ["tests.logins.login_clock.NotingHasher"]
    return clock
