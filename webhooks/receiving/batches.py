"""Receive a request with several events: one receipt, an event for each, all stored in one commit, and one answer."""

import logging
import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from django.db import DatabaseError, IntegrityError, OperationalError, connection, transaction

from audit.entries.append import NewEntry, append_entries
from config_schema.codes.codes import Language
from config_schema.codes.outcome import OBSERVED, EventOutcome
from database.connection import is_deadlock
from database.model_rows import row_from_columns, select_list
from database.statement import Statement
from database.write_batch import WriteBatch
from webhooks.delivery_port import DeliveryPort
from webhooks.models import Event, Payload, Receipt, Source, State, SubjectKey, lock_or_create_keys
from webhooks.models.subject_key_store import Subject
from webhooks.protocol.event_ids import event_id_by_position
from webhooks.protocol.formats.event_reader import RequestEvents, UnreadableEvent, encode_unreadable_events
from webhooks.protocol.formats.webhook_format import MAX_EVENTS
from webhooks.receiving.answers import IGNORED_CODES, Answer, BatchResult
from webhooks.receiving.outcome_links import build_batch_answer
from webhooks.receiving.request_storage import (
    is_same_event,
    plan_event,
    request_entry,
)
from webhooks.receiving.request_verification import ReceivedRequest, RequestRefused
from webhooks.receiving.store import (
    NewEvent,
    answer_receipt,
    build_receipt,
    lock_source,
    open_deliveries,
    received_entry,
    write_new_events,
)

logger = logging.getLogger("hub.receive")

# Requests with several events of one source take turns, so only single webhooks can store the same events at the same
# moment. Each round finds what was stored before it.
MAX_ROUNDS = 5
# Of events that may have no route, or only routes that observe: the others have been ignored, or tried already.
_STATES_WITHOUT_WRITE = (State.IGNORED, State.PENDING, State.RUNNING, State.RETRYING)


@dataclass(slots=True)
class _NewElement(NewEvent):
    """A new event of the batch, and its element in the list of the request."""

    element: Any


@dataclass(frozen=True, slots=True)
class _RepeatedEvent:
    """An event of the batch that repeats a stored event, or an earlier event of the batch."""

    event: Event


_BatchItem = _NewElement | _RepeatedEvent | UnreadableEvent


@dataclass(slots=True)
class _StoredBatch:
    receipt: Receipt
    items: Sequence[_BatchItem]

    @property
    def events(self) -> list[Event]:
        """Return all readable events of the batch, also those that were stored before, in the order of the request."""
        events_by_id = {
            item.event.uuid: item.event for item in self.items if not isinstance(item, UnreadableEvent)
        }
        return list(events_by_id.values())

    @property
    def repeats(self) -> list[Event]:
        """Return the events of the batch that were stored before."""
        new = {item.event.uuid for item in self.items if isinstance(item, _NewElement)}
        return [event for event in self.events if event.uuid not in new]

    def results(self, outcomes: Mapping[int, EventOutcome]) -> list[BatchResult]:
        """Return the result of each event, in the order of the request. `outcomes`: those known, by event."""
        return [
            BatchResult(item.code)
            if isinstance(item, UnreadableEvent)
            else BatchResult("", item.event.reference, outcomes.get(item.event.pk))
            for item in self.items
        ]


def receive_batch(request: ReceivedRequest, events: RequestEvents, delivery_port: DeliveryPort) -> Answer:
    """Store the events of a request, deliver them, and store and return the answer to the request.

    1. Store the receipt and all new events in one commit. An acknowledgement is stored in the same commit.
    2. Retry failed deliveries of events that were stored before, as for a webhook that is sent again.
    3. If the source wants the outcome, deliver all events and wait as long as the source allows; store the answer.

    Raises RequestRefused if no event can be read, with the code of the first one that the hub does not ignore.
    """
    unreadable = [event for event in events.events if isinstance(event, UnreadableEvent)]
    if len(unreadable) == len(events.events):
        first = next((event for event in unreadable if event.code not in IGNORED_CODES), unreadable[0])
        raise RequestRefused(first.code, entry=first.entry)
    waits_for_outcome = request.source.parsed_format.batch_response == "result"
    deadline = time.monotonic() + request.source.wait_seconds
    with ExitStack() as sessions:
        stored, answer = _store_batch(
            request, events, delivery_port, sessions, answers_now=not waits_for_outcome
        )
        _retry_failures(stored.repeats, delivery_port)
        if answer is not None:
            for item in stored.items:
                if isinstance(item, _NewElement):
                    item.session.start_without_waiting()
            return answer
    outcomes = delivery_port.await_outcomes(stored.events, max(0.0, deadline - time.monotonic()))
    with transaction.atomic():
        return _store_answer(stored, outcomes, request.language)


