"""Decide of what kind a difference is, from what planning its subject found."""

from dataclasses import dataclass

from connectors.contracts.errors import Side
from sync.attempts.absence import ENTITY_UNPROVEN, OWNER_HELD_CODE, RECORD_UNPROVEN
from sync.attempts.scope import OUT_OF_SCOPE_CODE
from sync.comparisons.live_plan import FoundBy, PlannedSubject
from sync.models import ComparisonCount, DifferenceKind
from sync.planning.change import Change, ChangeAction
from sync.planning.record_matching import MatchEvidence
from sync.references.missing_references import REFERENCE_MISSING_CODE

NO_MATCH_CODE = "no-match"
_UNMAPPABLE_CODES = frozenset(
    {"unmappable", "mapping-over-budget", "mapping-failed", "too-many-references", REFERENCE_MISSING_CODE}
)


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a subject is counted as: a DifferenceKind or a ComparisonCount; empty if it is not counted."""

    count: str
    record_id: str = ""
    fields: tuple[str, ...] = ()
    code: str = ""

    @property
    def is_difference(self) -> bool:
        """True if it is reported."""
        return self.count in DifferenceKind.values


NOTHING = Verdict("")


def judge_listed(planned: PlannedSubject) -> Verdict:
    """Judge a subject whose entity the identity service lists."""
    if planned.has_entity is False:
        return _judge_unfindable(planned)
    if planned.candidates:
        only_one = planned.candidates[0] if len(planned.candidates) == 1 else ""
        return Verdict(DifferenceKind.FOUND_BY_VALUE, only_one, code=_evidence_of(planned))
    if planned.code or planned.change is None:
        return _judge_failed(planned)
    return _judge_planned(planned, planned.change)


def _judge_planned(planned: PlannedSubject, change: Change) -> Verdict:
    if planned.found_by == FoundBy.VALUE:
        return Verdict(DifferenceKind.FOUND_BY_VALUE, planned.record_id, code=_evidence_of(planned))
    if change.action is ChangeAction.CREATE:
        return Verdict(DifferenceKind.MISSING_RECORD)
    if not planned.is_in_step:
        return _differs(planned)
    return Verdict(ComparisonCount.IN_STEP_REMOVED if planned.is_outside else ComparisonCount.IN_STEP)


def _evidence_of(planned: PlannedSubject) -> str:
    # Without a match, the linked record has lost the external id, and others have it.
    return str(planned.match.evidence if planned.match is not None else MatchEvidence.AMBIGUOUS)


def _judge_failed(planned: PlannedSubject) -> Verdict:
    if planned.code == OUT_OF_SCOPE_CODE:
        return Verdict(DifferenceKind.OUT_OF_SCOPE, code=OUT_OF_SCOPE_CODE)
    if planned.code == OWNER_HELD_CODE:
        return _differs(planned)
    if planned.code == NO_MATCH_CODE:
        # Searches found nothing, and the route creates no record.
        return Verdict(DifferenceKind.MISSING_RECORD, code=planned.code)
    if planned.code in _UNMAPPABLE_CODES:
        return Verdict(DifferenceKind.UNMAPPABLE, planned.record_id, code=planned.code)
    return unreadable(planned.record_id, planned.code)


def _differs(planned: PlannedSubject) -> Verdict:
    # A record that has lost the external id of the entity may have every other value.
    errors = planned.result.errors if planned.result else ()
    fields = tuple(planned.differing_fields) or tuple(error.field for error in errors)
    code = planned.code or (OUT_OF_SCOPE_CODE if planned.is_outside else "")
    return Verdict(DifferenceKind.DIFFERS, planned.record_id, fields, code)


def _judge_unfindable(planned: PlannedSubject) -> Verdict:
    """Judge a subject whose entity is listed, or was found a moment ago, and does not exist: that proves nothing."""
    has_change = planned.change is not None and planned.change.action is not ChangeAction.NOTHING
    return (
        unreadable(planned.record_id, ENTITY_UNPROVEN)
        if has_change
        else Verdict(ComparisonCount.IN_STEP_REMOVED)
    )


def judge_unlisted(planned: PlannedSubject, *, is_access_proven: bool) -> Verdict:
    """Judge a linked subject whose entity was not listed, and was absent for long enough when it was planned.

    `is_access_proven`: other entities can be read with the same credentials.
    """
    if not planned.is_linked:
        return NOTHING
    if planned.has_entity is not False:
        return judge_listed(planned)
    if planned.code not in ("", ENTITY_UNPROVEN):
        return unreadable(planned.record_id, planned.code)
    if planned.change is None or planned.change.action is ChangeAction.NOTHING:
        return Verdict(ComparisonCount.IN_STEP_REMOVED)
    if not is_access_proven:
        return unreadable(planned.record_id, ENTITY_UNPROVEN)
    deletes = planned.change.action is ChangeAction.DELETE
    return Verdict(
        DifferenceKind.ENTITY_GONE,
        planned.record_id,
        () if deletes else tuple(planned.differing_fields),
        OWNER_HELD_CODE if planned.has_unproven_owner else "",
    )


def unreadable(record_id: str, code: str) -> Verdict:
    """Return the verdict on a subject that could not be read, or whose absence is not proven."""
    return Verdict(DifferenceKind.UNREADABLE, record_id, code=code)


def without_proof(verdict: Verdict, refuted: frozenset[Side]) -> Verdict:
    """Return the verdict on a subject that rests on the access to `refuted` sides, which was refuted since."""
    if "identity" in refuted and verdict.count == DifferenceKind.ENTITY_GONE:
        return unreadable(verdict.record_id, ENTITY_UNPROVEN)
    return unreadable(verdict.record_id, RECORD_UNPROVEN) if "target" in refuted else verdict
