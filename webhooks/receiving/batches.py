"""Receive a request with several events: one receipt, an event for each, all stored in one commit, and one answer."""

import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass
from typing import Any

from django.db import IntegrityError, transaction
from django.utils import timezone

from audit.entries.append import NEW_STREAMS, NewEntry, append_entries, prepare_append
from audit.entries.stream_heads import StreamHead
from audit.format.signed_records import format_time
from database.write_batch import WriteBatch
from webhooks.catalogue.codes import Language
from webhooks.catalogue.outcome import EventOutcome
from webhooks.delivery_port import DeliveryPort, DeliverySession
from webhooks.models import Event, Payload, Receipt, Source, SubjectKey, lock_or_create_keys
from webhooks.models.subject_key_store import Subject
from webhooks.protocol.formats.event_reader import RequestEvents, UnreadableEvent
from webhooks.protocol.webhook_parser import ParsedWebhook
from webhooks.receiving.answers import Answer, BatchResult, batch_answer, format_answer
from webhooks.receiving.gate import RequestRefused, VerifiedRequest
from webhooks.receiving.incoming_request import IncomingRequest
from webhooks.receiving.record import build_event, plan_deliveries, stored_body
from webhooks.receiving.store import build_receipt, received_entry


@dataclass(slots=True)
class _NewEvent:
    """An event of the batch that is not stored yet."""

    event: Event
    body: bytes
    session: DeliverySession
    outcome: EventOutcome | None

    @property
    def subject(self) -> Subject:
        return self.event.source_id, self.event.entity_type, self.event.entity_id


@dataclass(frozen=True, slots=True)
class _Repeat:
    """An event of the batch that is stored already."""

    event: Event


_Item = _NewEvent | _Repeat | UnreadableEvent


@dataclass(slots=True)
class _StoredBatch:
    receipt: Receipt
    items: Sequence[_Item]

    @property
    def events(self) -> list[Event]:
        return [item.event for item in self.items if not isinstance(item, UnreadableEvent)]

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
    """Store the events of a request, and return its answer, which is stored too.

    1. Tell new events from those that are stored already, and from those that cannot be read.
    2. Store the receipt and all new events in one commit. An acknowledgement is stored in the same commit.
    3. If the source wants the outcome, deliver all of them and wait as long as it allows; store the answer.

    Raises RequestRefused with the code of the first event if none can be read.
    """
    if all(isinstance(event, UnreadableEvent) for event in request.events):
        first = next(event for event in request.events if isinstance(event, UnreadableEvent))
        raise RequestRefused(first.code, entry=first.entry)
    waits = source.parsed_format.batch_response == "result"
    deadline = time.monotonic() + source.wait_seconds
    with ExitStack() as sessions:
        stored, answer = _store(
            source, incoming, verified, request, language, delivery_port, sessions, answers_now=not waits
        )
        new = [item for item in stored.items if isinstance(item, _NewEvent)]
        if answer is not None:
            for item in new:
                item.session.start_without_waiting()
            return answer
    outcomes = delivery_port.await_outcomes(stored.events, max(0.0, deadline - time.monotonic()))
    answer = _build_answer(stored, outcomes, language)
    with transaction.atomic():
        _store_answer(stored, answer)
    return answer


