"""The state of a connection's circuit breaker, for display."""

from dataclasses import dataclass
from datetime import datetime
from enum import Enum
from typing import Any

from django.db.models import Count, OuterRef, Q, QuerySet, Subquery
from django.db.models.functions import Coalesce

from database.clock import database_now
from sync.limits.circuit_breaker import probe_limit
from sync.models import Breaker, Connection, Delivery
from webhooks.models import State


class BreakerMode(Enum):
    """The deliveries that a breaker lets through: all, none, or probes."""

    EVERYTHING = "everything"
    NOTHING = "nothing"
    PROBES = "probes"


@dataclass(frozen=True, slots=True)
class BreakerStatus:
    """The breaker of a connection at one moment of the database's clock. `until` is None while it is closed."""

    mode: BreakerMode
    until: datetime | None
    successes: int = 0

    def delivery_limit(self, concurrency: int | None) -> int | None:
        """Return how many deliveries may run at the same time now; None for any number."""
        if self.mode is BreakerMode.EVERYTHING:
            return concurrency
        probes = probe_limit(is_open=self.mode is BreakerMode.NOTHING, successes=self.successes)
        # Half-open, the smaller of both limits counts.
        return probes if concurrency is None else min(concurrency, probes)


def breaker_of(connection: Connection) -> Breaker | None:
    """Return the breaker's row, None if there is none. Select `breaker` with the connections if there are many."""
    breaker: Breaker | None = getattr(connection, "breaker", None)
    return breaker


def breaker_status(connection: Connection, clock: datetime) -> BreakerStatus:
    """Return the status of a connection's breaker at this moment."""
    breaker = breaker_of(connection)
    if breaker is None or breaker.open_until is None:
        return BreakerStatus(BreakerMode.EVERYTHING, None)
    passing = BreakerMode.NOTHING if breaker.open_until > clock else BreakerMode.PROBES
    return BreakerStatus(passing, breaker.open_until, breaker.successes)


def annotate_load(connections: QuerySet[Connection]) -> QuerySet[Any]:
    """Annotate connections with the database's `clock` and the number of deliveries `running`, and select their
    breakers.
    """
    either = Q(identity=OuterRef("pk")) | Q(target=OuterRef("pk"))
    running = Delivery.objects.filter(either, state=State.RUNNING).order_by().values("state")
    counted = running.annotate(number=Count("pk")).values("number")
    rows: Any = connections.select_related("breaker")
    return rows.annotate(clock=database_now(), running=Coalesce(Subquery(counted), 0))  # type: ignore[no-any-return]
