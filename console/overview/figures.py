"""Load the figures of the overview from the hourly counts: no event is read, however many there are."""

import math
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.db.models import Sum

from console.ui.charts import HourChart, HourCounts, build_hour_chart
from sync.models import OPEN_STATES, CountedHour, EventCount
from sync.models.counts import HOUR, start_of_hour
from webhooks.models import State

CHARTED_HOURS = 96
DAY_HOURS = 24
# The share of finished events that should succeed, in per cent.
TARGET_PERCENT = 99
_SUCCEEDED_STATES = (State.SUCCEEDED, State.UNCHANGED, State.SUPERSEDED)
_FAILED_STATES = (State.DEAD, State.CLOSED)

States = Mapping[str, int]


@dataclass(frozen=True, slots=True)
class DayFigures:
    """The events received in a period: it starts at `since` and has lasted `elapsed_hours`."""

    since: datetime
    elapsed_hours: float
    states: States

    @property
    def received(self) -> int:
        return sum(self.states.values())

    @property
    def failed(self) -> int:
        return self.states.get(State.DEAD, 0)

    @property
    def succeeded_percent(self) -> str:
        """Return the success rate of finished events, rounded down: `100` only if none failed; empty if none
        finished.
        """
        done = sum(self.states.get(state, 0) for state in _SUCCEEDED_STATES)
        ended = done + sum(self.states.get(state, 0) for state in _FAILED_STATES)
        if not ended:
            return ""
        return f"{math.floor(10_000 * done / ended) / 100:.2f}".removesuffix(".00")

    @property
    def is_under_target(self) -> bool:
        return bool(self.succeeded_percent) and float(self.succeeded_percent) < TARGET_PERCENT


@dataclass(frozen=True, slots=True)
class InFlight:
    """Events that are not finished, of any age. The oldest came in the hour from `since` to `until`."""

    states: States
    since: datetime | None

    @property
    def until(self) -> datetime | None:
        return self.since + HOUR if self.since else None

    @property
    def number(self) -> int:
        return sum(self.states.values())

    @property
    def retrying(self) -> int:
        return self.states.get(State.RETRYING, 0)

    @property
    def held(self) -> int:
        return self.states.get(State.HELD, 0)


@dataclass(frozen=True, slots=True)
class OverviewFigures:
    """All figures. `counted_at` is None before the first count."""

    now: datetime
    counted_at: datetime | None
    today: DayFigures
    yesterday: DayFigures
    in_flight: InFlight
    chart: HourChart

    @property
    def is_stale(self) -> bool:
        """Return True if no worker has counted for two minutes, which is eight intervals."""
        return self.counted_at is None or self.now - self.counted_at > timedelta(minutes=2)

    @property
    def change_percent(self) -> float | None:
        """Return the change in events an hour from the day before, in per cent; None if none came then."""
        before = self.yesterday.received / self.yesterday.elapsed_hours
        now = self.today.received / self.today.elapsed_hours
        return 100 * (now - before) / before if before else None


def load_figures(now: datetime) -> OverviewFigures:
    """Load the figures by four statements, all of them on counts."""
    current = start_of_hour(now)
    hours = _states_by_hour(current - (CHARTED_HOURS - 1) * HOUR)
    # The present hour counts as one of the 24, although it is not over. `elapsed_hours` of today allows for that.
    today, yesterday = current - (DAY_HOURS - 1) * HOUR, current - (2 * DAY_HOURS - 1) * HOUR
    counted = CountedHour.objects.filter(counted_at__isnull=False, begins_at__gte=current - DAY_HOURS * HOUR)
    return OverviewFigures(
        now=now,
        counted_at=counted.order_by("-counted_at").values_list("counted_at", flat=True).first(),
        today=DayFigures(today, (now - today) / HOUR, _sum_states(hours, today, current + HOUR)),
        yesterday=DayFigures(yesterday, DAY_HOURS, _sum_states(hours, yesterday, today)),
        in_flight=_load_in_flight(),
        chart=build_hour_chart(
            [_hour_counts(current - step * HOUR, hours) for step in reversed(range(CHARTED_HOURS))]
        ),
    )


def _states_by_hour(since: datetime) -> dict[datetime, Counter[str]]:
    rows = EventCount.objects.filter(hour__gte=since).order_by().values_list("hour", "state")
    by_hour: dict[datetime, Counter[str]] = {}
    for hour, state, number in rows.annotate(Sum("number")):
        by_hour.setdefault(hour, Counter())[state] += number
    return by_hour


def _sum_states(hours: Mapping[datetime, Counter[str]], since: datetime, before: datetime) -> Counter[str]:
    return sum((states for hour, states in hours.items() if since <= hour < before), Counter())


def _hour_counts(at: datetime, hours: Mapping[datetime, Counter[str]]) -> HourCounts:
    states = hours.get(at, Counter())
    open_count, failed = _count_states(states, OPEN_STATES), states[State.DEAD]
    return HourCounts(at, states.total() - open_count - failed, open_count, failed)


def _count_states(states: Counter[str], names: Iterable[str]) -> int:
    return sum(states[name] for name in names)


def _load_in_flight() -> InFlight:
    """Load the open events, from hours that had any when they were counted."""
    hours = list(
        CountedHour.objects.filter(open__gt=0).order_by("begins_at").values_list("pk", flat=True)[:2000]
    )
    rows = EventCount.objects.filter(hour__in=hours, state__in=OPEN_STATES).order_by()
    states: Counter[str] = Counter()
    for state, number in rows.values_list("state").annotate(Sum("number")):
        states[state] += number
    return InFlight(states, hours[0] if hours else None)
