"""Decide about a failure group, and edit its notes, with an audit entry."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from django.db import transaction
from django.db.models import Max
from django.utils.translation import gettext as _

from audit.entries.acting_person import ActingPerson
from audit.entries.append import NewEntry, append_entries
from audit.format.canonical_json import JSONValue
from database.clock import read_clock
from sync.models import FailureDecision, FailureGroup, FailureGroupState
from sync.models.failure import dead_deliveries_of
from sync.operations.held_deliveries import DecisionRefused

_ACTIONS = {
    FailureGroupState.OPEN: "failures.opened",
    FailureGroupState.ACKNOWLEDGED: "failures.acknowledged",
    FailureGroupState.RESOLVED: "failures.resolved",
    FailureGroupState.IGNORED: "failures.ignored",
}
_NOTE_FIELDS = ("owner_id", "note", "known_fix", "ticket_url")


def decide_group(
    group: FailureGroup,
    state: FailureGroupState,
    *,
    by: ActingPerson,
    reason: str,
    until: datetime | None = None,
) -> FailureDecision:
    """Set the state of a failure group, by compare-and-set. A person who acknowledges it becomes its owner.

    `until`: when an ignored group opens again; None for never. A resolved group opens again with the first failure that
    is newer than those visible now. Raises DecisionRefused if another person was first, or if the reason is empty; an
    acknowledgement needs none.
    """
    reason = " ".join(reason.split())
    if not reason and state != FailureGroupState.ACKNOWLEDGED:
        raise DecisionRefused(_("Enter a reason. It is stored with the decision."))
    now = read_clock()
    if until is not None and until <= now:
        raise DecisionRefused(_("That time is in the past."))
    with transaction.atomic():
        changes: dict[str, Any] = {
            "state": state,
            "ignored_until": until if state == FailureGroupState.IGNORED else None,
        }
        changes["seen_until"] = _newest_failure(group) if state == FailureGroupState.RESOLVED else None
        if state == FailureGroupState.ACKNOWLEDGED:
            changes["owner"] = by.user.pk
        # Compare-and-set on the state that the person saw.
        unchanged = FailureGroup.objects.filter(
            pk=group.pk, state=group.state, ignored_until=group.ignored_until
        )
        if not unchanged.update(**changes):
            raise DecisionRefused(_("Someone else has just changed this. Check the current status."))
        decision = FailureDecision.objects.create(
            group=group, made_by_id=by.user.pk, state=state, reason=reason[:500], made_at=now, until=until
        )
        details = {"decision": decision.pk, "was": group.state, "until": until.isoformat() if until else None}
        _record_decision(group, _ACTIONS[state], by, details, now)
    return decision


def _newest_failure(group: FailureGroup) -> datetime:
    """Return the time of the newest failure that is committed now."""
    newest: datetime | None = dead_deliveries_of(group).aggregate(at=Max("settled_at"))["at"]
    return max(group.last_at, newest or group.last_at)


def update_notes(group: FailureGroup, notes: Mapping[str, Any], *, by: ActingPerson) -> bool:
    """Set owner, note, known fix and ticket, those that `notes` has. Returns False if nothing changed.

    Notes may contain personal data: the audit log records that they changed, not the text. The owner is a key. Raises
    DecisionRefused if another person changed one of them since `group` was loaded.
    """
    now = read_clock()
    with transaction.atomic():
        row = FailureGroup.objects.select_for_update().get(pk=group.pk)
        changed = [name for name in _NOTE_FIELDS if name in notes and notes[name] != getattr(row, name)]
        if not changed:
            return False
        if any(getattr(row, name) != getattr(group, name) for name in changed):
            raise DecisionRefused(_("Someone else has just changed this. Check the current status."))
        previous_owner = row.owner_id
        for name in changed:
            setattr(row, name, notes[name])
        row.save(update_fields=changed)
        details: dict[str, JSONValue] = {"changed": [name.removesuffix("_id") for name in changed]}
        if "owner_id" in changed:
            details |= {"before": {"owner": previous_owner}, "after": {"owner": row.owner_id}}
        _record_decision(group, "failures.changed", by, details, now)
    return True


def _record_decision(
    group: FailureGroup, action: str, by: ActingPerson, details: Mapping[str, JSONValue], at: datetime
) -> None:
    group_details: dict[str, JSONValue] = {
        "code": group.code,
        "connection": group.connection_id,
        "address": by.address,
    }
    append_entries(NewEntry(group.stream, action, by.actor, {**group_details, **details}), at=at)
