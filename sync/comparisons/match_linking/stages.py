"""The stages of a run: plan each subject, read the list of the identity service, link.

Each batch, page and link is a commit, from which another worker goes on.
"""

from collections.abc import Sequence

from django.db import transaction
from django.db.models import Count
from django.utils import timezone

from sync.comparisons.match_linking.evidence import PlannedMatch
from sync.comparisons.match_linking.identity_walk import require_complete_list, walk_list
from sync.comparisons.match_linking.linking_run import LinkingRun, append_ended_entry
from sync.comparisons.match_linking.record_linking import (
    find_chosen,
    find_excluded,
    link_found_record,
    schedule_awaiting,
)
from sync.comparisons.match_linking.requests import select_found
from sync.deliveries.routes import ResolvedRoute
from sync.models import Difference, MatchLinkingMember, MatchLinkingState, MatchOutcome

BATCH_SIZE = 20
_PLAN, _WALK, _LINK = "plan", "walk", "link"


def prepare_preview(run: LinkingRun) -> None:
    """Count which records would be linked, and let the preview wait for a person. Links nothing.

    Raises ReadsWait, SystemsUnavailable, ComparisonFailed, ConnectorError, JobLost and JobStopped; what was committed
    before is continued by the next run.
    """
    if run.position.get("stage", _PLAN) == _PLAN:
        require_complete_list(run)
        while _plan_batch(run):
            pass
        _begin_walk(run)
    walk_list(run)
    _end_preview(run)


def link_all(run: LinkingRun) -> None:
    """Link the records of the preview that are still certain, and end the run. Raises as `prepare_preview`."""
    if run.position.get("stage", _WALK) == _WALK:
        require_complete_list(run)
        walk_list(run)
        _begin_links(run)
    while batch := list(run.members[:BATCH_SIZE]):
        _link_batch(run, batch)
    _end_links(run)


def _plan_batch(run: LinkingRun) -> bool:
    """Plan the next subjects, and store those that are certain. Returns False if none was left."""
    rows = list(select_found(run.comparison).filter(pk__gt=run.position.get("after", 0))[:BATCH_SIZE])
    if not rows:
        return False
    resolved = run.resolve_route()
    ids = [row.entity_id for row in rows]
    excluded = find_excluded(run.comparison, ids) | dict.fromkeys(
        find_chosen(run.comparison, ids), MatchOutcome.CHOSEN
    )
    planned = [_plan_unless(excluded, run, resolved, entity_id) for entity_id in ids]
    with transaction.atomic():
        run.lock()
        # Locked: an erasure deletes them before it looks for members.
        kept = Difference.objects.filter(pk__in=[row.pk for row in rows]).order_by("pk")
        left = set(kept.select_for_update().values_list("pk", flat=True))
        _store_planned(run, [(row, one) for row, one in zip(rows, planned, strict=True) if row.pk in left])
        run.position = {"stage": _PLAN, "after": rows[-1].pk}
        run.commit()
    return True


def _plan_unless(
    excluded: dict[str, MatchOutcome], run: LinkingRun, resolved: ResolvedRoute, entity_id: str
) -> PlannedMatch:
    outcome = excluded.get(entity_id)
    return run.plan(resolved, entity_id) if outcome is None else PlannedMatch(outcome)


def _store_planned(run: LinkingRun, planned: Sequence[tuple[Difference, PlannedMatch]]) -> None:
    run.counts.update(one.outcome.value for _, one in planned)
    members = [
        MatchLinkingMember(
            linking=run.linking, entity_id=row.entity_id, record_id=one.record_id, value=one.value
        )
        for row, one in planned
        if one.outcome == MatchOutcome.VERIFIED_UNIQUE
    ]
    MatchLinkingMember.objects.bulk_create(members, ignore_conflicts=True)


def _begin_walk(run: LinkingRun) -> None:
    """Note the subjects that found the same record, or by the same value, and go on to the list."""
    run.position = {"stage": _WALK}
    with transaction.atomic():
        run.lock()
        for column in ("record_id", "value"):
            several = run.members.order_by().values(column).annotate(number=Count("pk")).filter(number__gt=1)
            run.members.filter(**{f"{column}__in": several.values(column)}).update(is_shared=True)
        run.commit(read_entities=0)


def _end_preview(run: LinkingRun) -> None:
    """Count what is shared, and let the preview wait for a person."""
    with transaction.atomic():
        run.lock()
        _drop_shared(run)
        run.counts[MatchOutcome.VERIFIED_UNIQUE.value] = run.members.count()
        run.position = {}
        run.commit(state=MatchLinkingState.READY, previewed=dict(+run.counts))
        run.job.finish()


def _drop_shared(run: LinkingRun) -> None:
    """Delete the subjects whose value or record another entity has too, and count them."""
    shared = run.members.filter(is_shared=True).delete()[0]
    run.counts[MatchOutcome.SHARED_VALUE.value] += shared


def _begin_links(run: LinkingRun) -> None:
    run.position = {"stage": _LINK}
    with transaction.atomic():
        run.lock()
        _drop_shared(run)
        run.commit()


def _link_batch(run: LinkingRun, batch: Sequence[MatchLinkingMember]) -> None:
    """Plan these subjects anew, and link each that is still certain, in a commit of its own."""
    resolved = run.resolve_route()
    ids = [member.entity_id for member in batch]
    excluded = find_excluded(run.comparison, ids)
    for member in batch:
        planned = _plan_unless(excluded, run, resolved, member.entity_id)
        _decide_member(run, member, planned)


def _decide_member(run: LinkingRun, member: MatchLinkingMember, planned: PlannedMatch) -> None:
    """Link a subject, or leave it out and count why; the subject leaves the run in the same commit."""
    outcome = planned.outcome
    is_same = (planned.record_id, planned.value) == (member.record_id, bytes(member.value))
    if outcome == MatchOutcome.VERIFIED_UNIQUE and not is_same:
        outcome = MatchOutcome.CHANGED
    with transaction.atomic():
        run.lock()
        if outcome == MatchOutcome.VERIFIED_UNIQUE:
            outcome = _link_member(run, member)
        # An erasure has deleted it, and then it is not counted.
        if run.members.filter(pk=member.pk).delete()[0]:
            run.counts[outcome.value] += 1
        run.commit()
    if outcome == MatchOutcome.LINKED:
        schedule_awaiting(run.comparison, member.entity_id)


def _link_member(run: LinkingRun, member: MatchLinkingMember) -> MatchOutcome:
    if find_chosen(run.comparison, [member.entity_id]):
        return MatchOutcome.CHOSEN
    details = {"linking": str(run.linking.uuid)}
    return link_found_record(run.comparison, member.entity_id, member.record_id, run.actor, details)


def _end_links(run: LinkingRun) -> None:
    with transaction.atomic():
        run.lock()
        run.position = {}
        run.commit(state=MatchLinkingState.DONE, ended_at=timezone.now())
        append_ended_entry(run.linking, run.actor)
        run.job.finish()
