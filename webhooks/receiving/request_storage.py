"""Store a verified request as a new event, as a repeat of a stored event, or as an unusable request."""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import TypeVar

from django.db import IntegrityError, transaction
from django.db.models import Model, QuerySet

from audit.entries.append import NewEntry, append_entries
from audit.format.canonical_json import JSONValue
from audit.format.signed_records import format_time
from config_schema.codes.outcome import EventOutcome
from database.model_rows import new_row
from database.write_batch import WriteBatch
from webhooks.delivery_port import DeliveryPort, DeliverySession
from webhooks.models import Event, Payload, Receipt, Source, State, last_erasure, pseudonym, subject_key
from webhooks.protocol.event_ids import event_id_by_position, event_id_of_bytes
from webhooks.protocol.formats.body_reader import remove_dropped_values
from webhooks.protocol.webhook_parser import ParsedWebhook
from webhooks.receiving.answers import Answer
from webhooks.receiving.request_verification import ReceivedRequest, RequestRefused
from webhooks.receiving.store import (
    NewEvent,
    NewWebhook,
    answer_receipt,
    build_receipt,
    lock_source,
    received_entry,
    store_webhook,
)


@dataclass(frozen=True, slots=True)
class StoredWebhook:
    """A stored webhook. `session` is set for a new event.

    `answer` is set if it was stored in the same commit because it does not wait for the outcome.
    """

    receipt: Receipt
    event: Event
    session: DeliverySession | None = None
    answer: Answer | None = None


RowModel = TypeVar("RowModel", bound=Model)
BuildAnswer = Callable[[Event, EventOutcome], Answer]


def record_webhook(
    request: ReceivedRequest,
    parsed: ParsedWebhook,
    delivery_port: DeliveryPort,
    build_answer: BuildAnswer,
    *,
    seconds: float,
) -> StoredWebhook:
    """Store the webhook, or add a receipt to the event that it repeats. Its sender waits `seconds` for the outcome.

    1. Store it as a new event; its deliveries are claimed in the same commit if slots are free.
    2. If its event id is stored already, store a repeat of that event. If that id is made of its bytes, store it as
       another event for the routes that fetch, if there are any.
    3. If something else of its subject was stored at the same moment, try once more with the subject's key locked.

    Raises RequestRefused with `event-id-conflict` if its event id is stored with another body, and with `missing-time`
    if a route must not use its data.
    """
    only_fetched = is_retry = False
    while True:
        session = delivery_port.begin_session(seconds, may_claim=not is_retry)
        try:
            new = plan_event(request, parsed, session, only_fetched=only_fetched)
            return _record_new(request, new, build_answer, is_retry=is_retry)
        except IntegrityError:
            # The event is stored already, or something of its subject was stored at this moment.
            session.close()
            if new.fetches_again and _find_event(request.source, new.event.event_id) is not None:
                only_fetched = True
                continue
            repeat = _record_repeat(request, new.event)
            if repeat is not None:
                return repeat
            if is_retry:
                raise
            is_retry = True
        except BaseException:
            session.close()
            raise


def record_unusable_request(
    request: ReceivedRequest, parsed: ParsedWebhook | None, build_answer: Callable[[str], Answer]
) -> tuple[Receipt, Answer]:
    """Store a verified request without a usable webhook, its body and its answer in one commit. Returns its receipt
    and the answer, which `build_answer` makes of the receipt's reference.

    Body and answer are encrypted with the key of the entity that the request names, if it could be parsed that far.
    Values that the source's format drops are not stored.
    """
    source, content_type = request.source, request.incoming.headers.get("content-type", "")
    body = (
        remove_dropped_values(source.parsed_format, request.body, content_type)
        if parsed is None
        else stored_body(request, parsed)
    )
    with transaction.atomic():
        lock_source(source)
        key = None if parsed is None else subject_key(source.pk, parsed.entity_type, parsed.entity_id)
        payload = Payload.new(Payload.Kind.WEBHOOK, body, key)
        receipt = build_receipt(request, None, payload)
        answer = build_answer(receipt.own_reference)
        batch = WriteBatch()
        batch.insert(payload, answer_receipt(receipt, answer, key), receipt)
        batch.run()
        append_entries(request_entry("webhook.unusable", receipt, answer))
    return receipt, answer


