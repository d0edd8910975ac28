"""What is of no use to anybody any more, deleted at night in small transactions. History is none of it."""

from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any

from django.conf import settings
from django.contrib.sessions.models import Session
from django.db.models import Max, QuerySet

from sync.clock import read_clock
from sync.models import Alarm
from webhooks.models import Refusal
from webhooks.models.pace import Pace

BATCH = 500
MOST_BATCHES = 200
ALARMS_KEPT = REFUSALS_KEPT = timedelta(days=90)
PACES_KEPT = timedelta(days=1)  # what a rate was slowed down for is long over by then


def clean() -> int:
    """Delete expired sessions, refusals beyond their limits, alarms that ended long ago and idle paces; how many rows.

    At most 200 transactions of 500 rows for each, so that nobody waits for it: the rest is left to the next night.
    """
    return sum(_delete(rows) for rows in _useless(read_clock()))


def _useless(now: datetime) -> Iterator[QuerySet[Any]]:
    newest = Refusal.objects.aggregate(pk=Max("pk"))["pk"] or 0
    yield Session.objects.filter(expire_date__lt=now)
    yield Refusal.objects.filter(pk__lte=newest - settings.REFUSALS_KEPT)
    yield Refusal.objects.filter(last_at__lt=now - REFUSALS_KEPT)
    yield Alarm.objects.filter(ended_at__lt=now - ALARMS_KEPT)
    yield Pace.objects.filter(free_at__lt=now - PACES_KEPT)


def _delete(rows: QuerySet[Any]) -> int:
    """The condition is asked again with each batch: a pace that is in use again by then stays."""
    deleted = 0
    for _ in range(MOST_BATCHES):
        keys = list(rows.order_by("pk").values_list("pk", flat=True)[:BATCH])
        if keys:
            rows.filter(pk__in=keys).delete()
            deleted += len(keys)
        if len(keys) < BATCH:
            break
    return deleted
