"""Receive a request with several events: one receipt, an event for each, all stored in one commit, and one answer."""

import logging
import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from django.db import DatabaseError, IntegrityError, OperationalError, connection, transaction
from django.utils import timezone

from audit.entries.append import NEW_STREAMS, NewEntry, append_entries, prepare_append
from audit.entries.stream_heads import StreamHead
from database.connection import is_deadlock
from database.model_rows import row_from_columns, select_list
from database.statement import Statement
from database.write_batch import WriteBatch
from webhooks.catalogue.codes import Language
from webhooks.catalogue.outcome import EventOutcome
from webhooks.delivery_port import DeliveryPort, DeliverySession
from webhooks.models import Event, Payload, Receipt, Source, State, SubjectKey, lock_or_create_keys
from webhooks.models.subject_key_store import Subject
from webhooks.protocol.formats.event_reader import RequestEvents, UnreadableEvent, encode_unreadable_events
from webhooks.protocol.formats.webhook_format import MAX_EVENTS
from webhooks.receiving.answers import Answer, BatchResult
from webhooks.receiving.incoming_request import IncomingRequest
from webhooks.receiving.outcome_links import build_batch_answer
from webhooks.receiving.request_storage import (
    build_event,
    choose_event_id,
    event_id_by_position,
    is_same_event,
    plan_deliveries,
    request_entry,
    stored_body,
)
from webhooks.receiving.request_verification import RequestRefused, VerifiedRequest
from webhooks.receiving.store import build_receipt, received_entry

logger = logging.getLogger("hub.receive")

# Requests with several events of one source take turns, so only single webhooks can store the same events at the same
# moment. Each round finds what was stored before it.
MAX_ROUNDS = 5


@dataclass(slots=True)
class _NewEvent:
    """An event of the batch that is not stored yet."""

    event: Event
    element: Any
    body: bytes
    session: DeliverySession
    outcome: EventOutcome | None

    @property
    def subject(self) -> Subject:
        return self.event.source_id, self.event.entity_type, self.event.entity_id


@dataclass(frozen=True, slots=True)
class _RepeatedEvent:
    """An event of the batch that repeats a stored event, or an earlier event of the batch."""

    event: Event


_BatchItem = _NewEvent | _RepeatedEvent | UnreadableEvent


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
        new = {item.event.uuid for item in self.items if isinstance(item, _NewEvent)}
        return [event for event in self.events if event.uuid not in new]

    def results(self, outcomes: Mapping[int, EventOutcome]) -> list[BatchResult]:
        """Return the result of each event, in the order of the request. `outcomes`: those known, by event."""
        return [
            BatchResult(item.code)
            if isinstance(item, UnreadableEvent)
            else BatchResult("", item.event.reference, outcomes.get(item.event.pk))
            for item in self.items
        ]


def receive_batch(
    source: Source,
    incoming: IncomingRequest,
    verified: VerifiedRequest,
    request: RequestEvents,
    language: Language,
    delivery_port: DeliveryPort,
) -> Answer:
    """Store the events of a request, deliver them, and store and return the answer to the request.

    1. Store the receipt and all new events in one commit. An acknowledgement is stored in the same commit.
    2. Retry failed deliveries of events that were stored before, as for a webhook that is sent again.
    3. If the source wants the outcome, deliver all events and wait as long as the source allows; store the answer.

    Raises RequestRefused if no event can be read, with the code of the first one that the format does not exclude.
    """
    unreadable = [event for event in request.events if isinstance(event, UnreadableEvent)]
    if len(unreadable) == len(request.events):
        first = next((event for event in unreadable if event.code != "filtered"), unreadable[0])
        raise RequestRefused(first.code, entry=first.entry)
    waits_for_outcome = source.parsed_format.batch_response == "result"
    deadline = time.monotonic() + source.wait_seconds
    with ExitStack() as sessions:
        stored, answer = _store_batch(
            source,
            incoming,
            verified,
            request,
            language,
            delivery_port,
            sessions,
            answers_now=not waits_for_outcome,
        )
        _retry_failures(stored.repeats, delivery_port)
        if answer is not None:
            for item in stored.items:
                if isinstance(item, _NewEvent):
                    item.session.start_without_waiting()
            return answer
    outcomes = delivery_port.await_outcomes(stored.events, max(0.0, deadline - time.monotonic()))
    answer = _build_answer(stored, outcomes, language)
    with transaction.atomic():
        _store_answer(stored, answer)
    return answer


