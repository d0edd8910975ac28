"""One hour counted anew and stored: the counts of before are compared, and what differs is written."""

import time
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from django.db import transaction
from django.db.models import F

from sync.models import CallCount, CountedHour, EventCount, FailureCount, RefusalCount
from sync.statistics.call_counts import CallsOfHour, calls_of
from sync.statistics.event_counts import EventsOfHour, Numbers, events_of
from sync.statistics.latency_histogram import added, quantile

TRIES = 3
USUAL = timedelta(days=7)


def count_hour(hour: datetime, now: datetime) -> bool:
    """Count an hour and keep it; False where others counted it meanwhile, `TRIES` times. It began at `now`.

    Nothing is locked while rows are read. What is kept was read after what it replaces had been kept, because the
    version has to be the one of before: of two that count at once, the one that read too early reads again.
    """
    row, _ = CountedHour.objects.get_or_create(begins_at=hour)
    for _again in range(TRIES):
        began = time.monotonic()
        events, calls = events_of(hour), calls_of(hour)
        usual = _usual(hour, calls)
        took = time.monotonic() - began
        with transaction.atomic():
            kept = CountedHour.objects.filter(pk=hour, version=row.version).update(
                version=F("version") + 1, counted_at=now, seconds=took, open=events.open
            )
            if kept:
                _keep(hour, events, calls, usual)
                return True
        row.refresh_from_db()
    return False


def _keep(
    hour: datetime, events: EventsOfHour, calls: Mapping[int, CallsOfHour], usual: Mapping[int, float | None]
) -> None:
    _replace(EventCount, hour, ("source_id", "entity_type", "event_type", "state"), events.events)
    _replace(FailureCount, hour, ("connection_id", "code"), events.failures)
    _raise(hour, events.refusals)
    _keep_calls(hour, calls, usual)


def _replace(model: Any, hour: datetime, names: tuple[str, ...], numbers: Numbers) -> None:
    """Let the rows of this hour say these numbers."""
    known = {tuple(key): (pk, number) for pk, number, *key in _rows(model, hour, names)}
    model.objects.filter(pk__in=[pk for key, (pk, _) in known.items() if key not in numbers]).delete()
    for key, number in numbers.items():
        if key in known and known[key][1] != number:
            model.objects.filter(pk=known[key][0]).update(number=number)
    new = [(key, number) for key, number in numbers.items() if key not in known]
    model.objects.bulk_create(
        [model(hour=hour, number=number, **dict(zip(names, key, strict=True))) for key, number in new]
    )


def _rows(model: Any, hour: datetime, names: tuple[str, ...]) -> list[Any]:
    return list(model.objects.filter(hour=hour).values_list("pk", "number", *names))


def _raise(hour: datetime, refusals: Numbers) -> None:
    """Under a flood the oldest refusals make room for new ones: fewer than were counted is no news."""
    names = ("source_id", "code")
    counted = {tuple(key): number for _, number, *key in _rows(RefusalCount, hour, names)}
    highest = {key: max(number, counted.get(key, 0)) for key, number in {**counted, **refusals}.items()}
    _replace(RefusalCount, hour, names, highest)


def _keep_calls(hour: datetime, calls: Mapping[int, CallsOfHour], usual: Mapping[int, float | None]) -> None:
    known = {each.connection_id: each for each in CallCount.objects.filter(hour=hour)}
    gone = [each.pk for key, each in known.items() if key not in calls]
    CallCount.objects.filter(pk__in=gone).delete()
    for key, found in calls.items():
        row = known.get(key) or CallCount(hour=hour, connection_id=key)
        values = (found.number, found.failed, found.durations, usual.get(key), found.last_success_at)
        if values != (row.number, row.failed, row.durations, row.usual_p95, row.last_success_at):
            row.number, row.failed, row.durations, row.usual_p95, row.last_success_at = values
            row.save()


def _usual(hour: datetime, calls: Mapping[int, CallsOfHour]) -> dict[int, float | None]:
    """The p95 of the week before the hour, by connection."""
    before = CallCount.objects.filter(connection__in=list(calls), hour__gte=hour - USUAL, hour__lt=hour)
    week: dict[int, list[list[int]]] = {key: [] for key in calls}
    for connection, durations in before.values_list("connection_id", "durations"):
        week[connection].append(durations)
    return {key: quantile(added(hours), 0.95) for key, hours in week.items()}