def _store_batch(
    request: ReceivedRequest,
    events: RequestEvents,
    delivery_port: DeliveryPort,
    sessions: ExitStack,
    *,
    answers_now: bool,
) -> tuple[_StoredBatch, Answer | None]:
    """Store the batch in one commit, all or nothing.

    1. Resolve the routes of all events.
    2. Lock the source and the keys of all entities, and find the events that are stored already.
    3. Write the others. If another request stored one of them at the same moment, begin again.

    Raises what the database raised last after MAX_ROUNDS rounds.
    """
    for is_last in (*[False] * (MAX_ROUNDS - 1), True):
        planned = _plan_events(request, events, delivery_port, sessions)
        try:
            with transaction.atomic():
                # So that requests of one source with several events are stored one after the other: two could deadlock
                # if they have the same events in different orders.
                lock_source(request.source)
                # An erasure comes before or after the whole batch. Like retries, it locks keys before events.
                keys = lock_or_create_keys(
                    {item.subject for item in planned if isinstance(item, _NewElement)}
                )
                stored = _insert_batch(request, keys, _find_repeats(request, planned))
                answer = None
                # Without an event no entry would name the receipt until it is answered.
                if answers_now or not stored.events:
                    outcomes = _known_outcomes(stored, delivery_port)
                    answer = _store_answer(stored, outcomes, request.language, is_acknowledgement=answers_now)
        except (IntegrityError, OperationalError) as error:
            if is_last or not (isinstance(error, IntegrityError) or is_deadlock(error)):
                raise
            logger.info("a request of %s collided with another one; retrying", request.source.slug)
            continue
        return stored, answer
    raise AssertionError("the last round returns or raises")


def _plan_events(
    request: ReceivedRequest, events: RequestEvents, delivery_port: DeliveryPort, sessions: ExitStack
) -> list[_NewElement | UnreadableEvent]:
    """Build the events of the request and resolve their routes, as if none of them was stored yet."""
    planned: list[_NewElement | UnreadableEvent] = []
    for position, parsed in enumerate(events.events):
        if isinstance(parsed, UnreadableEvent):
            planned.append(parsed)
            continue
        session = sessions.enter_context(closing(delivery_port.begin_session(0.0, may_claim=False)))
        element = (parsed.document or {}).get("event")
        try:
            new = plan_event(request, parsed, session, position)
        except RequestRefused as refused:
            planned.append(UnreadableEvent(refused.code, refused.entry, element, parsed.entity_id))
            continue
        planned.append(_NewElement(new.event, new.body, session, new.outcome, new.fetches_again, element))
    return planned


def _find_repeats(
    request: ReceivedRequest, planned: Sequence[_NewElement | UnreadableEvent]
) -> list[_BatchItem]:
    """Return the planned events, with repeats and conflicts in place of those whose ids are stored already.

    Events with one id and different contents are a conflict, also within the batch: the first of them counts.
    """
    request_id = request.verified.event_id
    events_by_id = _lock_stored_events(
        request.source, [item.event.event_id for item in planned if isinstance(item, _NewElement)]
    )
    is_changed = request_id is not None and _has_other_event_count(request.source, request_id, len(planned))
    items: list[_BatchItem] = []
    for position, item in enumerate(planned):
        if isinstance(item, UnreadableEvent) or item.event.event_id is None:
            items.append(item)
            continue
        stored_event = events_by_id.setdefault(item.event.event_id, item.event)
        is_by_position = is_changed and item.event.event_id == event_id_by_position(
            request_id or "", position
        )
        if stored_event is item.event and not is_by_position:
            items.append(item)
        elif stored_event is not item.event and is_same_event(stored_event, item.event):
            items.append(_fetch_again(item) if item.fetches_again else _RepeatedEvent(stored_event))
        else:
            items.append(
                UnreadableEvent("event-id-conflict", element=item.element, entity_id=item.event.entity_id)
            )
    return items


def _fetch_again(item: _NewElement) -> _NewElement:
    """Return an event whose bytes are stored already as another one, for the routes that fetch."""
    item.event.event_id = None
    item.outcome = item.session.plan_deliveries(item.event, only_fetched=True)
    return item


def _has_other_event_count(source: Source, request_id: str, number: int) -> bool:
    """True if a stored request with this id had another number of events, so that positions mean other events."""
    # The format of the source may have allowed more events when the request was stored.
    ids = [event_id_by_position(request_id, position) for position in range(MAX_EVENTS)]
    stored = Event.objects.filter(source=source, event_id__in=ids).order_by("pk")
    counts = stored.values_list("batch_id", "batch__event_count").first()
    # A request with one event has no batch. Retention may have deleted the receipt of an older one.
    return counts is not None and (counts[1] or (1 if counts[0] is None else number)) != number


