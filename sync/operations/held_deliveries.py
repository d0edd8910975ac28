"""Approve or close deliveries that the mass-change guard holds, on record with person, time and reason."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from uuid import UUID

from django.contrib.auth.models import AbstractBaseUser
from django.db import IntegrityError, transaction
from django.utils import timezone
from django.utils.translation import gettext as _

from audit.entries.append import NewEntry, append_entries
from database.clock import database_now
from sync.deliveries.event_state import refresh_event_states
from sync.execution.executor import defer_to_workers
from sync.models import Delivery, Replay, ReplayKind
from webhooks.models import State

MAX_DELIVERIES = 1_000
# Spread over time, so that approved deliveries do not reach the target all at once.
APPROVALS_A_SECOND = 20


class HeldDecision(StrEnum):
    """A decision about held deliveries."""

    APPROVE = "approve"
    CLOSE = "close"


_KINDS = {HeldDecision.APPROVE: ReplayKind.APPROVAL, HeldDecision.CLOSE: ReplayKind.CLOSING}


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

    Approved ones start afresh, past the guard, twenty a second so that they do not arrive all at once. Person, time and
    reason are stored as a `Replay` that the deliveries name. `key` identifies the request: the database accepts it
    once. `address`: where the person decided. Raises DecisionRefused without a reason, for no delivery, or for too
    many.
    """
    reason = " ".join(reason.split())
    if not reason:
        raise DecisionRefused(_("Enter a reason. It is stored with the decision."))
    if not 0 < len(deliveries) <= MAX_DELIVERIES:
        raise DecisionRefused(
            _("Select between 1 and %(limit)s deliveries.") % {"limit": f"{MAX_DELIVERIES:,}"}
        )
    request = Replay(uuid=key, kind=_KINDS[decision], requested_by_id=by.pk, reason=reason[:500])
    request.created_at = timezone.now()
    try:
        with transaction.atomic():
            held = _decide_locked(deliveries, decision, request, address)
    except IntegrityError as error:
        if Replay.objects.filter(uuid=key).exists():
            raise AlreadyDecided(_("This was already decided. Nothing was done twice.")) from error
        raise
    if decision is HeldDecision.APPROVE:
        # The others become due second by second.
        defer_to_workers(held[:APPROVALS_A_SECOND])
    return DecisionResult(held, skipped_count=len(deliveries) - len(held))


def _decide_locked(
    deliveries: Sequence[int], decision: HeldDecision, request: Replay, address: str
) -> tuple[int, ...]:
    request.save(force_insert=True)
    # In the order in which a replay locks them, which prevents deadlocks.
    locked = Delivery.objects.select_for_update(of=("self",)).filter(pk__in=deliveries, state=State.HELD)
    locked = locked.select_related("event").order_by("event_id", "pk")
    rows = list(locked.only("event__uuid", "route_id"))
    if not rows:
        raise DecisionRefused(_("None of these deliveries is held anymore."))
    held = tuple(row.pk for row in rows)
    if decision is HeldDecision.APPROVE:
        _approve_held(held, request)
    else:
        _close_held(held, request)
    events = {row.event_id for row in rows}
    refresh_event_states(events)
    request.events, request.deliveries = len(events), len(rows)
    request.save(update_fields=["events", "deliveries"])
    _record_decisions(rows, decision, request, address)
    return held


def _approve_held(held: tuple[int, ...], request: Replay) -> None:
    for second, start in enumerate(range(0, len(held), APPROVALS_A_SECOND)):
        Delivery.objects.filter(pk__in=held[start : start + APPROVALS_A_SECOND]).update(
            state=State.PENDING,
            is_approved=True,
            replay=request,
            tries=0,
            deaths=0,
            opened_at=database_now(plus_seconds=second),
            due_at=database_now(plus_seconds=second),
            covered_by=None,
        )


def _close_held(held: tuple[int, ...], request: Replay) -> None:
    Delivery.objects.filter(pk__in=held).update(
        state=State.CLOSED,
        code=State.CLOSED.value,
        replay=request,
        due_at=None,
        settled_at=request.created_at,
    )


def _record_decisions(
    rows: Sequence[Delivery], decision: HeldDecision, request: Replay, address: str
) -> None:
    action = "delivery.approved" if decision is HeldDecision.APPROVE else "delivery.closed"
    details = {"request": str(request.uuid), "of": len(rows), "address": address}
    append_entries(
        *(NewEntry(row.stream, action, f"person:{request.requested_by_id}", details) for row in rows),
        at=request.created_at,
    )
