"""Approve or close held deliveries, on record with person, time and reason.

`match_decisions` decides those whose record a person has to choose; closing them is possible here too.
"""

from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from enum import StrEnum
from uuid import UUID

from django.contrib.auth.models import AbstractBaseUser
from django.db.models import QuerySet
from django.utils import timezone
from django.utils.translation import gettext as _

from audit.entries.append import NewEntry, append_entries
from database.clock import database_now
from sync.deliveries.event_state import refresh_event_states
from sync.execution.executor import defer_to_workers
from sync.models import MATCH_HELD_CODE, Delivery, PersonRequest, PersonRequestKind
from webhooks.models import State

MAX_DELIVERIES = 1_000
# Spread over time, so that approved deliveries do not reach the target all at once.
APPROVALS_A_SECOND = 20


class HeldDecision(StrEnum):
    """A decision about held deliveries."""

    APPROVE = "approve"
    CLOSE = "close"


_KINDS = {HeldDecision.APPROVE: PersonRequestKind.APPROVAL, HeldDecision.CLOSE: PersonRequestKind.CLOSING}
_ACTIONS = {HeldDecision.APPROVE: "delivery.approved", HeldDecision.CLOSE: "delivery.closed"}


class DecisionRefused(ValueError):
    """The decision was not carried out; the message is for the person who decided."""


class AlreadyDecided(DecisionRefused):
    """A request with the same key was carried out before; nothing was done this time."""


@dataclass(frozen=True, slots=True)
class DecisionResult:
    """The deliveries that were decided, and the number of those that were not held any more."""

    deliveries: tuple[int, ...]
    skipped_count: int


def decide_held(
    deliveries: Sequence[int],
    decision: HeldDecision,
    *,
    by: AbstractBaseUser,
    reason: str,
    key: UUID,
    address: str = "",
) -> DecisionResult:
    """Approve or close held deliveries, at most 1,000, in one commit; then let workers run approved ones.

    Approved ones start again, past the guard, twenty a second so that they do not arrive all at once. Person, time and
    reason are stored as a `PersonRequest` that the deliveries name. `key` identifies the request: the database accepts
    it once. `address`: where the person decided. Raises DecisionRefused without a reason, for no delivery, or for too
    many.
    """
    request = new_decision_request(_KINDS[decision], by, reason, key)
    if not 0 < len(deliveries) <= MAX_DELIVERIES:
        raise DecisionRefused(
            _("Select between 1 and %(limit)s deliveries.") % {"limit": f"{MAX_DELIVERIES:,}"}
        )
    with decide_once(request):
        held = _decide_locked(deliveries, decision, request, address)
    if decision is HeldDecision.APPROVE:
        # The others become due second by second.
        defer_to_workers(held[:APPROVALS_A_SECOND])
    return DecisionResult(held, skipped_count=len(deliveries) - len(held))


def new_decision_request(
    kind: PersonRequestKind, by: AbstractBaseUser, reason: str, key: UUID
) -> PersonRequest:
    """Return the request of a decision, which `decide_once` stores. Raises DecisionRefused without a reason."""
    reason = " ".join(reason.split())
    if not reason:
        raise DecisionRefused(_("Enter a reason. It is stored with the decision."))
    request = PersonRequest(uuid=key, kind=kind, requested_by_id=by.pk, reason=reason[:500])
    request.created_at = timezone.now()
    return request


def decide_once(request: PersonRequest) -> AbstractContextManager[None]:
    """Run a decision in one transaction with its request. Raises AlreadyDecided if the request was stored before."""
    return request.stored_once(AlreadyDecided(_("This was already decided. Nothing was done twice.")))


def lock_held(deliveries: QuerySet[Delivery]) -> list[Delivery]:
    """Lock the held ones among these deliveries, in the same order as a replay, which prevents deadlocks."""
    locked = deliveries.filter(state=State.HELD).select_for_update(of=("self",))
    ordered = locked.select_related("event").order_by("event_id", "pk")
    return list(ordered.only("event__uuid", "route_id"))


def record_decision(rows: Sequence[Delivery], action: str, request: PersonRequest, address: str) -> None:
    """Update the states of the events of decided deliveries, and append one audit entry for each delivery.

    Call it in the transaction that locked them.
    """
    events = {row.event_id for row in rows}
    refresh_event_states(events)
    request.events, request.deliveries = len(events), len(rows)
    request.save(update_fields=["events", "deliveries"])
    # Without the id of a record: it may identify a person, and the log cannot be erased.
    details = {"person_request": str(request.uuid), "of": len(rows), "address": address}
    append_entries(
        *(NewEntry(row.stream, action, f"person:{request.requested_by_id}", details) for row in rows),
        at=request.created_at,
    )


def _decide_locked(
    deliveries: Sequence[int], decision: HeldDecision, request: PersonRequest, address: str
) -> tuple[int, ...]:
    chosen = Delivery.objects.filter(pk__in=deliveries)
    if decision is HeldDecision.APPROVE:
        # An approval says nothing about whose record it is: such a delivery would only be held again.
        chosen = chosen.exclude(code=MATCH_HELD_CODE)
    rows = lock_held(chosen)
    if not rows:
        raise DecisionRefused(_("None of these deliveries is held anymore."))
    held = tuple(row.pk for row in rows)
    if decision is HeldDecision.APPROVE:
        _approve_held(held, request)
    else:
        close_held(held, request)
    record_decision(rows, _ACTIONS[decision], request, address)
    return held


def _approve_held(held: tuple[int, ...], request: PersonRequest) -> None:
    for second, start in enumerate(range(0, len(held), APPROVALS_A_SECOND)):
        Delivery.objects.filter(pk__in=held[start : start + APPROVALS_A_SECOND]).update(
            state=State.PENDING,
            is_approved=True,
            person_request=request,
            attempts_used=0,
            deaths=0,
            opened_at=database_now(plus_seconds=second),
            due_at=database_now(plus_seconds=second),
            covered_by=None,
        )


def close_held(held: tuple[int, ...], request: PersonRequest) -> None:
    """Close held deliveries without sending anything. Call it in the transaction that locked them."""
    Delivery.objects.filter(pk__in=held).update(
        state=State.CLOSED,
        code=State.CLOSED.value,
        person_request=request,
        due_at=None,
        settled_at=request.created_at,
    )
