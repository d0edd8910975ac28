"""Choose the hours to recount now, the most urgent first. Pure: the time is an argument."""

from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta

from sync.models.counts import HOUR, start_of_hour

# How long after its `received_at` an event may be stored.
SETTLING_TIME = timedelta(minutes=15)
MARKED_INTERVAL, SETTLING_INTERVAL, OPEN_INTERVAL = timedelta(0), timedelta(seconds=10), timedelta(seconds=30)
SWEEP_INTERVAL = timedelta(hours=1)
# An hour that takes a second to count is counted every twenty seconds at most.
DURATION_FACTOR = 20


@dataclass(frozen=True, slots=True)
class HourStatus:
    """Status of an hour from its last count."""

    begins_at: datetime
    counted_at: datetime | None
    seconds: float = 0.0
    open_count: int = 0

    @property
    def is_settling(self) -> bool:
        """True if it was counted too early to be complete."""
        return self.counted_at is None or self.counted_at < self.begins_at + HOUR + SETTLING_TIME

    def is_due(self, now: datetime, min_interval: timedelta) -> bool:
        """Return True if the last count is old enough; hours that take long to count are counted less often."""
        if self.counted_at is None:
            return True
        return now - self.counted_at >= max(min_interval, timedelta(seconds=DURATION_FACTOR * self.seconds))


def choose_stale_hours(
    known: Iterable[HourStatus], marked: Collection[datetime], now: datetime
) -> Iterator[datetime]:
    """Iterate over the hours to recount: new ones, marked ones, those with open events, and one of all
    others.

    The last group corrects anything that was missed, after as many runs as there are hours.
    """
    hours = sorted(known, key=lambda hour: hour.begins_at, reverse=True)
    current = start_of_hour(now)
    yield from (hour.begins_at for hour in hours if hour.is_settling and hour.is_due(now, SETTLING_INTERVAL))
    rest = sorted(
        (hour for hour in hours if not hour.is_settling and hour.begins_at < current),
        key=lambda hour: hour.counted_at or hour.begins_at,
    )
    yield from (
        hour.begins_at for hour in rest if hour.begins_at in marked and hour.is_due(now, MARKED_INTERVAL)
    )
    rest = [hour for hour in rest if hour.begins_at not in marked]
    yield from (hour.begins_at for hour in rest if hour.open_count and hour.is_due(now, OPEN_INTERVAL))
    yield from [hour.begins_at for hour in rest if not hour.open_count and hour.is_due(now, SWEEP_INTERVAL)][
        :1
    ]