def _lock_stored_events(source: Source, event_ids: Sequence[str | None]) -> dict[str, Event]:
    """Return the stored events with these ids by id. They cannot be deleted until the transaction ends."""
    ids = sorted({event_id for event_id in event_ids if event_id is not None})
    if not ids:
        return {}
    statement = _find_statement(len(ids), locks=connection.vendor == "postgresql")
    stored_events = [row_from_columns(Event, columns) for columns in statement.fetch_all(source.pk, *ids)]
    for event in stored_events:
        event.source = source
    return {event.event_id: event for event in stored_events if event.event_id is not None}


@lru_cache(maxsize=64)
def _find_statement(ids: int, *, locks: bool) -> Statement:
    marks = ", ".join(["%s"] * ids)
    select = f"""SELECT {select_list(Event, "e")} FROM webhooks_event e
        WHERE e.source_id = %s AND e.event_id IN ({marks}) ORDER BY e.id"""  # noqa: S608
    # The weakest lock that keeps the cleanup away: deliveries may change the events meanwhile.
    return Statement(f"{select} FOR KEY SHARE" if locks else select)


def _known_outcomes(stored: _StoredBatch, delivery_port: DeliveryPort) -> dict[int, EventOutcome]:
    """Return the outcomes that an acknowledgement reports, by event.

    Events that are ignored without a delivery have an outcome, also when they are sent again, and so have those of
    which all routes observe. Other stored events with deliveries are left out.
    """
    known = [event for event in stored.repeats if event.state in _STATES_WITHOUT_WRITE]
    outcomes = delivery_port.load_outcomes(known) if known else {}
    new = {
        item.event.pk: item.outcome
        for item in stored.items
        if isinstance(item, _NewElement) and item.outcome is not None
    }
    known_outcomes = {
        key: outcome
        for key, outcome in outcomes.items()
        if outcome.state == OBSERVED or (outcome.state == State.IGNORED and not outcome.results)
    }
    return known_outcomes | new


def _retry_failures(repeats: Sequence[Event], delivery_port: DeliveryPort) -> None:
    # An event shows the worst of its deliveries: behind it, another may have failed in a way that a retry helps.
    failed = [event for event in repeats if event.state in (State.DEAD, State.HELD, State.RETRYING)]
    if not failed:
        return
    try:
        delivery_port.retry_failures(failed)
    except DatabaseError as error:
        # The request is stored, perhaps with its answer, and its sender must not hear otherwise.
        logger.error("the database raised %s: failed events are not tried again now", type(error).__name__)


def _insert_batch(
    request: ReceivedRequest, keys: Mapping[Subject, SubjectKey], items: Sequence[_BatchItem]
) -> _StoredBatch:
    """Write the receipt, the new events with their deliveries, and the audit entries of all events."""
    new = [item for item in items if isinstance(item, _NewElement)]
    unreadable = encode_unreadable_events(items)
    # The other events have payloads of their own, each under the key of its entity.
    unreadable_payload = None if unreadable is None else Payload.new(Payload.Kind.WEBHOOK, unreadable, None)
    receipt = build_receipt(request, None, unreadable_payload)
    # Without any event that was stored, now or before, the request is an unusable one.
    if not all(isinstance(item, UnreadableEvent) for item in items):
        receipt.event_count = len(items)
    batch = WriteBatch()
    batch.insert(*([unreadable_payload] if unreadable_payload else []), receipt)
    entries = [entry for item in new for entry in _add_event(item, batch, keys[item.subject], receipt)]
    write_new_events(new, batch, entries)
    stored = _StoredBatch(receipt, items)
    append_entries(*(received_entry(event, receipt) for event in stored.repeats))
    return stored


def _add_event(item: NewEvent, batch: WriteBatch, key: SubjectKey, receipt: Receipt) -> list[NewEntry]:
    item.event.batch = receipt
    batch.insert(item.encrypt_body(key), item.event)
    return open_deliveries(item, receipt, batch)


def _store_answer(
    stored: _StoredBatch,
    outcomes: Mapping[int, EventOutcome],
    language: Language,
    *,
    is_acknowledgement: bool = False,
) -> Answer:
    """Store the answer and the audit entry of the request, in the open transaction."""
    receipt = stored.receipt
    answer = build_batch_answer(
        receipt, stored.results(outcomes), language, is_acknowledgement=is_acknowledgement
    )
    answer_receipt(receipt, answer, None).save(force_insert=True)
    receipt.save(update_fields=["answer", "answered_at", "status", "code", "is_final"])
    if receipt.event_count is None:
        entry = request_entry("webhook.unusable", receipt, answer)
    else:
        events = [event.reference for event in stored.events]
        entry = request_entry("webhook.batch", receipt, answer, events=events, count=receipt.event_count)
    append_entries(entry)
    return answer
