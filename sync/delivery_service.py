"""Implement the delivery port: create an event's deliveries, wait for them, and return the event's outcome."""

import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import replace
from typing import TypeVar, cast

from django.db import transaction
from django.utils import timezone

from audit.entries.append import NewEntry, append_entries
from audit.entries.stream_heads import StreamHead
from config_schema.codes.outcome import EventOutcome
from database.write_batch import WriteBatch
from sync.attempts.event_outcome import initial_outcome, load_event_outcome, load_event_outcomes
from sync.attempts.waiters import wait_for_outcome, waiting_for
from sync.deliveries.creation import (
    OpenedDeliveries,
    open_deliveries,
    resolve_routes,
    routes_of,
    uses_webhook_data,
)
from sync.deliveries.event_state import refresh_event_states
from sync.deliveries.ordering import find_next_of_subject
from sync.deliveries.redelivery import retry_events
from sync.deliveries.routes import ResolvedRoute, routed_types
from sync.execution.executor import ReservedSlot, defer_to_workers, reserve_slots, run_in_this_process
from sync.models import Delivery, Route
from webhooks.delivery_port import OpenedRows, PendingAnswer, RouteModes
from webhooks.models import Event, State


def end_reported_retries(event: Event) -> list[Delivery]:
    """End the event's deliveries that wait for a retry, since the answer to their source reports that they failed.

    A delivery is not ended if its route retries after the answer or observes, or if a person requested a replay of it
    that has not begun. Call this in a transaction. Returns the ended deliveries: the next ones of their subjects can
    run now.
    """
    retrying = (
        event.deliveries.filter(state=State.RETRYING, person_request=None)
        .exclude(route__mode=Route.Mode.OBSERVE)
        .select_related("route", "event")
        .order_by("pk")
    )
    ended = [
        delivery
        for delivery in retrying.select_for_update(of=("self",))
        if not delivery.route.retries_after_answer
    ]
    now = timezone.now()
    Delivery.objects.filter(pk__in=[delivery.pk for delivery in ended]).update(
        state=State.DEAD, due_at=None, settled_at=now
    )
    details = {"event": event.reference}
    entries = [NewEntry(delivery.stream, "delivery.given_up", details=details) for delivery in ended]
    append_entries(*entries, at=now)
    return ended


T = TypeVar("T", bound=PendingAnswer)


class EventSession:
    """The delivery of one new event. Created before the event is stored; reserves slots in this process for its
    deliveries if the answer waits for them.
    """

    def __init__(self, seconds: float, *, may_claim: bool) -> None:
        self._waits, self._may_claim = seconds > 0, may_claim
        self._deadline = time.monotonic() + seconds
        # Those that are reserved and not used.
        self._slots: list[ReservedSlot] = []
        self._routes: list[ResolvedRoute] = []
        self._opened = OpenedDeliveries()

    def route_modes(self, event: Event) -> RouteModes:
        """Return where the event's routes get its entity: from the webhook or by fetching it."""
        relayed = {uses_webhook_data(resolved.route, event) for resolved in routes_of(event)}
        return RouteModes(uses_webhook=True in relayed, fetches=False in relayed)

    def plan_deliveries(self, event: Event, *, only_fetched: bool = False) -> EventOutcome | None:
        """Resolve the event's routes before it is stored. Returns its outcome so far if the answer will not wait.

        The answer does not wait if no slot is free, because a worker will run the deliveries, if a route is paused,
        because they are on hold, or if all routes observe.
        """
        self._routes = resolve_routes(event, only_fetched=only_fetched)
        awaited = [resolved for resolved in self._routes if not resolved.observes]
        if self._waits and awaited and not any(route.is_paused for route in awaited):
            self._slots = reserve_slots(len(self._routes))
            if self._slots:
                return None
        # Nothing of this event starts at once in this process, and the lease of a claim would run down meanwhile.
        self._may_claim = False
        return initial_outcome(event, self._routes)

    def open_deliveries(self, event: Event, batch: WriteBatch) -> OpenedRows:
        """Add the event's deliveries to the batch that stores it. Can be called again."""
        max_claims = len(self._startable_slots()) if self._may_claim else 0
        self._opened = open_deliveries(event, self._routes, batch, max_claims=max_claims)
        return self._opened.opened_rows

    def record_commit(self, heads: Mapping[str, StreamHead]) -> None:
        """Store the heads of the audit streams with the claims, so that settling a claim need not read them."""
        claims = [replace(claim, stream_heads=heads) for claim in self._opened.claims]
        self._opened = replace(self._opened, claims=claims)

    def start_without_waiting(self) -> None:
        """Leave the deliveries to the workers."""
        defer_to_workers(self._unclaimed_ids())

    def wait_for_answer(
        self, event: Event, build_answer: Callable[[EventOutcome], T], *, with_entity: bool = False
    ) -> T:
        """Run the deliveries, wait for the outcome, and return the stored answer that `build_answer` makes of it."""
        with waiting_for(event.pk, build_answer) as waiter:
            self._start_deliveries()
            is_done = wait_for_outcome(event.pk, waiter, self._deadline)
            # The thread that settled the event has stored this answer in its own commit.
            if (stored := waiter.find_stored_answer()) is not None:
                return cast(T, stored)
        return _store_answer(
            build_answer(
                waiter.outcome or _load_outcome_after_wait(event, is_done=is_done, with_entity=with_entity)
            )
        )

    def _startable_slots(self) -> list[ReservedSlot]:
        return [slot for slot in self._slots if slot.starts_at_once]

    def _start_deliveries(self) -> None:
        """Start each claim in a slot of its own, so that none waits for another while its lease runs."""
        # Fewer claims than slots are normal: a subject may be busy or a connection at its limit.
        for slot, claim in zip(self._startable_slots(), self._opened.claims, strict=False):
            self._slots.remove(slot)
            slot.start_claim(claim)
        self.close()
        waiting = self._unclaimed_ids()
        if waiting and not run_in_this_process(waiting):
            defer_to_workers(waiting)

    def _unclaimed_ids(self) -> list[int]:
        return [delivery.pk for delivery in self._opened.unclaimed]

    def close(self) -> None:
        """Release the slots that were not used."""
        while self._slots:
            self._slots.pop().release_slot()


