"""Recount all hours. The database holds the hours that remain, so an interrupted run loses nothing."""

from collections.abc import Iterator
from datetime import datetime

from sync.models import CountedHour, CountMark
from sync.models.counts import HOUR
from sync.statistics.hour_recount import recount_hour
from sync.statistics.periodic_recount import create_missing_hours, first_complete_hour


def recount_all_hours(now: datetime, *, resumes: bool = False) -> Iterator[datetime]:
    """Mark all hours as uncounted, unless this run `resumes` an earlier one, and count them, newest first.

    Old counts stay until the new ones replace them. Hours from which retention deleted events keep theirs.
    """
    first = first_complete_hour(now)
    create_missing_hours(first, now)
    hours = CountedHour.objects.filter(begins_at__gte=first, begins_at__lte=now)
    if not resumes:
        hours.update(counted_at=None)
    while (hour := _next_hour(now)) is not None:
        # Read before the count: a mark that is set during it must stay.
        marks = list(CountMark.objects.filter(hour=hour).values_list("pk", flat=True))
        if recount_hour(hour, now):
            CountMark.objects.filter(pk__in=marks).delete()
            yield hour


def count_remaining_hours(now: datetime) -> int:
    """Count the hours that are not counted yet."""
    return CountedHour.objects.filter(
        begins_at__gte=first_complete_hour(now), begins_at__lt=now + HOUR, counted_at=None
    ).count()


def _next_hour(now: datetime) -> datetime | None:
    left = CountedHour.objects.filter(
        begins_at__gte=first_complete_hour(now), begins_at__lte=now, counted_at=None
    )
    return left.order_by("-begins_at").values_list("pk", flat=True).first()
