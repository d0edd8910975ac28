"""What a connection's circuit breaker lets through, for whoever shows it."""

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
    """What the breaker of a connection lets through: everything, nothing, or probes."""

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
        """How many deliveries may run at once now; None for any number."""
        if self.mode is BreakerMode.EVERYTHING:
            return concurrency
        probes = probe_limit(is_open=self.mode is BreakerMode.NOTHING, successes=self.successes)
        return probes if concurrency is None else min(concurrency, probes)


def breaker_of(connection: Connection) -> Breaker | None:
    """Its row; select `breaker` with the connection for many."""
    found: Breaker | None = getattr(connection, "breaker", None)
    return found


def breaker_status(connection: Connection, clock: datetime) -> BreakerStatus:
    """What passes at this moment."""
    breaker = breaker_of(connection)
    if breaker is None or breaker.open_until is None:
        return BreakerStatus(BreakerMode.EVERYTHING, None)
    passing = BreakerMode.NOTHING if breaker.open_until > clock else BreakerMode.PROBES
    return BreakerStatus(passing, breaker.open_until, breaker.successes)


def with_load(connections: QuerySet[Connection]) -> QuerySet[Any]:
    """Each with its breaker, the database's `clock`, and how many deliveries are `running`: one statement for all."""
    either = Q(identity=OuterRef("pk")) | Q(commercial=OuterRef("pk"))
    running = Delivery.objects.filter(either, state=State.RUNNING).order_by().values("state")
    counted = running.annotate(number=Count("pk")).values("number")
    rows: Any = connections.select_related("breaker")
    return rows.annotate(clock=database_now(), running=Coalesce(Subquery(counted), 0))  # type: ignore[no-any-return]