class DeliveryService:
    """The implementation of `webhooks.delivery_port.DeliveryPort`."""

    def begin_session(self, seconds: float, *, may_claim: bool) -> EventSession:
        """Begin the delivery of a new event whose source waits `seconds` for the outcome."""
        return EventSession(seconds, may_claim=may_claim)

    def routed_types(self, source_id: int) -> frozenset[str]:
        """Return the entity types of the enabled routes of a source."""
        return routed_types(source_id)

    def retry_and_wait(self, event: Event, seconds: float, *, with_entity: bool = False) -> EventOutcome:
        """Retry the deliveries of an event whose webhook was sent again, and wait for those that are pending."""
        retry_events([event])
        pending = list(
            event.deliveries.filter(state=State.PENDING).values_list("pk", "due_at", "route__mode")
        )
        waiting = tuple(pk for pk, due_at, _ in pending if due_at is not None)
        awaited = [due_at for _, due_at, mode in pending if mode == Route.Mode.LIVE]
        # The source or a route is paused, or all routes observe: the answer does not wait for that.
        if None in awaited or (pending and not awaited):
            defer_to_workers(waiting)
            return load_event_outcome(event, with_entity=with_entity)
        until = time.monotonic() + seconds
        with waiting_for(event.pk) as waiter:
            if seconds <= 0 or not run_in_this_process(waiting):
                defer_to_workers(waiting)
                return load_event_outcome(event, with_entity=with_entity)
            is_done = wait_for_outcome(event.pk, waiter, until)
        return _load_outcome_after_wait(event, is_done=is_done, with_entity=with_entity)

    def retry_failures(self, events: Sequence[Event]) -> None:
        """Retry the deliveries of events that were sent again, in workers, and wait for none of them."""
        retry_events(events)
        pending = Delivery.objects.filter(event__in=[event.pk for event in events], state=State.PENDING)
        defer_to_workers(pending.exclude(due_at=None).order_by("pk").values_list("pk", flat=True))

    def await_outcomes(self, events: Sequence[Event], seconds: float) -> dict[int, EventOutcome]:
        """Start the pending deliveries of these events, wait for all of them, and return the outcomes by event.

        Does not wait for an event of which a delivery is on hold, because its source or a route is paused, nor for one
        of which all routes observe.
        """
        until = time.monotonic() + seconds
        keys = [event.pk for event in events]
        pending = Delivery.objects.filter(event__in=keys, state=State.PENDING).order_by("pk")
        rows = list(pending.values_list("pk", "event_id", "due_at", "route__mode"))
        waiting = [pk for pk, _, due_at, _ in rows if due_at is not None]
        live = [(key, due_at) for _, key, due_at, mode in rows if mode == Route.Mode.LIVE]
        on_hold = {key for key, due_at in live if due_at is None}
        observed = {key for _, key, *_ in rows} - {key for key, _ in live}
        awaited = [key for key in keys if key not in on_hold | observed]
        with ExitStack() as registered:
            waiters = [registered.enter_context(waiting_for(key)) for key in awaited]
            if not run_in_this_process(waiting):
                defer_to_workers(waiting)
            done = {
                key
                for key, waiter in zip(awaited, waiters, strict=True)
                if wait_for_outcome(key, waiter, until)
            }
        _end_retries_and_run_next([event for event in events if event.pk in done])
        return load_event_outcomes(events)

    def load_outcomes(self, events: Sequence[Event]) -> dict[int, EventOutcome]:
        """Return the outcomes of the events so far, by their keys."""
        return load_event_outcomes(events)


def _store_answer(pending_answer: T) -> T:
    pending_answer.store()
    return pending_answer


def _load_outcome_after_wait(event: Event, *, is_done: bool, with_entity: bool) -> EventOutcome:
    # After a timeout the answer reports no failure, so the retries continue.
    if is_done:
        _end_retries_and_run_next([event])
    return load_event_outcome(event, with_entity=with_entity)


def _end_retries_and_run_next(events: Sequence[Event]) -> None:
    """End the retries that must not run after the answer, then start the next deliveries of their subjects."""
    retrying = Delivery.objects.filter(event__in=events, state=State.RETRYING)
    keys = set(retrying.values_list("event_id", flat=True))
    for event in events:
        if event.pk in keys:
            _end_retries_of_event(event)


def _end_retries_of_event(event: Event) -> None:
    with transaction.atomic():
        ended = end_reported_retries(event)
        if ended:
            refresh_event_states([event.pk])
    # After the commit: only then can the next deliveries be claimed.
    next_deliveries = [find_next_of_subject(delivery) for delivery in ended]
    run_in_this_process(next_delivery for next_delivery in next_deliveries if next_delivery is not None)
