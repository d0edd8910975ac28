"""Which hours are to be counted now, the most urgent first. Pure: the moment is passed in."""

from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta

from sync.models.counts import HOUR, start_of_hour

SETTLING_TIME = timedelta(minutes=15)  # an event may be stored so long after the moment that stands in it
MARKED_INTERVAL, SETTLING_INTERVAL, OPEN_INTERVAL = timedelta(0), timedelta(seconds=10), timedelta(seconds=30)
SWEEP_INTERVAL = timedelta(hours=1)
DURATION_FACTOR = 20  # an hour that takes a second is counted every twenty seconds at most


@dataclass(frozen=True, slots=True)
class HourStatus:
    """What is known of an hour from when it was last counted."""

    begins_at: datetime
    counted_at: datetime | None
    seconds: float = 0.0
    open_count: int = 0

    @property
    def is_settling(self) -> bool:
        """Whether it was counted too early to be complete."""
        return self.counted_at is None or self.counted_at < self.begins_at + HOUR + SETTLING_TIME

    def has_rested(self, now: datetime, min_interval: timedelta) -> bool:
        """Whether it was left alone for so long, and for longer where it takes long to count."""
        if self.counted_at is None:
            return True
        return now - self.counted_at >= max(min_interval, timedelta(seconds=DURATION_FACTOR * self.seconds))


def choose_stale_hours(
    known: Iterable[HourStatus], marked: Collection[datetime], now: datetime
) -> Iterator[datetime]:
    """The hours to count. Those that are new; those that were marked; those in which something is open; one of all
    others, so that whatever was missed is right again after so many looks as there are hours.
    """
    hours = sorted(known, key=lambda each: each.begins_at, reverse=True)
    current = start_of_hour(now)
    yield from (
        each.begins_at for each in hours if each.is_settling and each.has_rested(now, SETTLING_INTERVAL)
    )
    rest = sorted(
        (each for each in hours if not each.is_settling and each.begins_at < current),
        key=lambda each: each.counted_at or each.begins_at,
    )
    yield from (
        each.begins_at for each in rest if each.begins_at in marked and each.has_rested(now, MARKED_INTERVAL)
    )
    rest = [each for each in rest if each.begins_at not in marked]
    yield from (each.begins_at for each in rest if each.open_count and each.has_rested(now, OPEN_INTERVAL))
    yield from [
        each.begins_at for each in rest if not each.open_count and each.has_rested(now, SWEEP_INTERVAL)
    ][:1]
