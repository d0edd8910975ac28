"""End a comparison: what it carries over from the one before, its counts on the audit log, and the rows that go."""

from collections.abc import Iterable

from django.db import transaction
from django.db.models import Count, Exists, OuterRef, QuerySet

from audit.entries.append import NewEntry, append_entries
from audit.format.canonical_json import JSONValue
from database.clock import read_clock
from sync.comparisons.list_gaps import previous_comparison
from sync.comparisons.requests import comparisons_of, pair_of
from sync.comparisons.sides.comparison_run import ComparisonRun
from sync.comparisons.sides.list_reading import DELETE_BATCH
from sync.models import (
    OPEN_COMPARISON_STATES,
    Comparison,
    ComparisonRecord,
    ComparisonState,
    Difference,
    DifferenceKind,
    MatchOutcome,
)
from sync.planning.record_matching import MatchEvidence

# Comparisons of a pair whose rows are kept.
KEPT_COMPARISONS = 2


def end_comparison(run: ComparisonRun) -> None:
    """End a comparison whose candidates are all decided, and its job. Raises JobLost."""
    carry_over(run)
    with transaction.atomic():
        _mark_shared_records(run.comparison)
        run.commit(state=ComparisonState.DONE, ended_at=read_clock(), position=None)
        append_ended_entry(run.comparison)
        run.job.finish()
    delete_old_rows()


def _mark_shared_records(comparison: Comparison) -> None:
    """Note which records were found by the verified value of several entities: none of them is certain. One statement,
    which the database does.
    """
    found = Difference.objects.filter(comparison=comparison, kind=DifferenceKind.FOUND_BY_VALUE)
    shared = found.exclude(record_id="").order_by().values("record_id").annotate(number=Count("pk"))
    certain = found.filter(code=MatchEvidence.VERIFIED_UNIQUE)
    certain.filter(record_id__in=shared.filter(number__gt=1).values("record_id")).update(
        code=MatchOutcome.SHARED_VALUE
    )


def carry_over(run: ComparisonRun) -> None:
    """Give each difference that the previous comparison of the pair had too the time since which it is known, and the
    number of times that the schedule made it equal. In batches; a run that was interrupted does the same again.
    """
    previous = previous_comparison(run.comparison)
    if previous is None:
        return
    after, rows = 0, Difference.objects.filter(comparison=run.comparison).order_by("pk")
    while batch := list(rows.filter(pk__gt=after)[:DELETE_BATCH]):
        known = _known_rows(previous, batch)
        changed = []
        for row in batch:
            before = known.get(_key_of(row))
            if before is not None:
                row.since, row.repairs = before.since, before.repairs + before.is_repaired
                changed.append(row)
        with transaction.atomic():
            Difference.objects.bulk_update(changed, ["since", "repairs"], batch_size=200)
            run.commit()
        after = batch[-1].pk


def _known_rows(previous: Comparison, rows: Iterable[Difference]) -> dict[tuple[str, str, str], Difference]:
    """Return the rows of a comparison that may be of the same entities, or records without one, as these."""
    entity_ids = {row.entity_id for row in rows} - {""}
    record_ids = {row.record_id for row in rows if not row.entity_id}
    known = Difference.objects.filter(comparison=previous)
    found = [*known.filter(entity_id__in=entity_ids), *known.filter(entity_id="", record_id__in=record_ids)]
    return {_key_of(row): row for row in found}


def _key_of(row: Difference) -> tuple[str, str, str]:
    return row.kind, row.entity_id, "" if row.entity_id else row.record_id


def append_ended_entry(comparison: Comparison) -> None:
    """Append the entry of a comparison that has ended, in the transaction that is open: counts, and what it lacks."""
    details: dict[str, JSONValue] = {
        "state": str(comparison.state),
        "counts": {str(kind): number for kind, number in comparison.counts.items()},
        "unconfirmed": {str(kind): number for kind, number in comparison.unconfirmed.items()},
        "read_entities": comparison.read_entities,
        "read_records": comparison.read_records,
        "requests": comparison.request_count,
        "identity_gap": comparison.identity_gap,
        "target_gap": comparison.target_gap,
        "failure": comparison.failure,
    }
    append_entries(NewEntry(comparison.stream, "comparison.ended", details=details))


def delete_old_rows() -> None:
    """Delete, in batches, the digests of comparisons that have ended, and the differences of all but the newest
    KEPT_COMPARISONS of each pair that reached their end.
    """
    ended = Comparison.objects.exclude(state__in=OPEN_COMPARISON_STATES)
    for comparison in _having(ended, ComparisonRecord):
        _delete_batches(ComparisonRecord.objects.filter(comparison=comparison))
    for comparison in _having(ended, Difference):
        newest = comparisons_of(pair_of(comparison)).filter(state=ComparisonState.DONE)
        if comparison.pk not in set(newest.values_list("pk", flat=True)[:KEPT_COMPARISONS]):
            _delete_batches(Difference.objects.filter(comparison=comparison))


def _having(
    comparisons: QuerySet[Comparison], model: type[ComparisonRecord] | type[Difference]
) -> list[Comparison]:
    rows = model._default_manager.filter(comparison=OuterRef("pk"))
    return list(comparisons.filter(Exists(rows)).order_by("pk"))


def _delete_batches(rows: QuerySet[ComparisonRecord] | QuerySet[Difference]) -> None:
    # In the order of an index of one comparison: by their keys, the rows of all others would be read too.
    while keys := list(rows.order_by("record_id").values_list("pk", flat=True)[:DELETE_BATCH]):
        rows.filter(pk__in=keys).delete()
