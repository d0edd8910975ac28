"""Which hours are to be counted now, the most urgent first. Pure: the moment is passed in."""

from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta

from sync.models.counts import HOUR, start_of_hour

SETTLES = timedelta(minutes=15)  # an event may be stored so long after the moment that stands in it
AT_ONCE, FRESH, LATER = timedelta(0), timedelta(seconds=10), timedelta(seconds=30)
SWEPT = timedelta(hours=1)
SHARE = 20  # an hour that takes a second is counted every twenty seconds at most


@dataclass(frozen=True, slots=True)
class Known:
    """What is known of an hour from when it was last counted."""

    begins_at: datetime
    counted_at: datetime | None
    seconds: float = 0.0
    open: int = 0

    @property
    def settles(self) -> bool:
        """Whether it was counted too early to be complete."""
        return self.counted_at is None or self.counted_at < self.begins_at + HOUR + SETTLES

    def rested(self, now: datetime, least: timedelta) -> bool:
        """Whether it was left alone for so long, and for longer where it takes long to count."""
        if self.counted_at is None:
            return True
        return now - self.counted_at >= max(least, timedelta(seconds=SHARE * self.seconds))


def choose(known: Iterable[Known], marked: Collection[datetime], now: datetime) -> Iterator[datetime]:
    """The hours to count. Those that are new; those that were marked; those in which something is open; one of all
    others, so that whatever was missed is right again after so many looks as there are hours.
    """
    hours = sorted(known, key=lambda each: each.begins_at, reverse=True)
    current = start_of_hour(now)
    yield from (each.begins_at for each in hours if each.settles and each.rested(now, FRESH))
    rest = sorted(
        (each for each in hours if not each.settles and each.begins_at < current),
        key=lambda each: each.counted_at or each.begins_at,
    )
    yield from (each.begins_at for each in rest if each.begins_at in marked and each.rested(now, AT_ONCE))
    rest = [each for each in rest if each.begins_at not in marked]
    yield from (each.begins_at for each in rest if each.open and each.rested(now, LATER))
    yield from [each.begins_at for each in rest if not each.open and each.rested(now, SWEPT)][:1]
