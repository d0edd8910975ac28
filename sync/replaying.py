"""Replay: a person asks to deliver again. It queues behind the subject's current work, fetches afresh and is an
attempt of its own, with who, when and why.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from django.contrib.auth.models import AbstractBaseUser
from django.db import transaction
from django.utils import timezone

from audit.log import Happening, append
from sync.clock import database_now
from sync.models import Delivery, Replay
from sync.opening import open_deliveries
from sync.settling import refresh_events
from sync.tasks import wake
from webhooks.models import Event, State

LARGEST = 1_000


class NotReplayable(ValueError):
    """Why nothing was done, in a sentence for the person who asked."""


@dataclass(frozen=True, slots=True)
class Requested:
    """What a replay set in motion. `skipped` events have no route."""

    replay: Replay
    deliveries: tuple[int, ...]
    skipped: int


def request_replay(events: Sequence[Event], *, by: AbstractBaseUser, reason: str) -> Requested:
    """Deliver these events again, at most 1,000, in one commit; then wake them.

    A delivery that runs now runs once more afterwards; one that waits anyway is taken up as the replay.
    `NotReplayable` without a reason, without events, or for too many.
    """
    reason = " ".join(reason.split())
    if not reason:
        raise NotReplayable("Say why: the reason is kept with the replay.")
    if not 0 < len(events) <= LARGEST:
        raise NotReplayable(f"Choose between 1 and {LARGEST:,} events.")
    with transaction.atomic():
        requested = _request(events, by, reason[:500])
    wake(requested.deliveries)
    return requested


def _request(events: Sequence[Event], by: AbstractBaseUser, reason: str) -> Requested:
    now = timezone.now()
    replay = Replay.objects.create(requested_by_id=by.pk, reason=reason, created_at=now)
    opened = {event.pk: _ask_again(event, replay) for event in events}
    deliveries = tuple(pk for pks in opened.values() for pk in pks)
    replay.events = sum(bool(pks) for pks in opened.values())
    replay.deliveries = len(deliveries)
    replay.save(update_fields=["events", "deliveries"])
    refresh_events(pk for pk, pks in opened.items() if pks)
    append(
        *(
            Happening(
                event.stream, "event.replayed", f"person:{by.pk}", {"replay": str(replay.uuid), "of": len(events)}
            )
            for event in events
            if opened[event.pk]
        ),
        at=now,
    )
    return Requested(replay, deliveries, skipped=len(events) - replay.events)


def _ask_again(event: Event, replay: Replay) -> list[int]:
    """The event's deliveries, each told of the replay. An event that had no route gets what there is now."""
    if not event.deliveries.exists():
        open_deliveries(event)
    Delivery.objects.filter(event=event, state=State.RUNNING).update(replay=replay)
    Delivery.objects.filter(event=event).exclude(state=State.RUNNING).update(
        state=State.PENDING, replay=replay, tries=0, due_at=database_now(), settled_at=None, covered_by=None
    )
    return list(event.deliveries.values_list("pk", flat=True))
