"""Replay: a person asks to deliver again. It queues behind the subject's current work, fetches afresh and is
an attempt of its own, with who, when and why.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from django.contrib.auth.models import AbstractBaseUser
from django.db import IntegrityError, transaction
from django.utils import timezone

from audit.log import Happening, append
from sync.clock import database_now
from sync.models import Delivery, Erasure, ErasureState, Replay
from sync.opening import open_deliveries, plan_ways
from sync.settling import refresh_events
from sync.tasks import defer
from webhooks.models import Event, State, is_erased

LARGEST = 1_000


class NotReplayable(ValueError):
    """Why nothing was done, in a sentence for the person who asked."""


class AlreadyRequested(NotReplayable):
    """The same request, by its key, was carried out before, or an earlier one waits for its attempt: nothing done."""


@dataclass(frozen=True, slots=True)
class Requested:
    """What a replay set in motion. `skipped` events have no route; `waiting` ones wait for an earlier replay."""

    replay: Replay
    deliveries: tuple[int, ...]
    skipped: int
    waiting: int


def request_replay(
    events: Sequence[Event], *, by: AbstractBaseUser, reason: str, key: UUID | None = None, address: str = ""
) -> Requested:
    """Deliver these events again, at most 1,000, in one commit; then wake them.

    A delivery that runs now runs once more afterwards; one that waits anyway is taken up as the replay. An event that
    waits for an earlier replay is left to that: an attempt has one person and one reason.
    `key` names the request: the database takes it once, so that a second click starts nothing. `address` is
    where the person asked from. `NotReplayable` without a reason, without events, or for too many.
    """
    reason = " ".join(reason.split())
    if not reason:
        raise NotReplayable("Say why: the reason is kept with the replay.")
    if not 0 < len(events) <= LARGEST:
        raise NotReplayable(f"Choose between 1 and {LARGEST:,} events.")
    replay = Replay(requested_by_id=by.pk, reason=reason[:500], created_at=timezone.now())
    replay.uuid = key or replay.uuid
    try:
        with transaction.atomic():
            requested = _request(events, replay, address)
    except IntegrityError as error:
        if Replay.objects.filter(uuid=replay.uuid).exists():
            raise AlreadyRequested("This was started already; nothing was started twice.") from error
        raise
    defer(requested.deliveries)
    return requested


def _request(events: Sequence[Event], replay: Replay, address: str) -> Requested:
    replay.save(force_insert=True)
    details = {"replay": str(replay.uuid), "of": len(events), "address": address}
    asked = {event.pk: _ask_again(event, replay) for event in sorted(events, key=lambda each: each.pk)}
    opened = {pk: pks for pk, pks in asked.items() if pks is not None}
    if not opened:
        raise AlreadyRequested("Somebody asked for this already, and it has not begun yet.")
    deliveries = tuple(pk for pks in opened.values() for pk in pks)
    replay.events = sum(bool(pks) for pks in opened.values())
    replay.deliveries = len(deliveries)
    replay.save(update_fields=["events", "deliveries"])
    refresh_events(pk for pk, pks in opened.items() if pks)
    append(
        *(
            Happening(event.stream, "event.replayed", f"person:{replay.requested_by_id}", details)
            for event in events
            if opened.get(event.pk)
        ),
        at=replay.created_at,
    )
    return Requested(
        replay, deliveries, skipped=len(opened) - replay.events, waiting=len(asked) - len(opened)
    )


def _ask_again(event: Event, replay: Replay) -> list[int] | None:
    """The event's deliveries, each told of the replay; None where they were told of another one that has not begun.

    An event that had no route gets what there is now; one whose entity was erased gets none.
    """
    if not event.deliveries.exists() and not is_erased(event.entity_id):
        open_deliveries(event, plan_ways(event))
    # Locked, so that none is claimed between the two updates and misses the replay.
    rows = event.deliveries.select_for_update().order_by("pk")
    locked = list(rows.values_list("replay", "entity_id", "state"))
    if any(is_erased(entity_id) for _, entity_id, _ in locked) or _is_being_erased(event):
        return []
    # What a person closed names that request: it is over.
    if any(replay and state != State.CLOSED for replay, _, state in locked):
        return None
    Delivery.objects.filter(event=event, state=State.RUNNING).update(replay=replay)
    Delivery.objects.filter(event=event).exclude(state=State.RUNNING).update(
        state=State.PENDING,
        replay=replay,
        tries=0,
        deaths=0,
        is_approved=False,
        due_at=database_now(),
        opened_at=database_now(),
        settled_at=None,
        covered_by=None,
    )
    return list(event.deliveries.values_list("pk", flat=True))


def _is_being_erased(event: Event) -> bool:
    asked = Erasure.objects.filter(entity_id=event.entity_id, entity_type=event.entity_type)
    confirmed = asked.filter(state=ErasureState.CONFIRMED).values_list("sources", flat=True)
    return any(event.source_id in sources for sources in confirmed)
