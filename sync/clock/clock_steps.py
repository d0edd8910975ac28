"""Adjust leases and due times when the clock that they are measured by is set.

Only on SQLite, whose clock is the machine's: PostgreSQL has the server's, which is kept by whoever runs that.
"""

import logging
import os
from datetime import timedelta

from django.conf import settings
from django.db import connection, transaction
from django.db.models import F, Q, QuerySet
from django.db.models.functions import Greatest, Least

from database.clock import ClockWatch, database_now
from sync.jobs.running_job import LEASE_SECONDS as JOB_LEASE_SECONDS
from sync.limits.circuit_breaker import invalidate_breakers
from sync.models import (
    WAITING_STATES,
    AwaitedRecord,
    Breaker,
    Delivery,
    Job,
    JobState,
    Recheck,
    Route,
)

logger = logging.getLogger("hub.deliver")

_clock_watch = ClockWatch()


def _reset_after_fork() -> None:
    """Watch the clock from now on. A forked child would otherwise notice all steps since its parent was loaded."""
    global _clock_watch  # noqa: PLW0603 - one per process is the point
    _clock_watch = ClockWatch()


os.register_at_fork(after_in_child=_reset_after_fork)


def adjust_times_to_clock_step() -> bool:
    """Adjust leases and due times if the clock was set (SQLite only). Returns True if it was.

    All leases are renewed: a step forward would expire those of live processes, a step back keep those of dead ones
    for as long. After a step back, what is due later becomes due that much earlier. Other threads of this process wait
    until that is committed; if it fails, the next call does it.
    """
    return connection.vendor == "sqlite" and _clock_watch.handle_step(_adjust_times)


def _adjust_times(step: float) -> None:
    with transaction.atomic():
        _renew_leases(step)
        if step < 0:
            _bring_forward(timedelta(seconds=-step))
    invalidate_breakers()


def _renew_leases(step: float) -> None:
    # Every process does this once for each step. A lease that is renewed too often only lasts longer.
    renewed = Delivery.objects.running().update(lease_until=database_now(plus_seconds=settings.LEASE_SECONDS))
    running_jobs = Job.objects.filter(state=JobState.RUNNING)
    renewed += running_jobs.update(lease_until=database_now(plus_seconds=JOB_LEASE_SECONDS))
    logger.warning("the clock of the machine was set by %.0f s; %s leases were renewed", step, renewed)


def _bring_forward(by: timedelta) -> None:
    """Make waiting rows due earlier by this amount, but not before now.

    Each process does so: a retry may run before its back-off ends, but none waits for a time that a wrong clock gave.
    A delay that the remote system asked for (Retry-After) is only limited to the longest delay of the route, so that
    none of these retries runs early.
    """
    now = database_now()
    deliveries = Delivery.objects.filter(state__in=WAITING_STATES)
    _limit_requested_delays(deliveries)
    rescheduled = deliveries.filter(Q(not_before=None) | Q(not_before__lte=now))
    for rows in (rescheduled, Job.objects, Recheck.objects, AwaitedRecord.objects):
        rows.filter(due_at__gt=now).update(due_at=Greatest(now, F("due_at") - by))
    # The delays of later checks count from here.
    Recheck.objects.filter(began_at__gt=now).update(began_at=now)
    Breaker.objects.filter(open_until__gt=now).update(open_until=Greatest(now, F("open_until") - by))


def _limit_requested_delays(deliveries: QuerySet[Delivery]) -> None:
    requested = deliveries.filter(not_before__gt=database_now())
    for route in Route.objects.only("pk", "retry_cap_seconds"):
        latest = database_now(plus_seconds=route.retry_cap_seconds)
        rows = requested.filter(route=route, due_at__gt=latest)
        rows.update(not_before=Least(F("not_before"), latest), due_at=latest)
