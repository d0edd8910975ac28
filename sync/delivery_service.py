"""The delivery port's implementation: opens an event's deliveries, waits for them, says what became of it."""

import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import TypeVar, cast

from django.db import transaction
from django.utils import timezone

from audit.entries.append import NewEntry, append_entries
from audit.entries.stream_heads import StreamHead
from database.write_batch import WriteBatch
from sync.attempts.event_outcome import initial_outcome, load_event_outcome
from sync.attempts.waiters import wait_for_outcome, waiting_for
from sync.deliveries.creation import OpenedDeliveries, open_deliveries, resolve_routes
from sync.deliveries.event_state import refresh_event_states
from sync.deliveries.ordering import find_next_of_subject
from sync.deliveries.redelivery import retry_event
from sync.deliveries.routes import ResolvedRoute
from sync.execution.executor import ReservedSlot, defer_to_workers, reserve_slots, run_in_this_process
from sync.models import Delivery
from webhooks.catalogue.outcome import EventOutcome
from webhooks.delivery_port import PendingAnswer
from webhooks.models import Event, State


def give_up_what_must_not_go_on(event: Event) -> list[Delivery]:
    """A relayed delivery ends where its source is about to be told of its failure, unless its route goes on, or a
    person asked for a replay that has not begun.

    Inside a transaction. Returns the deliveries that ended: the next of their subjects may run now.
    """
    retrying = (
        event.deliveries.filter(state=State.RETRYING, replay=None)
        .select_related("route", "event")
        .order_by("pk")
    )
    stopped = [
        each for each in retrying.select_for_update(of=("self",)) if not each.route.retries_after_answer
    ]
    now = timezone.now()
    Delivery.objects.filter(pk__in=[each.pk for each in stopped]).update(
        state=State.DEAD, due_at=None, settled_at=now
    )
    details = {"event": event.reference}
    append_entries(*(NewEntry(each.stream, "delivery.given_up", details=details) for each in stopped), at=now)
    return stopped


T = TypeVar("T", bound=PendingAnswer)


class Begun:
    """An event on its way. Made before it is stored; keeps places for its deliveries where somebody waits for them."""

    def __init__(self, seconds: float, *, at_once: bool) -> None:
        self._at_once = at_once
        self._until = time.monotonic() + seconds
        self._places: list[ReservedSlot] = reserve_slots() if seconds > 0 else []
        self._ways: list[ResolvedRoute] = []
        self._opening = OpenedDeliveries()

    def plan(self, event: Event) -> EventOutcome | None:
        """Before the event is stored: where it goes, and its outcome where nobody will wait for it.

        Without a place nobody waits: a worker will find it. Nor where a way is paused: what goes there is kept.
        """
        self._ways = resolve_routes(event)
        if self._places and self._ways and not any(each.is_paused for each in self._ways):
            self._places += reserve_slots(len(self._ways) - 1)
            return None
        self._at_once = False
        return initial_outcome(event, [each.route.commercial for each in self._ways])

    def open(self, event: Event, batch: WriteBatch) -> list[NewEntry]:
        """Add the event's deliveries to the batch that stores it; returns their audit entries. May be asked again."""
        ready = len(self._ready()) if self._at_once else 0
        self._opening = open_deliveries(event, self._ways, max_claims=ready)
        batch.insert(*self._opening.rows)
        return self._opening.audit_entries

    def committed(self, heads: Mapping[str, StreamHead]) -> None:
        """Remember where the streams end, for whoever settles."""
        claims = [replace(claim, stream_heads=heads) for claim in self._opening.claims]
        self._opening = replace(self._opening, claims=claims)

    def start(self) -> None:
        """After that commit, where nobody waits: a worker delivers."""
        defer_to_workers(self._opening.unclaimed_ids)

    def wait(self, event: Event, say: Callable[[EventOutcome], T], *, with_entity: bool = False) -> T:
        """After that commit: deliver, wait for the end, and keep what `say` makes of it."""
        with waiting_for(event.pk, say) as waiter:
            self._start()
            is_done = wait_for_outcome(event.pk, waiter, self._until)
            if waiter.stored_answer is not None:
                return cast(T, waiter.stored_answer)
        return _kept(say(waiter.outcome or _outcome(event, is_done=is_done, with_entity=with_entity)))

    def _ready(self) -> list[ReservedSlot]:
        return [each for each in self._places if each.starts_at_once]

    def _start(self) -> None:
        """Each in a place of its own: what was claimed runs while its lease does, whatever becomes of the others."""
        for place, claim in zip(self._ready(), self._opening.claims, strict=False):
            place.start_claim(claim)
        self.close()
        if not run_in_this_process(self._opening.unclaimed_ids):
            defer_to_workers(self._opening.unclaimed_ids)

    def close(self) -> None:
        """Give back the places that were not used."""
        for each in self._places:
            each.release_slot()


class Deliveries:
    """Opens the deliveries of an event, waits for them, and says what became of it."""

    def begin(self, seconds: float, *, at_once: bool) -> Begun:
        """A new event, whose source waits so long for its outcome."""
        return Begun(seconds, at_once=at_once)

    def deliver_again(self, event: Event, seconds: float, *, with_entity: bool = False) -> EventOutcome:
        """For a webhook that came again: what becomes due by that, and whatever is open, is waited for."""
        retry_event(event)
        pending = list(event.deliveries.filter(state=State.PENDING).values_list("pk", "due_at"))
        waiting = tuple(pk for pk, due_at in pending if due_at is not None)
        if len(waiting) < len(pending):  # its source or a route is paused: nobody waits for that
            defer_to_workers(waiting)
            return load_event_outcome(event, with_entity=with_entity)
        until = time.monotonic() + seconds
        with waiting_for(event.pk) as waiter:
            if seconds <= 0 or not run_in_this_process(waiting):
                defer_to_workers(waiting)
                return load_event_outcome(event, with_entity=with_entity)
            is_done = wait_for_outcome(event.pk, waiter, until)
        return _outcome(event, is_done=is_done, with_entity=with_entity)

    def outcome(self, event: Event) -> EventOutcome:
        """What became of the event so far."""
        return load_event_outcome(event)


def _kept(pending_answer: T) -> T:
    pending_answer.keep()
    return pending_answer


def _outcome(event: Event, *, is_done: bool, with_entity: bool) -> EventOutcome:
    if is_done:
        _give_up(event)
    return load_event_outcome(event, with_entity=with_entity)


def _give_up(event: Event) -> None:
    """End what must not go on, then wake what waited behind it."""
    if not event.deliveries.filter(state=State.RETRYING).exists():
        return
    with transaction.atomic():
        stopped = give_up_what_must_not_go_on(event)
        if stopped:
            refresh_event_states([event.pk])
    followers = [find_next_of_subject(each) for each in stopped]
    run_in_this_process(each for each in followers if each is not None)
