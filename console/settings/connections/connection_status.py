"""Status of each connection: its requests, its circuit breaker, and how many deliveries wait for it."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from django.utils.safestring import SafeString
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from console.settings.connections.health import HEALTH_PILLS, health_sentence
from console.ui.charts import polyline_points, render_sparkline
from console.ui.formatting import short_duration
from console.ui.outcome_texts import render_pill
from database.clock import database_now
from database.statement import Statement
from sync.deliveries.predicates import is_waiting
from sync.limits.breaker_status import breaker_of
from sync.limits.circuit_breaker import SUCCESSES_TO_CLOSE
from sync.models import CallCount, Connection, ConnectionSide, PayloadChoice
from sync.models.counts import HOUR, start_of_hour
from sync.monitoring.connection_health import ConnectionFigures, ConnectionHealth, classify_health, is_slow
from sync.search.waiting_deliveries import blocking_sides, paused_connections, side_of_failure
from sync.statistics.latency_histogram import add_histograms, estimate_quantile

SHOWN_PERIOD = timedelta(hours=24)
# With fewer in the current hour, the previous hour counts too.
MIN_REQUESTS = 20
MAX_CONNECTIONS = 50


@dataclass(frozen=True, slots=True)
class ConnectionStatus:
    """The figures of a connection and the health that follows from them.

    `since` is the start of the period of the figures. `last_success_at` is within the last day, otherwise None.
    `p95_points` has the p95 of each hour of a day as SVG points.
    """

    connection: Connection
    figures: ConnectionFigures
    p50: float | None
    last_success_at: datetime | None
    since: datetime
    now: datetime
    p95_points: str

    @property
    def health(self) -> ConnectionHealth:
        return classify_health(self.figures)

    @property
    def is_recovering(self) -> bool:
        """Return True if the system answers again and a few deliveries test it."""
        until = self.figures.open_until
        return self.health is ConnectionHealth.FAILING and until is not None and until <= self.now

    @property
    def health_pill(self) -> SafeString:
        if self.is_recovering:
            return render_pill("warn", "↻", _("Recovering"))
        style, symbol, label = HEALTH_PILLS[self.health]
        return render_pill(style, symbol, str(label))

    @property
    def sentence(self) -> str:
        return health_sentence(self.figures, self.now)

    @property
    def sparkline(self) -> SafeString:
        return render_sparkline(self.p95_points, HEALTH_PILLS[self.health][0])

    @property
    def p95_text(self) -> str:
        """Format the 95th percentile of request durations; empty if there is none."""
        return "" if self.figures.p95 is None else short_duration(self.figures.p95)


def load_all_statuses() -> list[ConnectionStatus]:
    """Load the status of all connections, at most `MAX_CONNECTIONS`. Two queries."""
    rows: Any = Connection.objects.select_related("breaker").annotate(clock=database_now())
    return load_statuses(rows.order_by("side", "name", "pk")[:MAX_CONNECTIONS])


def load_statuses(connections: Iterable[Any]) -> list[ConnectionStatus]:
    """Load the status of these connections, which have their breaker and the database's time as `clock`. One query."""
    rows = list(connections)
    if not rows:
        return []
    # The database's clock, which the pauses of circuit breakers are set by.
    now = rows[0].clock
    since = start_of_hour(now) - SHOWN_PERIOD
    counted: dict[int, list[CallCount]] = {connection.pk: [] for connection in rows}
    for count in CallCount.objects.filter(connection__in=list(counted), hour__gt=since).order_by("hour"):
        counted[count.connection_id].append(count)
    return [_build_status(connection, counted[connection.pk], now) for connection in rows]


