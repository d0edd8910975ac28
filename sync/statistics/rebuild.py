"""All hours counted anew. What is still to be counted stands in the database: whoever stops loses nothing."""

from collections.abc import Iterator
from datetime import datetime

from sync.models import CountedHour, CountMark
from sync.models.counts import HOUR
from sync.statistics.hour_recount import count_hour
from sync.statistics.recount import begin_hours, first_kept


def count_again(now: datetime, *, goes_on: bool = False) -> Iterator[datetime]:
    """Forget when each hour was counted, unless an earlier run `goes_on`, and count one after the other, newest first.

    Its counts stand until the new ones do. Hours of which retention deleted events keep theirs.
    """
    first = first_kept(now)
    begin_hours(first, now)
    hours = CountedHour.objects.filter(begins_at__gte=first, begins_at__lte=now)
    if not goes_on:
        hours.update(counted_at=None)
    while (hour := _next(now)) is not None:
        marks = list(CountMark.objects.filter(hour=hour).values_list("pk", flat=True))
        if count_hour(hour, now):
            CountMark.objects.filter(pk__in=marks).delete()
            yield hour


def hours_left(now: datetime) -> int:
    """How many were not counted yet."""
    return CountedHour.objects.filter(
        begins_at__gte=first_kept(now), begins_at__lt=now + HOUR, counted_at=None
    ).count()


def _next(now: datetime) -> datetime | None:
    left = CountedHour.objects.filter(begins_at__gte=first_kept(now), begins_at__lte=now, counted_at=None)
    return left.order_by("-begins_at").values_list("pk", flat=True).first()