def _store_batch(
    source: Source,
    incoming: IncomingRequest,
    verified: VerifiedRequest,
    request: RequestEvents,
    language: Language,
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
        planned = _plan_events(source, incoming, verified, request, delivery_port, sessions)
        try:
            with transaction.atomic():
                _lock_source(source)
                # An erasure comes before or after the whole batch. Like retries, it locks keys before events.
                keys = lock_or_create_keys({item.subject for item in planned if isinstance(item, _NewEvent)})
                items = _find_repeats(source, verified, planned)
                stored = _insert_batch(source, incoming, verified, keys, items)
                answer = None
                # Without an event no entry would name the receipt until it is answered.
                if answers_now or not stored.events:
                    outcomes = _known_outcomes(stored, delivery_port)
                    answer = _build_answer(stored, outcomes, language, is_acknowledgement=answers_now)
                    _store_answer(stored, answer)
        except (IntegrityError, OperationalError) as error:
            if is_last or not (isinstance(error, IntegrityError) or is_deadlock(error)):
                raise
            logger.info("a request of %s collided with another one; retrying", source.slug)
            continue
        return stored, answer
    raise AssertionError("the last round returns or raises")


def _lock_source(source: Source) -> None:
    """Lock a source until the commit, so that its requests with several events are stored one after the other.

    Two of them could deadlock if they have the same events in different orders. Raises IntegrityError if the source was
    deleted: the receipt's foreign key has no constraint.
    """
    if not Source.objects.select_for_update(no_key=True).filter(pk=source.pk).exists():
        raise IntegrityError("the source is deleted")


def _plan_events(
    source: Source,
    incoming: IncomingRequest,
    verified: VerifiedRequest,
    request: RequestEvents,
    delivery_port: DeliveryPort,
    sessions: ExitStack,
) -> list[_NewEvent | UnreadableEvent]:
    """Build the events of the request and resolve their routes, as if none of them was stored yet."""
    planned: list[_NewEvent | UnreadableEvent] = []
    for position, parsed in enumerate(request.events):
        if isinstance(parsed, UnreadableEvent):
            planned.append(parsed)
            continue
        session = sessions.enter_context(closing(delivery_port.begin_session(0.0, may_claim=False)))
        event_id = choose_event_id(source, verified, parsed, position)
        event = build_event(source, incoming, verified, parsed, event_id)
        outcome = plan_deliveries(session, event, parsed)
        element = (parsed.document or {}).get("event")
        planned.append(_NewEvent(event, element, stored_body(incoming, parsed), session, outcome))
    return planned


def _find_repeats(
    source: Source, verified: VerifiedRequest, planned: Sequence[_NewEvent | UnreadableEvent]
) -> list[_BatchItem]:
    """Return the planned events, with repeats and conflicts in place of those whose ids are stored already.

    Events with one id and different contents are a conflict, also within the batch: the first of them counts.
    """
    events_by_id = _lock_stored_events(
        source, [item.event.event_id for item in planned if isinstance(item, _NewEvent)]
    )
    is_changed = verified.event_id is not None and _has_other_event_count(
        source, verified.event_id, len(planned)
    )
    items: list[_BatchItem] = []
    for position, item in enumerate(planned):
        if isinstance(item, UnreadableEvent) or item.event.event_id is None:
            items.append(item)
            continue
        stored_event = events_by_id.setdefault(item.event.event_id, item.event)
        is_by_position = is_changed and item.event.event_id == event_id_by_position(
            verified.event_id or "", position
        )
        if stored_event is item.event and not is_by_position:
            items.append(item)
        elif stored_event is not item.event and is_same_event(
            stored_event, item.event.entity_id, bytes(item.event.digest)
        ):
            items.append(_RepeatedEvent(stored_event))
        else:
            items.append(
                UnreadableEvent("event-id-conflict", element=item.element, entity_id=item.event.entity_id)
            )
    return items


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

    Events that are ignored without a delivery have an outcome, also when they are sent again. Stored events with
    deliveries are left out.
    """
    ignored = [event for event in stored.repeats if event.state == State.IGNORED]
    outcomes = delivery_port.load_outcomes(ignored) if ignored else {}
    new = {
        item.event.pk: item.outcome
        for item in stored.items
        if isinstance(item, _NewEvent) and item.outcome is not None
    }
    return {key: outcome for key, outcome in outcomes.items() if not outcome.results} | new


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
    source: Source,
    incoming: IncomingRequest,
    verified: VerifiedRequest,
    keys: Mapping[Subject, SubjectKey],
    items: Sequence[_BatchItem],
) -> _StoredBatch:
    """Write the receipt, the new events with their deliveries, and the audit entries of all events."""
    new = [item for item in items if isinstance(item, _NewEvent)]
    unreadable = encode_unreadable_events(items)
    # The other events have payloads of their own, each under the key of its entity.
    unreadable_payload = None if unreadable is None else Payload.new(Payload.Kind.WEBHOOK, unreadable, None)
    receipt = build_receipt(source, incoming, verified, None, unreadable_payload)
    # Without any event that was stored, now or before, the request is an unusable one.
    if not all(isinstance(item, UnreadableEvent) for item in items):
        receipt.event_count = len(items)
    batch = WriteBatch()
    batch.insert(*([unreadable_payload] if unreadable_payload else []), receipt)
    entries = [entry for item in new for entry in _add_event(item, batch, keys[item.subject], receipt)]
    prepared = prepare_append(*entries, heads=NEW_STREAMS)
    batch.execute(*prepared.writes)
    batch.run()
    heads: Mapping[str, StreamHead] = prepared.heads
    for item in new:
        item.session.record_commit(heads)
    stored = _StoredBatch(receipt, items)
    append_entries(*(received_entry(event, receipt) for event in stored.repeats))
    return stored


def _add_event(item: _NewEvent, batch: WriteBatch, key: SubjectKey, receipt: Receipt) -> list[NewEntry]:
    event = item.event
    event.key, event.batch = key, receipt
    payload = event.payload = Payload.new(Payload.Kind.WEBHOOK, item.body, key)
    batch.insert(payload, event)
    opened = item.session.open_deliveries(event, batch)
    return [received_entry(event, receipt, opened), *opened.entries]


def _build_answer(
    stored: _StoredBatch,
    outcomes: Mapping[int, EventOutcome],
    language: Language,
    *,
    is_acknowledgement: bool = False,
) -> Answer:
    return build_batch_answer(
        stored.receipt, stored.results(outcomes), language, is_acknowledgement=is_acknowledgement
    )


def _store_answer(stored: _StoredBatch, answer: Answer) -> None:
    """Store the answer and the audit entry of the request, in the open transaction."""
    receipt, at = stored.receipt, timezone.now()
    payload = Payload.new(Payload.Kind.ANSWER, answer.body, None)
    payload.save(force_insert=True)
    receipt.set_answer(payload, at, answer.status, answer.code, is_final=answer.is_final)
    receipt.save(update_fields=["answer", "answered_at", "status", "code", "is_final"])
    if receipt.event_count is None:
        entry = request_entry("webhook.unusable", receipt, answer, at)
    else:
        events = [event.reference for event in stored.events]
        entry = request_entry("webhook.batch", receipt, answer, at, events=events, count=receipt.event_count)
    append_entries(entry, at=at)