def _build_status(connection: Connection, hours: Sequence[CallCount], now: datetime) -> ConnectionStatus:
    since = start_of_hour(now)
    if sum(hour.number for hour in hours if hour.hour >= since) < MIN_REQUESTS:
        since -= HOUR
    recent = [hour for hour in hours if hour.hour >= since]
    durations = add_histograms(hour.durations for hour in recent)
    usual = [hour.usual_p95 for hour in recent if hour.usual_p95 is not None]
    successes = [hour.last_success_at for hour in hours if hour.last_success_at is not None]
    breaker = breaker_of(connection)
    figures = ConnectionFigures(
        is_enabled=connection.is_enabled,
        calls=sum(hour.number for hour in recent),
        failed=sum(hour.failed for hour in recent),
        p95=estimate_quantile(durations, 0.95),
        usual_p95=usual[0] if usual else None,
        is_paused=connection.paused_at is not None,
        open_until=breaker.open_until if breaker else None,
        failing_since=breaker.opened_at if breaker else None,
        errors=breaker.failures if breaker else 0,
        status=breaker.status if breaker else None,
        code=breaker.code if breaker else "",
        successes=breaker.successes if breaker else 0,
        successes_needed=SUCCESSES_TO_CLOSE,
    )
    if classify_health(figures) is ConnectionHealth.SLOW:
        figures = replace(figures, slow_since=_slow_since(hours, figures.usual_p95))
    p50, last = estimate_quantile(durations, 0.5), max(successes, default=None)
    return ConnectionStatus(connection, figures, p50, last, since, now, _hourly_p95_points(hours, now))


def _slow_since(hours: Iterable[CallCount], usual: float | None) -> datetime | None:
    """Return the start of the first hour of the unbroken run of slow hours up to now. Counts are hourly."""
    since = None
    for hour in sorted(hours, key=lambda hour: hour.hour, reverse=True):
        if not is_slow(hour.number, estimate_quantile(hour.durations, 0.95), usual):
            break
        since = hour.hour
    return since


def _hourly_p95_points(hours: Iterable[CallCount], now: datetime) -> str:
    p95 = {hour.hour: estimate_quantile(hour.durations, 0.95) for hour in hours}
    first = start_of_hour(now) - SHOWN_PERIOD + HOUR
    return polyline_points([p95.get(first + HOUR * step) for step in range(int(SHOWN_PERIOD / HOUR))])


MAX_WAITING = 10_000

# Reads the partial index of waiting deliveries; the limit bounds the cost during an outage.
_COLUMNS = "identity_id, target_id, is_relayed, payload_choice, state, code"
_COUNT_WAITING = Statement(
    f"""SELECT COUNT(*), {_COLUMNS} FROM (SELECT {_COLUMNS} FROM sync_delivery
    WHERE {is_waiting()} ORDER BY due_at, id LIMIT %s) w GROUP BY {_COLUMNS}"""  # noqa: S608
)


@dataclass(frozen=True, slots=True)
class WaitingCount:
    """The number of waiting deliveries. `is_lower_bound`: counting stopped at its limit."""

    number: int = 0
    is_lower_bound: bool = False


def count_waiting() -> Mapping[int, WaitingCount]:
    """Count the deliveries that wait for each connection, by its primary key. Two queries."""
    rows = _COUNT_WAITING.fetch_all(MAX_WAITING + 1)
    is_least = sum(row[0] for row in rows) > MAX_WAITING
    paused, numbers = paused_connections(), defaultdict[int, int](int)
    for number, identity, target, is_relayed, payload_choice, state, code in rows:
        keys = {ConnectionSide.IDENTITY: identity, ConnectionSide.TARGET: target}
        waited_for = blocking_sides(
            open_sides={side for side, key in keys.items() if key in paused},
            calls_identity=not is_relayed and payload_choice == PayloadChoice.AS_ROUTED,
            failed_at=side_of_failure(state, code),
        )
        for side in waited_for:
            numbers[keys[side]] += number
    return defaultdict(
        lambda: WaitingCount(0, is_least),
        {key: WaitingCount(count, is_least) for key, count in numbers.items()},
    )


def waiting_text(waiting: WaitingCount) -> str:
    """Format a count: `1,204 deliveries`, or `at least …` for a lower bound."""
    number = f"{waiting.number:,}"
    if waiting.is_lower_bound:
        return _("at least %(number)s deliveries") % {"number": number}
    return ngettext("%(number)s delivery", "%(number)s deliveries", waiting.number) % {"number": number}
