"""The circuit breaker: stop calling a remote system that fails, without losing deliveries.

It opens on failures of the system itself, never on errors about one entity. After its pause it lets one delivery
through as a probe, one more with each success, and closes after `SUCCESSES_TO_CLOSE` of them.
"""

import random
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from django.conf import settings
from django.db import transaction
from django.db.models import BooleanField, ExpressionWrapper, Q, QuerySet

from audit.entries.append import NewEntry, append_entries
from database.cached_read import cached_read
from database.clock import database_now, read_clock
from sync.models import Breaker, Connection

SUCCESSES_TO_CLOSE = 8
MAX_PAUSE_SECONDS = 600.0
SYSTEM_FAILURES = frozenset({"unavailable", "timeout", "throttled", "credentials"})


@dataclass(frozen=True, slots=True)
class SystemFailure:
    """A failure of a remote system: the code, and the seconds that it asked to wait (Retry-After)."""

    code: str
    retry_after: float | None = None


def is_system_failure(code: str) -> bool:
    """True if a code concerns the whole system: it is unreachable, too slow, overloaded, or rejects our credentials."""
    side, _, word = code.partition("-")
    return side in ("identity", "target") and word in SYSTEM_FAILURES


@cached_read(settings.CONFIGURATION_SECONDS)
def unhealthy_breakers() -> Mapping[int, Breaker]:
    """Return breakers that have failures or are not closed, by connection. Cached for a second."""
    return {
        breaker.pk: breaker
        for breaker in Breaker.objects.filter(Q(failures__gt=0) | Q(open_until__isnull=False))
    }


def invalidate_breakers() -> None:
    """Drop this process's cached breakers."""
    unhealthy_breakers.invalidate()


def allowed_deliveries(connection: Connection) -> int | None:
    """Return how many deliveries the breaker allows at the same time: None for any number, 0 while it is open."""
    known = unhealthy_breakers().get(connection.pk)
    if known is None or known.open_until is None:
        return None
    # Read again, because the database's clock decides if it is open. Only breakers that are not closed cost a
    # statement.
    breaker = _with_is_open(Breaker.objects.filter(pk=connection.pk)).first()
    if breaker is None or breaker.open_until is None:
        return None
    return probe_limit(is_open=breaker.is_open, successes=breaker.successes)


def probe_limit(*, is_open: bool, successes: int) -> int:
    """Return how many deliveries a breaker that is not closed allows: none while open, then one and one more per
    success.
    """
    return 0 if is_open else 1 + successes


def _with_is_open(breakers: QuerySet[Breaker]) -> Any:
    """Annotate breakers with `is_open`, by the database's clock."""
    is_open = ExpressionWrapper(Q(open_until__gt=database_now()), output_field=BooleanField())
    return breakers.annotate(is_open=is_open)


def end_pause_now(connection: Connection, actor: str, address: str) -> bool:
    """End the pause of a connection's breaker, with an audit entry. Returns False if it was not open.

    The breaker stays half-open until enough deliveries succeed: one goes first, and if it fails the next pause begins.
    """
    with transaction.atomic():
        paused = Breaker.objects.filter(connection=connection, open_until__gt=database_now())
        ended = bool(paused.update(open_until=database_now()))
        if ended:
            stream = f"setting:connection:{connection.pk}"
            append_entries(NewEntry(stream, "connection.retried", actor, {"address": address}))
    invalidate_breakers()
    return ended


def record_success(connection: Connection) -> None:
    """Record that the system answered properly. Call it inside a transaction; runs no statement while all is well."""
    if connection.pk not in unhealthy_breakers():
        return
    breaker = _lock_breaker(connection)
    if breaker.open_until is None:
        breaker.failures = 0
    elif not breaker.is_open:
        # A success while it is open belongs to an attempt that began before: it does not count.
        breaker.successes += 1
        if breaker.successes >= SUCCESSES_TO_CLOSE:
            _close_breaker(breaker)
    breaker.save()
    invalidate_breakers()


def _close_breaker(breaker: Breaker) -> None:
    breaker.failures = breaker.successes = breaker.openings = 0
    breaker.open_until = breaker.opened_at = None
    breaker.code = ""
    append_entries(NewEntry(f"setting:connection:{breaker.pk}", "connection.resumed"))


def record_failure(connection: Connection, failure: SystemFailure) -> bool:
    """Record that the system failed. Call it inside a transaction. Returns False if its breaker had been closed."""
    breaker = _lock_breaker(connection)
    was_closed = breaker.open_until is None
    if was_closed:
        breaker.failures += 1
    # Half-open, a single failure opens it again.
    if not breaker.is_open and (not was_closed or breaker.failures >= connection.breaker_failures):
        _open_breaker(breaker, connection, failure)
    breaker.save()
    invalidate_breakers()
    return not was_closed


def _open_breaker(breaker: Breaker, connection: Connection, failure: SystemFailure) -> None:
    now = read_clock()
    # The exponent is limited, since 2.0 to a large power overflows.
    pause = min(MAX_PAUSE_SECONDS, connection.breaker_seconds * 2.0 ** min(breaker.openings, 10))
    # Spread by chance; a system may ask for a longer pause (Retry-After), up to the maximum.
    pause = max(pause * random.uniform(0.8, 1.2), min(failure.retry_after or 0.0, MAX_PAUSE_SECONDS))  # noqa: S311
    breaker.openings += 1
    breaker.successes = 0
    breaker.code = failure.code
    # The time of the first opening stays: it is when the outage began.
    breaker.opened_at = breaker.opened_at or now
    breaker.open_until = now + timedelta(seconds=pause)
    details = {"code": failure.code, "seconds": round(pause), "pause": breaker.openings}
    append_entries(NewEntry(f"setting:connection:{breaker.pk}", "connection.paused", details=details))


def _lock_breaker(connection: Connection) -> Any:
    # The row must exist to be locked.
    Breaker.objects.get_or_create(connection=connection)
    return _with_is_open(Breaker.objects.select_for_update()).get(pk=connection.pk)
