"""What is left after the entities: linked records whose entity was not listed, and records without an entity.

Nothing of an incomplete identity service is gone, and nothing of an incomplete target is without a link.
"""

from collections.abc import Sequence
from typing import Any

from django.db import transaction
from django.db.models import Exists, OuterRef, QuerySet

from sync.comparisons.sides.comparison_run import ComparisonRun, FoundDifferences
from sync.comparisons.sides.entity_page import SAMPLE_SIZE, add_candidates, read_owners
from sync.models import (
    ComparisonCount,
    ComparisonPhase,
    ComparisonRecord,
    Difference,
    DifferenceKind,
    DifferenceStatus,
    Link,
    Route,
)

# What is looked for, one after the other.
_GONE, _REST = STAGES = ("gone", "rest")
PAGE_SIZE = 500


def compare_unlisted(run: ComparisonRun) -> None:
    """Look at the next PAGE_SIZE links, then records, whose entity was not listed, or end the phase. Raises JobLost."""
    position = dict(run.comparison.position or {})
    find_page = _find_gone if position["stage"] == _GONE else _find_rest
    last, found = find_page(run, position["after"])
    position["rows"] = position.get("rows", 0) + found.row_count
    with transaction.atomic():
        values: dict[str, Any] = found.store(run)
        if last is not None:
            run.commit(**values, position={**position, "after": last})
        elif position["stage"] == _GONE:
            run.commit(**values, position={**position, "stage": _REST, "after": 0})
        else:
            candidates = Difference.objects.filter(
                comparison=run.comparison, status=DifferenceStatus.CANDIDATE
            ).count()
            run.commit(**values, phase=ComparisonPhase.CONFIRMING, position=None, to_confirm=candidates)


def _find_gone(run: ComparisonRun, after: int) -> tuple[int | None, FoundDifferences]:
    """Find linked records of the pair whose entity was not listed. Returns the last key, None after the last page."""
    found, comparison = FoundDifferences(), run.comparison
    if comparison.identity_gap:
        return None, found
    links = list(_unlisted_links(run).filter(pk__gt=after).order_by("pk")[:PAGE_SIZE])
    deactivated = _deactivated_records(run, [link.record_id for link in links])
    ignores = run.resolved.route.when_deleted == Route.DeletionPolicy.IGNORE
    candidates = []
    for link in links:
        if ignores or link.record_id in deactivated:
            found.counts[ComparisonCount.IN_STEP_REMOVED] += 1
        else:
            candidates.append(
                _new_row(run, DifferenceKind.ENTITY_GONE, link.record_id, entity_id=link.entity_id)
            )
    add_candidates(run, found, candidates)
    return (links[-1].pk if links else None), found


def _unlisted_links(run: ComparisonRun) -> QuerySet[Link]:
    comparison = run.comparison
    listed = ComparisonRecord.objects.filter(
        comparison=comparison, record_id=OuterRef("record_id"), is_found=True
    )
    links = Link.objects.filter(
        identity=comparison.identity_id, entity_type=comparison.entity_type, target=comparison.target_id
    )
    return links.exclude(record_id="").exclude(Exists(listed)).only("pk", "record_id", "entity_id")


def _deactivated_records(run: ComparisonRun, record_ids: Sequence[str]) -> set[str]:
    if run.resolved.route.when_deleted != Route.DeletionPolicy.DEACTIVATE:
        # They may be marked because of those who left the scope.
        return set()
    rows = ComparisonRecord.objects.filter(
        comparison=run.comparison, record_id__in=record_ids, is_deactivated=True
    )
    return set(rows.values_list("record_id", flat=True)) if record_ids else set()


def _find_rest(run: ComparisonRun, after: int) -> tuple[int | None, FoundDifferences]:
    """Count the records without an entity: linked by others, with an external id, or with neither."""
    found, comparison = FoundDifferences(), run.comparison
    if comparison.target_gap:
        return None, found
    rows = ComparisonRecord.objects.filter(comparison=comparison, is_found=False, pk__gt=after)
    page = list(rows.order_by("pk")[:PAGE_SIZE])
    owners = read_owners(run, [row.record_id for row in page]) if page else {}
    own = (comparison.identity_id, comparison.entity_type)
    for row in page:
        services = {(owner.identity_id, owner.entity_type) for owner in owners.get(row.record_id, [])}
        if own in services:
            # Its entity is gone, or the identity side is incomplete.
            continue
        if services:
            found.counts[ComparisonCount.OTHERS] += 1
        elif row.external_id is None:
            _add_sample(run, found, DifferenceKind.UNKNOWN_RECORD, row.record_id)
        elif not comparison.identity_gap:
            _add_sample(run, found, DifferenceKind.UNLINKED_RECORD, row.record_id)
    return (page[-1].pk if page else None), found


def _add_sample(run: ComparisonRun, found: FoundDifferences, kind: DifferenceKind, record_id: str) -> None:
    if run.comparison.counts.get(kind, 0) + found.counts[kind] < SAMPLE_SIZE:
        row = _new_row(run, kind, record_id)
        row.status = DifferenceStatus.CONFIRMED
        found.rows.append(row)
    found.counts[kind] += 1


def _new_row(run: ComparisonRun, kind: DifferenceKind, record_id: str, entity_id: str = "") -> Difference:
    comparison = run.comparison
    since = comparison.started_at or comparison.requested_at
    return Difference(comparison=comparison, kind=kind, record_id=record_id, entity_id=entity_id, since=since)