def _store(
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
    """Store the batch; a second time if one of its events was stored by another request at the same moment."""
    for is_retry in (False, True):
        items = _sort_events(source, incoming, verified, request, delivery_port, sessions)
        try:
            with transaction.atomic():
                stored = _insert(source, incoming, verified, request, items)
                answer = None
                if answers_now:
                    known = {
                        item.event.pk: item.outcome
                        for item in items
                        if isinstance(item, _NewEvent) and item.outcome is not None
                    }
                    answer = _build_answer(stored, known, language)
                    _store_answer(stored, answer)
        except IntegrityError:
            if is_retry:
                raise
            continue
        return stored, answer
    raise AssertionError("the second round returns or raises")


def _sort_events(
    source: Source,
    incoming: IncomingRequest,
    verified: VerifiedRequest,
    request: RequestEvents,
    delivery_port: DeliveryPort,
    sessions: ExitStack,
) -> list[_Item]:
    ids = [_event_id(verified, event, position) for position, event in enumerate(request.events)]
    wanted = {event_id for event_id in ids if event_id is not None}
    stored = {event.event_id: event for event in Event.objects.filter(source=source, event_id__in=wanted)}
    items: list[_Item] = []
    own: dict[str, Event] = {}
    for parsed, event_id in zip(request.events, ids, strict=True):
        if isinstance(parsed, UnreadableEvent):
            items.append(parsed)
        elif event_id is not None and event_id in stored:
            is_same = bytes(stored[event_id].digest) == parsed.digest
            items.append(_Repeat(stored[event_id]) if is_same else UnreadableEvent("event-id-conflict"))
        elif event_id is not None and event_id in own:
            items.append(_Repeat(own[event_id]))
        else:
            session = sessions.enter_context(closing(delivery_port.begin_session(0.0, may_claim=False)))
            event = build_event(source, incoming, parsed, event_id)
            outcome = plan_deliveries(session, event, parsed)
            items.append(_NewEvent(event, stored_body(incoming, parsed), session, outcome))
            if event_id is not None:
                own[event_id] = event
    return items


def _event_id(verified: VerifiedRequest, event: ParsedWebhook | UnreadableEvent, position: int) -> str | None:
    """Return the source's id of an event. The id of the request counts for its events by their position."""
    if isinstance(event, UnreadableEvent):
        return None
    if event.event_id is not None or verified.event_id is None:
        return event.event_id
    return f"{verified.event_id[:240]}/{position}"


def _insert(
    source: Source,
    incoming: IncomingRequest,
    verified: VerifiedRequest,
    request: RequestEvents,
    items: Sequence[_Item],
) -> _StoredBatch:
    """Write the receipt, the new events with their deliveries, and the audit entries of all events."""
    new = [item for item in items if isinstance(item, _NewEvent)]
    # Locked, so that an erasure comes before or after the whole batch.
    keys = lock_or_create_keys({item.subject for item in new})
    unreadable = request.unreadable_json
    # The other events have payloads of their own, each under the key of its entity.
    rest = None if unreadable is None else Payload.new(Payload.Kind.WEBHOOK, unreadable, None)
    receipt = build_receipt(source, incoming, verified, None, rest)
    receipt.event_count = len(request.events)
    batch = WriteBatch()
    batch.insert(*([rest] if rest else []), receipt)
    entries = [entry for item in new for entry in _add_event(item, batch, keys[item.subject], receipt)]
    prepared = prepare_append(*entries, heads=NEW_STREAMS)
    batch.execute(*prepared.writes)
    batch.run()
    heads: Mapping[str, StreamHead] = prepared.heads
    for item in new:
        item.session.record_commit(heads)
    repeats = {item.event.pk: item.event for item in items if isinstance(item, _Repeat)}
    for item in new:
        repeats.pop(item.event.pk, None)
    append_entries(*(received_entry(event, receipt) for event in repeats.values()))
    return _StoredBatch(receipt, items)


def _add_event(item: _NewEvent, batch: WriteBatch, key: SubjectKey, receipt: Receipt) -> list[NewEntry]:
    event = item.event
    event.key, event.batch = key, receipt
    payload = event.payload = Payload.new(Payload.Kind.WEBHOOK, item.body, key)
    batch.insert(payload, event)
    opened = item.session.open_deliveries(event, batch)
    return [received_entry(event, receipt, opened), *opened.entries]


def _build_answer(stored: _StoredBatch, outcomes: Mapping[int, EventOutcome], language: Language) -> Answer:
    receipt = stored.receipt
    answer = batch_answer(stored.results(outcomes), language, receipt.own_reference)
    return format_answer(receipt.source, answer)


def _store_answer(stored: _StoredBatch, answer: Answer) -> None:
    """Store the answer with the entry of the request, in the open transaction."""
    receipt, at = stored.receipt, timezone.now()
    payload = Payload.new(Payload.Kind.ANSWER, answer.body, None)
    payload.save(force_insert=True)
    receipt.answer, receipt.answered_at = payload, at
    receipt.status, receipt.code, receipt.is_final = answer.status, answer.code, answer.is_final
    receipt.save(update_fields=["answer", "answered_at", "status", "code", "is_final"])
    details: dict[str, Any] = {
        "receipt": receipt.own_reference,
        "verified_by": receipt.verified_by,
        "size": receipt.size,
        "received": format_time(receipt.received_at),
        "status": answer.status,
        "code": answer.code,
        "final": answer.is_final,
        "events": [event.reference for event in stored.events],
        "count": len(stored.items),
    }
    stream, actor = f"setting:source:{receipt.source_id}", f"source:{receipt.source.slug}"
    append_entries(NewEntry(stream, "webhook.batch", actor, details), at=at)
