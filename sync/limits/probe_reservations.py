"""Reserve the probe of a paused connection for one process, and record its result.

A probe that is reserved keeps the breaker open until it must have ended: no delivery passes meanwhile, and if its
process dies, deliveries try the system afterwards. Each step is a compare-and-set on `open_until`.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta

from django.db import transaction
from django.db.models import QuerySet

from database.clock import read_clock
from sync.limits.circuit_breaker import (
    PROBE_AHEAD_SECONDS,
    SystemFailure,
    invalidate_breakers,
    reopen_breaker,
    unhealthy_breakers,
)
from sync.models import Breaker, Connection

# Over all connections, in one round.
MAX_PROBES = 8
# Seconds: a wait for the rate limit, and the commit of the result.
_MARGIN_SECONDS = 10.0


@dataclass(frozen=True, slots=True)
class ReservedProbe:
    """A probe that this process sends. `paused_until`: the end of the pause if the probe shows nothing."""

    connection: Connection
    paused_until: datetime
    reserved_until: datetime

    def find_breaker(self) -> QuerySet[Breaker]:
        """Return the breaker if the reservation still holds: a person may have ended the pause."""
        return Breaker.objects.filter(pk=self.connection.pk, open_until=self.reserved_until)


def reserve_probes() -> list[ReservedProbe]:
    """Reserve probes of connections whose pauses end within `PROBE_AHEAD_SECONDS`, at most `MAX_PROBES`.

    Runs no statement of its own while no breaker is open.
    """
    if all(breaker.open_until is None for breaker in unhealthy_breakers().values()):
        return []
    now = read_clock()
    ending = Breaker.objects.filter(
        open_until__gt=now,
        open_until__lte=now + timedelta(seconds=PROBE_AHEAD_SECONDS),
        connection__is_enabled=True,
    )
    chosen = ending.select_related("connection").order_by("open_until")[:MAX_PROBES]
    reserved = (_reserve_probe(breaker, now) for breaker in chosen)
    return [probe for probe in reserved if probe is not None]


def _reserve_probe(breaker: Breaker, now: datetime) -> ReservedProbe | None:
    assert breaker.open_until is not None
    # No request begins after one deadline, so the last one ends within two.
    seconds = 2 * breaker.connection.deadline_seconds + _MARGIN_SECONDS
    probe = ReservedProbe(breaker.connection, breaker.open_until, now + timedelta(seconds=seconds))
    reserved = Breaker.objects.filter(pk=breaker.pk, open_until=breaker.open_until)
    return probe if reserved.update(open_until=probe.reserved_until) else None


def record_answered_probe(probe: ReservedProbe) -> None:
    """End the pause: the system answers, and single deliveries may fail without the next pause."""
    probe.find_breaker().update(open_until=read_clock(), has_answered=True)
    invalidate_breakers()


def record_failed_probe(probe: ReservedProbe, failure: SystemFailure) -> None:
    """Begin the next pause."""
    with transaction.atomic():
        reopen_breaker(probe.connection, failure, probe.reserved_until)


def record_inconclusive_probe(probe: ReservedProbe) -> None:
    """End the pause at its time: only a delivery can show whether the system works."""
    probe.find_breaker().update(open_until=max(probe.paused_until, read_clock()))
