"""Close failed deliveries that a person resolved manually, with a note. Nothing is sent."""

from collections.abc import Sequence
from uuid import UUID

from django.contrib.auth.models import AbstractBaseUser
from django.db.models import QuerySet
from django.utils import timezone
from django.utils.translation import gettext as _

from audit.entries.append import NewEntry, append_entries
from sync.deliveries.event_state import refresh_event_states
from sync.models import Delivery, PersonRequest, PersonRequestKind
from sync.operations.held_deliveries import MAX_DELIVERIES, AlreadyDecided, DecisionRefused, DecisionResult
from webhooks.models import State

CLOSABLE_STATES = (State.DEAD, State.HELD, State.RETRYING)


def filter_closable(deliveries: QuerySet[Delivery]) -> QuerySet[Delivery]:
    """Select deliveries that can be closed: failed, held, or waiting for a retry."""
    return deliveries.filter(state__in=CLOSABLE_STATES)


def close_manually(
    deliveries: Sequence[int], *, by: AbstractBaseUser, reason: str, key: UUID, address: str = ""
) -> DecisionResult:
    """Close deliveries that did not get through, at most 1,000, in one commit.

    Deliveries that began to run meanwhile stay as they are. Person, time and reason are stored as a `PersonRequest` of
    the kind closing, which the deliveries name; a later replay of the event resumes them. `key` identifies the request:
    the database accepts it once. Raises DecisionRefused without a reason, for no delivery, or for too many.
    """
    reason = " ".join(reason.split())
    if not reason:
        raise DecisionRefused(_("Enter what was done. The note is stored with the event."))
    if not 0 < len(deliveries) <= MAX_DELIVERIES:
        raise DecisionRefused(
            _("Select between 1 and %(limit)s deliveries.") % {"limit": f"{MAX_DELIVERIES:,}"}
        )
    request = PersonRequest(
        uuid=key, kind=PersonRequestKind.CLOSING, requested_by_id=by.pk, reason=reason[:500]
    )
    request.created_at = timezone.now()
    with request.stored_once(AlreadyDecided(_("This was already done. Nothing was done twice."))):
        closed = _close_locked(deliveries, request, address)
    return DecisionResult(closed, skipped_count=len(deliveries) - len(closed))


def _close_locked(deliveries: Sequence[int], request: PersonRequest, address: str) -> tuple[int, ...]:
    # In the order in which a replay locks them, which prevents deadlocks.
    locked = filter_closable(Delivery.objects.select_for_update(of=("self",)).filter(pk__in=deliveries))
    locked = locked.select_related("event").order_by("event_id", "pk")
    rows = list(locked.only("event__uuid", "route_id", "state", "code"))
    if not rows:
        raise DecisionRefused(_("None of these deliveries is waiting or failed anymore."))
    events = {row.event_id for row in rows}
    Delivery.objects.filter(pk__in=[row.pk for row in rows]).update(
        state=State.CLOSED,
        code=State.CLOSED.value,
        person_request=request,
        due_at=None,
        settled_at=request.created_at,
    )
    refresh_event_states(events)
    request.events, request.deliveries = len(events), len(rows)
    request.save(update_fields=["events", "deliveries"])
    _record_closings(rows, request, address)
    return tuple(row.pk for row in rows)


def _record_closings(rows: Sequence[Delivery], request: PersonRequest, address: str) -> None:
    details = {"person_request": str(request.uuid), "of": len(rows), "address": address}
    append_entries(
        *(
            NewEntry(
                row.stream,
                "delivery.done-by-hand",
                f"person:{request.requested_by_id}",
                {**details, "was": str(row.state), "code": row.code},
            )
            for row in rows
        ),
        at=request.created_at,
    )
