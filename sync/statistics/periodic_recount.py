"""Recount stale hours periodically, for a few seconds at most; the next run does the rest."""

import time
from collections import defaultdict
from collections.abc import Iterable, Iterator
from datetime import datetime, timedelta

from django.db.models import Max, Min, Q

from database.clock import read_clock
from sync.models import (
    Call,
    CallCount,
    CountedHour,
    CountMark,
    EventCount,
    FailureCount,
    PruningRun,
    RefusalCount,
    RetentionCategory,
)
from sync.models.counts import HOUR, start_of_hour
from sync.statistics.hour_recount import recount_hour
from sync.statistics.stale_hours import HourStatus, choose_stale_hours
from webhooks.models import Event, Refusal

# The hours that pages show, and the week that they compare with.
RECOUNTED_PERIOD = timedelta(days=8)
COUNT_RETENTION = timedelta(days=400)
TIME_LIMIT_SECONDS = 3.0
MAX_MARKS = 20_000
MAX_OPEN_HOURS = 200
_COUNTS = (EventCount, FailureCount, CallCount, RefusalCount)


def recount_stale_hours(now: datetime | None = None, seconds: float = TIME_LIMIT_SECONDS) -> list[datetime]:
    """Recount the hours that need it, for at most `seconds`. Returns them.

    Safe at any time, from any number of processes, and after a crash: a mark is deleted only after its hour
    was counted.
    """
    now = now or read_clock()
    until = time.monotonic() + seconds
    first = first_complete_hour(now)
    create_missing_hours(max(first, start_of_hour(now - RECOUNTED_PERIOD)), now)
    marks = _marks_by_hour(first)
    counted = []
    for hour in choose_stale_hours(_candidate_hours(now, first, marks), marks, now):
        if time.monotonic() >= until:
            break
        if recount_hour(hour, now):
            CountMark.objects.filter(pk__in=marks.get(hour, [])).delete()
            counted.append(hour)
    delete_counts_before(start_of_hour(now - COUNT_RETENTION))
    return counted


def first_complete_hour(now: datetime) -> datetime:
    """Return the first hour of which retention deleted no event. Earlier hours keep their counts."""
    pruned = PruningRun.objects.filter(kind=RetentionCategory.EVENTS).aggregate(at=Max("up_to"))["at"]
    oldest = start_of_hour(now - COUNT_RETENTION)
    return oldest if pruned is None else max(oldest, start_of_hour(pruned) + HOUR)


def create_missing_hours(first: datetime, now: datetime) -> None:
    """Create the missing rows of hours, from `first` or the oldest row to count on, up to the current hour."""
    oldest = min((at for at in _oldest_times(first) if at is not None), default=now)
    first = min(max(first, start_of_hour(oldest)), start_of_hour(now))
    existing = set(CountedHour.objects.filter(begins_at__gte=first).values_list("begins_at", flat=True))
    number = int((start_of_hour(now) - first) / HOUR) + 1
    missing = [hour for hour in (first + HOUR * step for step in range(number)) if hour not in existing]
    # Another process may create the same rows.
    CountedHour.objects.bulk_create([CountedHour(begins_at=hour) for hour in missing], ignore_conflicts=True)


def _oldest_times(first: datetime) -> Iterator[datetime | None]:
    """Yield the time of the oldest row of each kind: not before `first`, except for requests to other
    systems.
    """
    yield Event.objects.filter(received_at__gte=first).aggregate(at=Min("received_at"))["at"]
    yield Refusal.objects.filter(last_at__gte=first).aggregate(at=Min("last_at"))["at"]
    # Calls have no index on their time: the lowest key is the oldest.
    yield Call.objects.order_by("pk").values_list("started_at", flat=True).first()


def _marks_by_hour(first: datetime) -> dict[datetime, list[int]]:
    """Return the oldest marks by hour, and delete marks of hours that are no longer counted."""
    CountMark.objects.filter(hour__lt=first).delete()
    marks = defaultdict(list)
    for key, hour in CountMark.objects.order_by("pk").values_list("pk", "hour")[:MAX_MARKS]:
        marks[hour].append(key)
    return dict(marks)


def _candidate_hours(now: datetime, first: datetime, marked: Iterable[datetime]) -> list[HourStatus]:
    """Return the recent hours, the marked ones, and the longest uncounted of those with open events."""
    hours = list(marked)
    CountedHour.objects.bulk_create([CountedHour(begins_at=hour) for hour in hours], ignore_conflicts=True)
    rows = CountedHour.objects.filter(begins_at__gte=first)
    recent = rows.filter(
        Q(begins_at__gte=start_of_hour(now - RECOUNTED_PERIOD), begins_at__lte=now) | Q(begins_at__in=hours)
    )
    still_open = rows.filter(open__gt=0).order_by("counted_at")[:MAX_OPEN_HOURS]
    counted = {row.pk: row for row in (*recent, *still_open)}
    return [HourStatus(row.begins_at, row.counted_at, row.seconds, row.open) for row in counted.values()]


def delete_counts_before(hour: datetime, max_hours: int = 24) -> None:
    """Delete the counts of the oldest hours before `hour`, at most `max_hours` at a time."""
    old = list(
        CountedHour.objects.filter(begins_at__lt=hour)
        .order_by("begins_at")
        .values_list("pk", flat=True)[:max_hours]
    )
    if old:
        for model in _COUNTS:
            model.objects.filter(hour__in=old).delete()
        CountedHour.objects.filter(pk__in=old).delete()
