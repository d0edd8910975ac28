"""Recount one hour and write the counts that differ."""

import time
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from django.db import transaction
from django.db.models import F

from sync.models import CallCount, CountedHour, EventCount, FailureCount, RefusalCount
from sync.statistics.call_counts import HourlyCalls, count_calls
from sync.statistics.event_counts import CountsByKey, HourlyEvents, count_events
from sync.statistics.latency_histogram import add_histograms, estimate_quantile

MAX_ATTEMPTS = 3
DEFAULT_PERIOD = timedelta(days=7)


def recount_hour(hour: datetime, now: datetime) -> bool:
    """Recount an hour that is counted at `now`. Returns False if others counted it meanwhile, `MAX_ATTEMPTS`
    times.

    Nothing is locked while rows are read. The version is compared and set, so counts are stored only if they
    were read after the stored ones had been: of two that count at once, the one that read too early reads
    again.
    """
    row, _ = CountedHour.objects.get_or_create(begins_at=hour)
    for _again in range(MAX_ATTEMPTS):
        # The duration is stored: an hour that takes long to count is counted less often.
        began = time.monotonic()
        events, calls = count_events(hour), count_calls(hour)
        usual = _usual_p95(hour, calls)
        took = time.monotonic() - began
        with transaction.atomic():
            is_stored = CountedHour.objects.filter(pk=hour, version=row.version).update(
                version=F("version") + 1, counted_at=now, seconds=took, open=events.open_count
            )
            if is_stored:
                _store_counts(hour, events, calls, usual)
                return True
        row.refresh_from_db()
    return False


def _store_counts(
    hour: datetime, events: HourlyEvents, calls: Mapping[int, HourlyCalls], usual: Mapping[int, float | None]
) -> None:
    names = ("source_id", "entity_type", "event_type", "state", "origin")
    _replace_counts(EventCount, hour, names, events.events)
    _replace_counts(FailureCount, hour, ("connection_id", "code"), events.failures)
    _raise_refusal_counts(hour, events.refusals)
    _store_call_counts(hour, calls, usual)


def _replace_counts(model: Any, hour: datetime, names: tuple[str, ...], numbers: CountsByKey) -> None:
    """Make the rows of this hour equal to these counts."""
    stored = {tuple(key): (pk, number) for pk, number, *key in _count_rows(model, hour, names)}
    model.objects.filter(pk__in=[pk for key, (pk, _) in stored.items() if key not in numbers]).delete()
    for key, number in numbers.items():
        if key in stored and stored[key][1] != number:
            model.objects.filter(pk=stored[key][0]).update(number=number)
    missing = [(key, number) for key, number in numbers.items() if key not in stored]
    model.objects.bulk_create(
        [model(hour=hour, number=number, **dict(zip(names, key, strict=True))) for key, number in missing]
    )


def _count_rows(model: Any, hour: datetime, names: tuple[str, ...]) -> list[Any]:
    return list(model.objects.filter(hour=hour).values_list("pk", "number", *names))


def _raise_refusal_counts(hour: datetime, refusals: CountsByKey) -> None:
    """Store the refusals of an hour, but never lower a count: under a flood the oldest refusals are deleted."""
    names = ("source_id", "code")
    counted = {tuple(key): number for _, number, *key in _count_rows(RefusalCount, hour, names)}
    highest = {key: max(number, counted.get(key, 0)) for key, number in {**counted, **refusals}.items()}
    _replace_counts(RefusalCount, hour, names, highest)


def _store_call_counts(
    hour: datetime, calls: Mapping[int, HourlyCalls], usual: Mapping[int, float | None]
) -> None:
    stored = {row.connection_id: row for row in CallCount.objects.filter(hour=hour)}
    obsolete = [row.pk for key, row in stored.items() if key not in calls]
    CallCount.objects.filter(pk__in=obsolete).delete()
    for key, counts in calls.items():
        row = stored.get(key) or CallCount(hour=hour, connection_id=key)
        values = (counts.count, counts.failed_count, counts.durations, usual.get(key), counts.last_success_at)
        if values != (row.number, row.failed, row.durations, row.usual_p95, row.last_success_at):
            row.number, row.failed, row.durations, row.usual_p95, row.last_success_at = values
            row.save()


def _usual_p95(hour: datetime, calls: Mapping[int, HourlyCalls]) -> dict[int, float | None]:
    """Return the p95 of the week before the hour, by connection."""
    before = CallCount.objects.filter(
        connection__in=list(calls), hour__gte=hour - DEFAULT_PERIOD, hour__lt=hour
    )
    week: dict[int, list[list[int]]] = {key: [] for key in calls}
    for connection, durations in before.values_list("connection_id", "durations"):
        week[connection].append(durations)
    return {key: estimate_quantile(add_histograms(hours), 0.95) for key, hours in week.items()}