def choose_event_id(request: ReceivedRequest, parsed: ParsedWebhook, position: int) -> str | None:
    """Return the id by which a repeated event is recognized, or None.

    If requests may have several events, it is the id of the event, or else the id of its request with its position: a
    sender may send the event again in another request. If they have one event, the id of the request comes first.
    Without a verification no id counts, because anyone could use the id of a future event.
    """
    verified = request.verified
    own_id = parsed.event_id if verified.is_signed else None
    if not request.source.parsed_format.has_event_list:
        return verified.event_id or own_id
    if own_id is not None or verified.event_id is None:
        return own_id
    return event_id_by_position(verified.event_id, position)


def _record_new(
    request: ReceivedRequest, new: NewEvent, build_answer: BuildAnswer, *, is_retry: bool
) -> StoredWebhook:
    answer = None if new.outcome is None else build_answer(new.event, new.outcome)
    webhook = NewWebhook(new.event, new.body, new.session, new.outcome, new.fetches_again, request, answer)
    store_webhook(webhook, is_retry=is_retry)
    return StoredWebhook(webhook.receipt, new.event, new.session, answer)


def plan_event(
    request: ReceivedRequest,
    parsed: ParsedWebhook,
    session: DeliverySession,
    position: int = 0,
    *,
    only_fetched: bool = False,
) -> NewEvent:
    """Build an event of a request and resolve its routes, as if it was not stored yet.

    An event that its source's webhook format excludes has no delivery, and its outcome is `ignored`. `only_fetched`:
    leave out the routes that use the webhook's own data. Raises RequestRefused with `missing-time`.
    """
    event = new_row(
        Event,
        source=request.source,
        event_id=choose_event_id(request, parsed, position),
        entity_type=parsed.entity_type,
        entity_id=parsed.entity_id,
        event_type=parsed.event_name,
        occurred_at=parsed.occurred_at,
        occurred_text=parsed.occurred_text,
        is_signed=request.verified.is_signed,
        # Two webhooks with one event id share it if their contents are the same.
        digest=hashlib.sha256(request.body).digest() if parsed.digest is None else parsed.digest,
        received_at=request.incoming.received_at,
        language=request.language,
        trace=request.trace,
    )
    fetches_again = False
    if parsed.ignore_code:
        event.state, event.code = State.IGNORED, parsed.ignore_code
        outcome: EventOutcome | None = EventOutcome(event.state, event.code, (), None)
    else:
        if not only_fetched:
            fetches_again = _make_recognizable(request, event, session, position)
        outcome = session.plan_deliveries(event, only_fetched=only_fetched)
    return NewEvent(event, stored_body(request, parsed), session, outcome, fetches_again)


def _make_recognizable(
    request: ReceivedRequest, event: Event, session: DeliverySession, position: int
) -> bool:
    """Make sure that an event whose data a route uses is recognized if its request is captured and sent again: give it
    an id of its bytes if no signed id is known. Returns True if other routes fetch the entity of the event.

    Returns False, having changed nothing, if its id is signed or no route uses its data: to fetch again is harmless.
    Raises RequestRefused with `missing-time` if neither a time nor an id is signed, and the body does not say when the
    event occurred: once retention has deleted the event, only that would show that its data are old. So it is with a
    signed id alone once the entity was erased, and the id with it.
    """
    verified, webhook_format = request.verified, request.source.parsed_format
    if not verified.is_signed or (verified.event_id is not None and verified.signed_at is not None):
        return False
    modes = session.route_modes(event)
    if not modes.uses_webhook:
        return False
    has_time = event.occurred_at is not None and webhook_format.reads_body_alone("occurred_at")
    is_timeless = verified.signed_at is None and not has_time
    if is_timeless and (verified.event_id is None or _was_erased(event)):
        place = {"pointer": "/timestamp"} if webhook_format.uses_default_fields else {"entry": "occurred_at"}
        raise RequestRefused("missing-time", **place)
    if verified.event_id is not None:
        return False
    if event.event_id is not None and webhook_format.reads_body_alone("event_id"):
        return False
    event.event_id = event_id_of_bytes(request.body, verified.signed_at, position)
    return modes.fetches


