"""Decide about one record that a comparison found by a value: link it, let a new one be created, or leave it.

Nothing is sent to the target. The subject is planned anew, with reads only, before a record is linked. Where a delivery
of the subject is held for the choice of its record, that delivery is decided instead (`sync.operations`).
"""

from collections.abc import Mapping
from enum import StrEnum

from django.db import transaction
from django.utils import timezone
from django.utils.functional import Promise
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from audit.entries.acting_person import ActingPerson
from audit.entries.append import NewEntry, append_entries
from audit.format.canonical_json import JSONValue
from sync.comparisons.live_plan import PlannedSubject, plan_subject
from sync.comparisons.match_linking.record_linking import (
    find_excluded,
    link_found_record,
    pair_filter,
    schedule_awaiting,
)
from sync.comparisons.match_linking.requests import LinkingRefused, require_decidable, select_found
from sync.deliveries.routes import get_resolved_route
from sync.models import Comparison, Difference, MatchChoice, MatchChoiceKind, MatchOutcome
from sync.operations.match_decisions import Candidate, HeldMatch


class FoundDecision(StrEnum):
    """A decision about a record that was found by a value."""

    LINK = "link"
    CREATE = "create"
    LEAVE = "leave"


_ACTIONS = {FoundDecision.CREATE: "match.create-chosen", FoundDecision.LEAVE: "match.left"}
_CHOICES = {
    FoundDecision.CREATE: MatchChoiceKind.CREATE,
    FoundDecision.LEAVE: MatchChoiceKind.LEAVE,
}
_REFUSALS: Mapping[MatchOutcome, str | Promise] = {
    MatchOutcome.ERASED: gettext_lazy("The entity was erased."),
    MatchOutcome.IN_DELIVERY: gettext_lazy("A delivery for this entity has not ended. Try again after it."),
    MatchOutcome.HELD: gettext_lazy("A delivery for this entity is held. Decide about that one."),
    MatchOutcome.HAS_RECORD: gettext_lazy("This entity already has a record."),
    MatchOutcome.RECORD_TAKEN: gettext_lazy("The record is now linked to another entity. Choose again."),
    MatchOutcome.CHANGED: gettext_lazy("This difference is no longer stored. Compare again."),
}


def possible_records(planned: PlannedSubject) -> tuple[str, ...]:
    """Return the ids of the records that a person can link to a planned subject; none if it has a record."""
    if planned.is_linked or planned.match is None:
        return ()
    return tuple(record.id for record in planned.match.records)


def found_match(planned: PlannedSubject) -> HeldMatch:
    """Return the mapped fields of a planned subject and the records that a person can link to it, side by side. Secrets
    are removed from the values.
    """
    change = planned.change
    if change is None or not possible_records(planned):
        return HeldMatch({})
    if change.candidates:
        return HeldMatch(
            {one.name: one.after for one in change.fields},
            tuple(Candidate(one.id, one.fields) for one in change.candidates),
        )
    same, changed = dict(change.unchanged_fields), (*change.fields, *change.left_out_fields)
    before = {**same, **{one.name: one.before for one in changed}}
    return HeldMatch(
        {**same, **{one.name: one.after for one in changed}}, (Candidate(planned.record_id, before),)
    )


def decide_found(
    difference: Difference,
    decision: FoundDecision,
    person: ActingPerson,
    reason: str,
    record_id: str = "",
) -> None:
    """Carry out a decision about a difference that the matching desk lists, with one entry.

    `link`: `record_id`, which has to be one of the records that are found now. `create`: the subject gets a new record
    as soon as it is made equal, or a webhook is delivered. `leave`: no run links it. Both count until the next
    decision.

    Raises LinkingRefused without a reason, for a difference that cannot be decided, and if the record was not found or
    is linked by now.
    """
    reason = " ".join(reason.split())[:500]
    if not reason:
        raise LinkingRefused(_("Enter a reason. It is recorded in the audit log."))
    comparison = difference.comparison
    require_decidable(comparison)
    if not select_found(comparison).filter(pk=difference.pk).exists():
        raise LinkingRefused(str(_REFUSALS[MatchOutcome.CHANGED]))
    facts: Mapping[str, JSONValue] = {
        "difference": difference.pk,
        "reason": reason,
        "address": person.address,
    }
    if decision is FoundDecision.LINK:
        _link(comparison, difference.entity_id, record_id, person, facts)
    else:
        _choose(comparison, difference.entity_id, decision, person, facts)


def _link(
    comparison: Comparison,
    entity_id: str,
    record_id: str,
    person: ActingPerson,
    facts: Mapping[str, JSONValue],
) -> None:
    planned = plan_subject(get_resolved_route(comparison.route_id), entity_id)
    if record_id not in possible_records(planned):
        raise LinkingRefused(_("This record is not found for the entity now. Open it again."))
    with transaction.atomic():
        outcome = link_found_record(comparison, entity_id, record_id, person.actor, facts)
        if outcome != MatchOutcome.LINKED:
            raise LinkingRefused(str(_REFUSALS[outcome]))
        MatchChoice.objects.filter(**pair_filter(comparison), entity_id=entity_id).delete()
    schedule_awaiting(comparison, entity_id)


def _choose(
    comparison: Comparison,
    entity_id: str,
    decision: FoundDecision,
    person: ActingPerson,
    facts: Mapping[str, JSONValue],
) -> None:
    with transaction.atomic():
        # Locked: an erasure deletes the differences of a subject before its choices.
        rows = Difference.objects.filter(comparison=comparison, entity_id=entity_id).order_by("pk")
        is_stored = bool(list(rows.select_for_update().values_list("pk", flat=True)))
        outcome = find_excluded(comparison, [entity_id]).get(entity_id) if is_stored else MatchOutcome.CHANGED
        if outcome is not None:
            raise LinkingRefused(str(_REFUSALS[outcome]))
        MatchChoice.objects.update_or_create(
            **pair_filter(comparison),
            entity_id=entity_id,
            defaults={
                "choice": _CHOICES[decision],
                "decided_by_id": person.user.pk,
                "decided_at": timezone.now(),
            },
        )
        append_entries(NewEntry(comparison.stream, _ACTIONS[decision], person.actor, facts))
