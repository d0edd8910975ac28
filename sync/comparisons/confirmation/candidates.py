"""The candidates of a comparison: which are planned again now, which later, and which not at all."""

from collections import Counter
from collections.abc import Sequence
from datetime import datetime, timedelta

from django.conf import settings
from django.db import transaction
from django.db.models import Max, QuerySet

from database.clock import read_clock
from sync.comparisons.confirmation.subject_states import find_erased
from sync.jobs.running_job import JobLost, RunningJob
from sync.models import Comparison, ComparisonState, Difference, DifferenceKind, DifferenceStatus
from webhooks.models import Event

MAX_CONFIRMED = 1_000
# Without an entity to plan, or nothing that a plan could confirm.
UNPLANNED_KINDS = (
    DifferenceKind.UNLINKED_RECORD,
    DifferenceKind.UNKNOWN_RECORD,
    DifferenceKind.OUT_OF_SCOPE,
)
_SURPLUS_BATCH = 1_000


def select_candidates(comparison: Comparison) -> QuerySet[Difference]:
    rows = Difference.objects.filter(comparison=comparison, status=DifferenceStatus.CANDIDATE)
    return rows.order_by("pk")


def unseen_unlisted(comparison: Comparison) -> QuerySet[Difference]:
    return select_candidates(comparison).filter(kind=DifferenceKind.ENTITY_GONE, seen_absent_at=None)


def planned_at_once(comparison: Comparison) -> QuerySet[Difference]:
    return select_candidates(comparison).exclude(kind=DifferenceKind.ENTITY_GONE)


def _seen_absent(comparison: Comparison) -> QuerySet[Difference]:
    rows = select_candidates(comparison).filter(kind=DifferenceKind.ENTITY_GONE)
    return rows.filter(seen_absent_at__isnull=False)


def absent_for_long(comparison: Comparison) -> QuerySet[Difference]:
    limit = read_clock() - timedelta(seconds=settings.ABSENCE_CONFIRM_SECONDS)
    return _seen_absent(comparison).filter(seen_absent_at__lte=limit)


def seconds_to_wait(comparison: Comparison) -> float:
    """Return the seconds until the last of the entities that were absent has been so for long enough, 0 without one."""
    newest = _seen_absent(comparison).aggregate(newest=Max("seen_absent_at"))["newest"]
    if newest is None:
        return 0.0
    waited: float = (read_clock() - newest).total_seconds()
    return max(0.0, float(settings.ABSENCE_CONFIRM_SECONDS) - waited)


def lock_comparison(comparison: Comparison) -> Comparison:
    """Lock the row of a comparison: before that of its job, as everywhere. Raises JobLost if it has ended."""
    rows = Comparison.objects.select_for_update(no_key=True).filter(state=ComparisonState.RUNNING)
    locked = rows.filter(pk=comparison.pk).first()
    if locked is None:
        raise JobLost
    return locked


def set_surplus_aside(comparison: Comparison, job: RunningJob) -> Comparison:
    """Report the candidates beyond the first MAX_CONFIRMED of each kind as not confirmed.

    Before any is confirmed: a run that is interrupted here finds the same ones again. Returns the comparison.
    """
    planned = [kind for kind in DifferenceKind.values if kind not in UNPLANNED_KINDS]
    for kind in planned:
        of_kind = select_candidates(comparison).filter(kind=kind)
        last = of_kind.values_list("pk", flat=True)[MAX_CONFIRMED - 1 : MAX_CONFIRMED].first()
        while last and (rows := list(of_kind.filter(pk__gt=last)[:_SURPLUS_BATCH])):
            _store_unconfirmed(comparison, job, kind, rows)
    with transaction.atomic():
        comparison = lock_comparison(comparison)
        comparison.position = {"began_at": read_clock().isoformat()}
        comparison.save(update_fields=["position"])
        job.renew_lease(made_progress=True)
    return comparison


def _store_unconfirmed(
    comparison: Comparison, job: RunningJob, kind: str, rows: Sequence[Difference]
) -> None:
    by_id = {row.pk: row.entity_id for row in rows}
    with transaction.atomic():
        comparison = lock_comparison(comparison)
        erased = find_erased(comparison, by_id.values())
        dropped = [pk for pk, entity_id in by_id.items() if entity_id in erased]
        deleted, _ = Difference.objects.filter(pk__in=dropped).delete()
        reported = Difference.objects.filter(pk__in=by_id.keys(), status=DifferenceStatus.CANDIDATE)
        found = reported.update(status=DifferenceStatus.NOT_CONFIRMED)
        comparison.counts[kind] = comparison.counts.get(kind, 0) + found + deleted
        comparison.unconfirmed[kind] = comparison.unconfirmed.get(kind, 0) + found
        comparison.save(update_fields=["counts", "unconfirmed"])
        job.renew_lease(made_progress=True)


def reopen_changed(comparison: Comparison, job: RunningJob) -> Comparison:
    """Make candidates of the differences of which an event has told since the first was confirmed. Does nothing if
    that was done before. Returns the comparison.
    """
    position = comparison.position or {}
    if "reopened" in position:
        return comparison
    events = Event.objects.filter(
        entity_type=comparison.entity_type, received_at__gte=datetime.fromisoformat(position["began_at"])
    )
    confirmed = Difference.objects.filter(
        comparison=comparison, status=DifferenceStatus.CONFIRMED, entity_id__in=events.values("entity_id")
    )
    planned = confirmed.exclude(kind__in=UNPLANNED_KINDS).order_by("pk")
    with transaction.atomic():
        comparison = lock_comparison(comparison)
        rows = list(planned.select_for_update())
        counts, field_counts = Counter(comparison.counts), Counter(comparison.field_counts)
        for row in rows:
            counts[row.kind] -= 1
            if row.kind == DifferenceKind.DIFFERS:
                field_counts.subtract(row.fields)
        Difference.objects.filter(pk__in=[row.pk for row in rows]).update(status=DifferenceStatus.CANDIDATE)
        comparison.counts, comparison.field_counts = dict(+counts), dict(+field_counts)
        comparison.position = {**position, "reopened": len(rows)}
        comparison.save(update_fields=["counts", "field_counts", "position"])
        job.renew_lease(made_progress=True)
    return comparison
