"""The circuit breaker: stop calling a remote system that fails, without losing deliveries.

It opens on failures of the system itself, never on errors about one entity. A failure adds one to a count, an answer
takes `FAILURES_PER_ANSWER` away, and the breaker opens at `Connection.breaker_failures`. So it opens soon if most
requests fail, stays closed if a third of them do, and needs no window of past requests. Each purpose of requests has a
count of its own: a system may answer every search and fail every update, and each attempt searches first.

At the end of its pause a worker probes the system by a read. If that is answered, or could not be sent, the breaker
lets one delivery through as a probe, one more with each success, and closes after `SUCCESSES_TO_CLOSE` of them. It
opens again at once if the system answers nothing, else after more failures than `probe_failure_limit`.
"""

import random
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.conf import settings
from django.db import transaction
from django.db.models import BooleanField, ExpressionWrapper, Q, QuerySet

from audit.entries.append import NewEntry, append_entries
from database.cached_read import cached_read
from database.clock import database_now, read_clock
from sync.models import Breaker, Connection, Delivery
from webhooks.models import State

SUCCESSES_TO_CLOSE = 8
# With two, the count grows only while more than two thirds of the requests fail.
FAILURES_PER_ANSWER = 2
# While half-open, for each success and at the start. If 30 % of the requests of an attempt fail, so do two thirds of
# the attempts that send three of them.
PROBE_FAILURES_PER_SUCCESS = 3
# Seconds after a pause in which the other deliveries go first: longer than workers need to find them.
PROBE_TURN_SECONDS = 5.0
# Seconds at the end of a pause in which a worker probes the system (`probe_reservations`): longer than its interval.
PROBE_AHEAD_SECONDS = 5.0
MAX_PAUSE_SECONDS = 600.0
SYSTEM_FAILURES = frozenset({"unavailable", "timeout", "throttled", "credentials"})


@dataclass(frozen=True, slots=True)
class SystemFailure:
    """A failure of a remote system: the code, and the seconds that it asked to wait (Retry-After)."""

    code: str
    retry_after: float | None = None


@dataclass(frozen=True, slots=True)
class RequestEvidence:
    """What the requests of one attempt show about one system.

    `answered` has the purposes of requests that were answered properly, `failed` the purpose of the last request that
    failed, and `status` the HTTP status of its response, if there was one. If `has_succeeded`, the whole attempt
    succeeded, so requests of other purposes work too.
    """

    answered: frozenset[str] = frozenset()
    failed: str = ""
    has_succeeded: bool = False
    status: int | None = None

    @property
    def has_answered(self) -> bool:
        """True if the system itself answered, not only the issuer of its tokens."""
        return bool(self.answered - {"token"})


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
    """Return how many deliveries a breaker that is not closed allows: none while open, then one, and one more per
    success.
    """
    return 0 if is_open else 1 + successes


def probe_failure_limit(successes: int) -> int:
    """Return how many deliveries may fail after the pause without opening a breaker again that the system answered."""
    return PROBE_FAILURES_PER_SUCCESS * (1 + successes)


def _with_is_open(breakers: QuerySet[Breaker]) -> Any:
    """Annotate breakers with `is_open`, by the database's clock."""
    is_open = ExpressionWrapper(Q(open_until__gt=database_now()), output_field=BooleanField())
    return breakers.annotate(is_open=is_open)


def end_pause_now(connection: Connection, actor: str, address: str) -> bool:
    """End the pause of a connection's breaker, with an audit entry, and make the deliveries due that failed behind it.

    Returns False if it was not open.

    The breaker stays half-open until enough deliveries succeed: one goes first, and if the system answers nothing, the
    next pause begins.
    """
    with transaction.atomic():
        paused = Breaker.objects.filter(connection=connection, open_until__gt=database_now())
        breaker = paused.select_for_update().first()
        if breaker is None or breaker.open_until is None:
            return False
        paused_until = breaker.open_until
        paused.update(open_until=database_now())
        stream = f"setting:connection:{connection.pk}"
        append_entries(NewEntry(stream, "connection.retried", actor, {"address": address}))
    # After the commit: an attempt that settles may lock its deliveries before the breaker.
    _make_probes_due(connection, paused_until)
    invalidate_breakers()
    return True


def _make_probes_due(connection: Connection, paused_until: datetime) -> None:
    """Make deliveries due that would wait for the other deliveries after this pause."""
    # Their times count from the settling commit, which takes a moment.
    last = paused_until + timedelta(seconds=2 * PROBE_TURN_SECONDS)
    waiting = Delivery.objects.filter(
        Q(identity=connection) | Q(target=connection), state=State.RETRYING, due_at__lte=last
    )
    # What the system itself asked to wait still holds.
    waiting.filter(due_at__gt=database_now(), not_before=None).update(due_at=database_now())


