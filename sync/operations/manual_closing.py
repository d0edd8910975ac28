"""What failed and was put right by hand: a person closes it, with a note. Nothing is sent."""

from collections.abc import Sequence
from uuid import UUID

from django.contrib.auth.models import AbstractBaseUser
from django.db import IntegrityError, transaction
from django.db.models import QuerySet
from django.utils import timezone

from audit.entries.append import NewEntry, append_entries
from sync.deliveries.event_state import refresh_events
from sync.models import Delivery, Replay, Request
from sync.operations.held_deliveries import LARGEST, AlreadyDecided, Decided, NotDecidable
from webhooks.models import State

CLOSABLE = (State.DEAD, State.HELD, State.RETRYING)


def closable(deliveries: QuerySet[Delivery]) -> QuerySet[Delivery]:
    """Those of them that can be closed: they failed, wait for approval, or wait for the next try."""
    return deliveries.filter(state__in=CLOSABLE)


def close_by_hand(
    deliveries: Sequence[int], *, by: AbstractBaseUser, reason: str, key: UUID, address: str = ""
) -> Decided:
    """Close deliveries that did not get through, at most 1,000, in one commit.

    What began meanwhile is left alone. Who, when and why is kept as a `Replay` of the kind closing, which the
    deliveries name; a later replay of the event takes them up again. `key` names the request: the database takes it
    once. `NotDecidable` without a reason, for none, or for too many.
    """
    reason = " ".join(reason.split())
    if not reason:
        raise NotDecidable("Say what was done: the note is kept with the event.")
    if not 0 < len(deliveries) <= LARGEST:
        raise NotDecidable(f"Choose between 1 and {LARGEST:,} deliveries.")
    request = Replay(uuid=key, kind=Request.CLOSING, requested_by_id=by.pk, reason=reason[:500])
    request.created_at = timezone.now()
    try:
        with transaction.atomic():
            closed = _close(deliveries, request, address)
    except IntegrityError as error:
        if Replay.objects.filter(uuid=key).exists():
            raise AlreadyDecided("This was done already; nothing was done twice.") from error
        raise
    return Decided(closed, skipped=len(deliveries) - len(closed))


def _close(deliveries: Sequence[int], request: Replay, address: str) -> tuple[int, ...]:
    request.save(force_insert=True)
    # In the order in which a replay locks them.
    locked = closable(Delivery.objects.select_for_update(of=("self",)).filter(pk__in=deliveries))
    locked = locked.select_related("event").order_by("event_id", "pk")
    rows = list(locked.only("event__uuid", "route_id", "state", "code"))
    if not rows:
        raise NotDecidable("Nothing of this is waiting or failed any more.")
    events = {row.event_id for row in rows}
    Delivery.objects.filter(pk__in=[row.pk for row in rows]).update(
        state=State.CLOSED,
        code=State.CLOSED.value,
        replay=request,
        due_at=None,
        settled_at=request.created_at,
    )
    refresh_events(events)
    request.events, request.deliveries = len(events), len(rows)
    request.save(update_fields=["events", "deliveries"])
    _record(rows, request, address)
    return tuple(row.pk for row in rows)


def _record(rows: Sequence[Delivery], request: Replay, address: str) -> None:
    about = {"request": str(request.uuid), "of": len(rows), "address": address}
    append_entries(
        *(
            NewEntry(
                row.stream,
                "delivery.done-by-hand",
                f"person:{request.requested_by_id}",
                {**about, "was": str(row.state), "code": row.code},
            )
            for row in rows
        ),
        at=request.created_at,
    )