def _was_erased(event: Event) -> bool:
    return last_erasure(pseudonym(event.source_id, event.entity_type, event.entity_id)) is not None


def is_same_event(stored_event: Event, event: Event) -> bool:
    """True if an event with the id of a stored event repeats it: its content and its entity are the same."""
    # The digest of an event from a list covers its element, and its entity may be named elsewhere in the request.
    return bytes(stored_event.digest) == event.digest and stored_event.entity_id == event.entity_id


def stored_body(request: ReceivedRequest, parsed: ParsedWebhook) -> bytes:
    """Return the bytes to store as the body of a webhook."""
    return request.body if parsed.stored_body is None else parsed.stored_body


def answered_entry(
    receipt: Receipt, event: Event, answer: Answer, payload: Payload, at: datetime
) -> NewEntry:
    """Build the audit entry of an answer that is stored as `payload` at `at`, later than its webhook."""
    details = {**_answer_details(receipt, answer), "answer": payload.entry_digest}
    return NewEntry(event.stream, "webhook.answered", details=details, at=at)


def request_entry(action: str, receipt: Receipt, answer: Answer, **details: JSONValue) -> NewEntry:
    """Build the audit entry of an answered request that belongs to no single event. `details` are added to it."""
    source = receipt.source
    return NewEntry(
        f"setting:source:{source.pk}",
        action,
        f"source:{source.slug}",
        {
            **_answer_details(receipt, answer),
            # The request has no other entry, so this one says what it was.
            "verified_by": receipt.verified_by,
            "size": receipt.size,
            "received": format_time(receipt.received_at),
            **details,
        },
        receipt.answered_at,
    )


def _answer_details(receipt: Receipt, answer: Answer) -> dict[str, JSONValue]:
    return {
        "receipt": receipt.own_reference,
        "status": answer.status,
        "code": answer.code,
        "final": answer.is_final,
    }


def _record_repeat(request: ReceivedRequest, event: Event) -> StoredWebhook | None:
    """Store a receipt for the event that is stored with the id of this one. Returns None if there is none, or the
    nightly cleanup has just deleted it.

    The payload and the event stay locked until the commit: no foreign key keeps the cleanup from deleting them.
    """
    found = _find_event(request.source, event.event_id)
    if found is None:
        return None
    # The same event id with another body is not a repeat, and the stored answer would be wrong for it.
    if not is_same_event(found, event):
        raise RequestRefused("event-id-conflict")
    with transaction.atomic():
        # In the order of the cleanup, payloads before events: otherwise the two could wait for each other.
        payload = _lock_row(Payload.objects.all(), found.payload_id)
        stored_event = _lock_row(Event.objects.all(), found.pk)
        if stored_event is None:
            return None
        receipt = build_receipt(request, stored_event, payload, is_repeat=True)
        batch = WriteBatch()
        batch.insert(receipt)
        batch.run()
        append_entries(received_entry(stored_event, receipt))
    return StoredWebhook(receipt, stored_event)


def _find_event(source: Source, event_id: str | None) -> Event | None:
    return None if event_id is None else Event.objects.filter(source=source, event_id=event_id).first()


def _lock_row(rows: QuerySet[RowModel], key: int | None) -> RowModel | None:
    """Lock the row with this key until the commit; None if there is none any more."""
    return None if key is None else rows.select_for_update(no_key=True).filter(pk=key).first()