def record_success(connection: Connection, evidence: RequestEvidence) -> None:
    """Record an attempt that the system answered properly. Call it inside a transaction.

    Runs no statement while the breaker is closed and no failure is on record.
    """
    if connection.pk not in unhealthy_breakers():
        return
    breaker = _lock_breaker(connection)
    if breaker.open_until is None:
        _update_counts(breaker, evidence, is_failure=False)
    elif not breaker.is_open:
        # A success while the breaker is open belongs to an attempt that began before: it does not count.
        breaker.has_answered = True
        breaker.successes += 1
        if breaker.successes >= SUCCESSES_TO_CLOSE:
            _close_breaker(breaker)
    breaker.save()
    # Before the commit, another thread would only cache the old state again.
    transaction.on_commit(invalidate_breakers)


def count_failures(
    counts: Mapping[str, int], evidence: RequestEvidence, *, is_failure: bool
) -> dict[str, int]:
    """Return the failures by purpose after an attempt; purposes without failures are left out."""
    after = {
        purpose: count - FAILURES_PER_ANSWER
        if evidence.has_succeeded or purpose in evidence.answered
        else count
        for purpose, count in counts.items()
    }
    if is_failure:
        after[evidence.failed] = max(0, after.get(evidence.failed, 0)) + 1
    return {purpose: count for purpose, count in after.items() if count > 0}


def _update_counts(breaker: Breaker, evidence: RequestEvidence, *, is_failure: bool) -> None:
    breaker.purpose_failures = count_failures(breaker.purpose_failures, evidence, is_failure=is_failure)
    breaker.failures = max(breaker.purpose_failures.values(), default=0)


def _close_breaker(breaker: Breaker) -> None:
    breaker.failures = breaker.successes = breaker.openings = 0
    breaker.purpose_failures = {}
    breaker.open_until = breaker.opened_at = None
    breaker.code, breaker.status = "", None
    append_entries(NewEntry(f"setting:connection:{breaker.pk}", "connection.resumed"))


def record_failure(connection: Connection, failure: SystemFailure, evidence: RequestEvidence) -> float | None:
    """Record an attempt that the system failed. Call it inside a transaction.

    Returns the seconds until its delivery may be retried, after the other deliveries that wait for the system, because
    this delivery itself may be the cause. Returns None if the breaker had been closed.
    """
    breaker = _lock_breaker(connection)
    was_closed = breaker.open_until is None
    if was_closed:
        _update_counts(breaker, evidence, is_failure=True)
        is_failing = breaker.failures >= connection.breaker_failures
    elif breaker.is_open:
        # It belongs to an attempt that began before: it does not count.
        is_failing = False
    else:
        breaker.has_answered = breaker.has_answered or evidence.has_answered
        breaker.probe_failures += 1
        is_failing = not breaker.has_answered or breaker.probe_failures > probe_failure_limit(
            breaker.successes
        )
    if is_failing:
        breaker.status = evidence.status
        _open_breaker(breaker, connection, failure)
    breaker.save()
    # Before the commit, another thread would only cache the old state again.
    transaction.on_commit(invalidate_breakers)
    if was_closed:
        return None
    paused_for: timedelta = breaker.open_until - read_clock()
    return max(0.0, paused_for.total_seconds()) + PROBE_TURN_SECONDS


def reopen_breaker(connection: Connection, failure: SystemFailure, open_until: datetime) -> bool:
    """Begin the next pause, if the breaker is open until this time. Call it inside a transaction.

    Returns False if its state has changed since it was read.
    """
    breaker = _lock_breaker(connection)
    if breaker.open_until != open_until:
        return False
    _open_breaker(breaker, connection, failure)
    breaker.save()
    transaction.on_commit(invalidate_breakers)
    return True


def _open_breaker(breaker: Breaker, connection: Connection, failure: SystemFailure) -> None:
    now = read_clock()
    # Pauses grow only while no delivery succeeds between them.
    openings = 0 if breaker.successes else breaker.openings
    # The exponent is limited, since 2.0 to a large power overflows.
    pause = min(MAX_PAUSE_SECONDS, connection.breaker_seconds * 2.0 ** min(openings, 10))
    # Spread by chance; a system may ask for a longer pause (Retry-After), up to the maximum.
    pause = max(pause * random.uniform(0.8, 1.2), min(failure.retry_after or 0.0, MAX_PAUSE_SECONDS))  # noqa: S311
    breaker.openings = openings + 1
    breaker.successes = breaker.probe_failures = 0
    breaker.has_answered = False
    breaker.code = failure.code
    # The time of the first opening stays: it is when the outage began.
    breaker.opened_at = breaker.opened_at or now
    breaker.open_until = now + timedelta(seconds=pause + PROBE_AHEAD_SECONDS)
    details = {"code": failure.code, "seconds": round(pause), "pause": breaker.openings}
    append_entries(NewEntry(f"setting:connection:{breaker.pk}", "connection.paused", details=details))


def _lock_breaker(connection: Connection) -> Any:
    # The row must exist to be locked.
    Breaker.objects.get_or_create(connection=connection)
    return _with_is_open(Breaker.objects.select_for_update()).get(pk=connection.pk)
