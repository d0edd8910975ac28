"""The figures of each connection: its requests, its circuit breaker, and how many deliveries wait for it."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from django.utils.safestring import SafeString
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from console.settings.connections.health import health_label, health_sentence, health_style, health_symbol
from console.ui.charts import polyline_points, render_sparkline
from console.ui.formatting import short_duration
from console.ui.outcome_texts import render_pill
from database.clock import database_now
from database.statement import Statement
from sync.deliveries.predicates import waits
from sync.limits.breaker_status import breaker_of
from sync.limits.circuit_breaker import ENOUGH
from sync.models import CallCount, Connection
from sync.models.counts import HOUR, hour_of
from sync.monitoring.connection_health import ConnectionFigures, Health, health_of, is_slow
from sync.statistics.latency_histogram import added, quantile

SHOWN_PERIOD = timedelta(hours=24)
MIN_REQUESTS = 20  # with fewer requests in the hour that has begun, the one before speaks too
MAX_CONNECTIONS = 50


@dataclass(frozen=True, slots=True)
class ConnectionStatus:
    """A connection with its figures, its word and its sentence, and its p95 of each hour of a day as a line.

    `since`: when that began which the figures are of. `last_success_at`: of the last day, None where there is none.
    """

    connection: Connection
    figures: ConnectionFigures
    p50: float | None
    last_success_at: datetime | None
    since: datetime
    now: datetime
    p95_points: str

    @property
    def health(self) -> Health:
        return health_of(self.figures)

    @property
    def health_pill(self) -> SafeString:
        """The word with its shape."""
        return render_pill(health_style(self.health), health_symbol(self.health), health_label(self.health))

    @property
    def sentence(self) -> str:
        return health_sentence(self.figures, self.now)

    @property
    def sparkline(self) -> SafeString:
        return render_sparkline(self.p95_points, health_style(self.health))

    @property
    def p95_text(self) -> str:
        """In words; empty where there is none."""
        return "" if self.figures.p95 is None else short_duration(self.figures.p95)


def load_all_statuses() -> list[ConnectionStatus]:
    """Of all connections, fifty at most: two statements."""
    rows: Any = Connection.objects.select_related("breaker").annotate(clock=database_now())
    return load_statuses(rows.order_by("side", "name", "pk")[:MAX_CONNECTIONS])


def load_statuses(connections: Iterable[Any]) -> list[ConnectionStatus]:
    """Of these, each with its breaker and the database's `clock`: one statement for all."""
    rows = list(connections)
    if not rows:
        return []
    now = rows[0].clock
    since = hour_of(now) - SHOWN_PERIOD
    counted: dict[int, list[CallCount]] = {each.pk: [] for each in rows}
    for count in CallCount.objects.filter(connection__in=list(counted), hour__gt=since).order_by("hour"):
        counted[count.connection_id].append(count)
    return [_build_status(each, counted[each.pk], now) for each in rows]


def _build_status(connection: Connection, hours: Sequence[CallCount], now: datetime) -> ConnectionStatus:
    since = hour_of(now)
    if sum(each.number for each in hours if each.hour >= since) < MIN_REQUESTS:
        since -= HOUR
    recent = [each for each in hours if each.hour >= since]
    durations = added(each.durations for each in recent)
    usual = [each.usual_p95 for each in recent if each.usual_p95 is not None]
    successes = [each.last_success_at for each in hours if each.last_success_at is not None]
    breaker = breaker_of(connection)
    figures = ConnectionFigures(
        is_enabled=connection.is_enabled,
        calls=sum(each.number for each in recent),
        failed=sum(each.failed for each in recent),
        p95=quantile(durations, 0.95),
        usual_p95=usual[0] if usual else None,
        paused_until=breaker.open_until if breaker else None,
        successes=breaker.successes if breaker else 0,
        enough=ENOUGH,
    )
    if health_of(figures) is Health.SLOW:
        figures = replace(figures, slow_since=_slow_since(hours, figures.usual_p95))
    p50, last = quantile(durations, 0.5), max(successes, default=None)
    return ConnectionStatus(connection, figures, p50, last, since, now, _hourly_p95_points(hours, now))


def _slow_since(hours: Iterable[CallCount], usual: float | None) -> datetime | None:
    """When the first hour of those began that are slow up to now; the worker does not count finer."""
    since = None
    for each in sorted(hours, key=lambda each: each.hour, reverse=True):
        if not is_slow(each.number, quantile(each.durations, 0.95), usual):
            break
        since = each.hour
    return since


def _hourly_p95_points(hours: Iterable[CallCount], now: datetime) -> str:
    p95 = {each.hour: quantile(each.durations, 0.95) for each in hours}
    first = hour_of(now) - SHOWN_PERIOD + HOUR
    return polyline_points([p95.get(first + HOUR * step) for step in range(int(SHOWN_PERIOD / HOUR))])


MAX_WAITING = 10_000

# By the index that holds only what waits; beyond so many it is not worth knowing how many more.
_COUNT_WAITING = Statement(
    f"""SELECT identity_id, commercial_id, COUNT(*) FROM (SELECT identity_id, commercial_id FROM sync_delivery
    WHERE {waits()} ORDER BY due_at, id LIMIT %s) w GROUP BY identity_id, commercial_id"""  # noqa: S608
)


@dataclass(frozen=True, slots=True)
class WaitingCount:
    """How many deliveries wait. `is_lower_bound`: there are more than were counted."""

    number: int = 0
    is_lower_bound: bool = False


def count_waiting() -> Mapping[int, WaitingCount]:
    """By the connection's key: what waits for it, at either end. One statement."""
    rows = _COUNT_WAITING.fetch_all(MAX_WAITING + 1)
    is_least = sum(number for _, _, number in rows) > MAX_WAITING
    numbers: defaultdict[int, int] = defaultdict(int)
    for identity, commercial, number in rows:
        for connection in {identity, commercial}:
            numbers[connection] += number
    return defaultdict(
        lambda: WaitingCount(0, is_least),
        {key: WaitingCount(each, is_least) for key, each in numbers.items()},
    )


def waiting_text(waiting: WaitingCount) -> str:
    """`1,204 deliveries`; where there are more than were counted, that."""
    number = f"{waiting.number:,}"
    if waiting.is_lower_bound:
        return _("at least %(number)s deliveries") % {"number": number}
    return ngettext("%(number)s delivery", "%(number)s deliveries", waiting.number) % {"number": number}
