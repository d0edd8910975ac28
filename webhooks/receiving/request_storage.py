"""Store a verified request as a new event, as a repeat of a stored event, or as an unusable request."""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import TypeVar

from django.db import IntegrityError, transaction
from django.db.models import Model, QuerySet
from django.utils import timezone

from audit.entries.append import NewEntry, append_entries
from audit.format.canonical_json import JSONValue
from audit.format.signed_records import format_time
from database.model_rows import new_row
from database.write_batch import WriteBatch
from webhooks.catalogue.outcome import EventOutcome
from webhooks.delivery_port import DeliveryPort, DeliverySession
from webhooks.models import Event, Payload, Receipt, Source, State, subject_key
from webhooks.protocol.formats.body_reader import remove_dropped_values
from webhooks.protocol.webhook_parser import ParsedWebhook
from webhooks.receiving.answers import Answer
from webhooks.receiving.incoming_request import IncomingRequest
from webhooks.receiving.request_verification import RequestRefused, VerifiedRequest
from webhooks.receiving.store import NewWebhook, build_receipt, received_entry, store_webhook


@dataclass(frozen=True, slots=True)
class StoredWebhook:
    """A stored webhook. `session` is set for a new event.

    `answer` is set if it was stored in the same commit because it does not wait for the outcome.
    """

    receipt: Receipt
    event: Event
    session: DeliverySession | None = None
    answer: Answer | None = None


# Of the 255 characters of an event id, some are for its position.
_MAX_REQUEST_ID_LENGTH = 240

RowModel = TypeVar("RowModel", bound=Model)
BuildAnswer = Callable[[Event, EventOutcome], Answer]


def record_webhook(
    source: Source,
    incoming: IncomingRequest,
    verified: VerifiedRequest,
    parsed: ParsedWebhook,
    delivery_port: DeliveryPort,
    build_answer: BuildAnswer,
    *,
    seconds: float,
) -> StoredWebhook:
    """Store the webhook, or add a receipt to the event that it repeats. Its sender waits `seconds` for the outcome.

    1. Store it as a new event; its deliveries are claimed in the same commit if slots are free.
    2. If its event id is stored already, store a repeat of that event.
    3. If something else of its subject was stored at the same moment, try once more with the subject's key locked.

    Raises RequestRefused with `event-id-conflict` if its event id is stored with another body.
    """
    event_id = choose_event_id(source, verified, parsed)
    for is_retry in (False, True):
        session = delivery_port.begin_session(seconds, may_claim=not is_retry)
        try:
            return _record_new(
                source, incoming, verified, parsed, event_id, session, build_answer, is_retry=is_retry
            )
        except IntegrityError:
            # The event is stored already, or something of its subject was stored at this moment, or one of these
            # happened to another webhook of the same group commit.
            session.close()
            stored_event = _find_event(source, event_id)
            repeat = (
                _record_repeat(source, incoming, verified, parsed, stored_event)
                if stored_event is not None
                else None
            )
            if repeat is not None:
                return repeat
            if is_retry:
                raise
        except BaseException:
            session.close()
            raise
    raise AssertionError("the second round returns or raises")


def record_unusable_request(
    source: Source,
    incoming: IncomingRequest,
    verified: VerifiedRequest,
    parsed: ParsedWebhook | None,
    build_answer: Callable[[str], Answer],
) -> tuple[Receipt, Answer]:
    """Store a verified request without a usable webhook, its body and its answer in one commit. Returns its receipt
    and the answer, which `build_answer` makes of the receipt's reference.

    Body and answer are encrypted with the key of the entity that the request names, if it could be parsed that far.
    Values that the source's format drops are not stored.
    """
    body = (
        remove_dropped_values(
            source.parsed_format, incoming.body or b"", incoming.headers.get("content-type", "")
        )
        if parsed is None
        else stored_body(incoming, parsed)
    )
    with transaction.atomic():
        # The foreign key has no constraint, and a process may still have a source cached that has just been deleted.
        if not Source.objects.select_for_update(no_key=True).filter(pk=source.pk).exists():
            raise IntegrityError("the source is deleted")
        key = None if parsed is None else subject_key(source.pk, parsed.entity_type, parsed.entity_id)
        payload = Payload.new(Payload.Kind.WEBHOOK, body, key)
        receipt = build_receipt(source, incoming, verified, None, payload)
        answer, at = build_answer(receipt.own_reference), timezone.now()
        answer_payload = Payload.new(Payload.Kind.ANSWER, answer.body, key)
        receipt.set_answer(answer_payload, at, answer.status, answer.code, is_final=answer.is_final)
        batch = WriteBatch()
        batch.insert(payload, answer_payload, receipt)
        batch.run()
        append_entries(request_entry("webhook.unusable", receipt, answer, at), at=at)
    return receipt, answer


def choose_event_id(
    source: Source, verified: VerifiedRequest, parsed: ParsedWebhook, position: int = 0
) -> str | None:
    """Return the id by which a repeated event is recognised, or None.

    If requests may have several events, it is the id of the event, or else the id of its request with its position: a
    sender may send the event again in another request. If they have one event, the id of the request comes first.
    Without a verification no id counts, because anyone could use the id of a future event.
    """
    own_id = parsed.event_id if verified.is_signed else None
    if not source.parsed_format.has_event_list:
        return verified.event_id or own_id
    if own_id is not None or verified.event_id is None:
        return own_id
    return event_id_by_position(verified.event_id, position)


def event_id_by_position(request_id: str, position: int) -> str:
    """Return the id of an event that has none itself, made of the id of its request and its position in it."""
    fits = len(request_id) <= _MAX_REQUEST_ID_LENGTH
    return f"{request_id if fits else hashlib.sha256(request_id.encode()).hexdigest()}/{position}"


def _find_event(source: Source, event_id: str | None) -> Event | None:
    if event_id is None:
        return None
    return Event.objects.filter(source=source, event_id=event_id).first()


def _record_new(
    source: Source,
    incoming: IncomingRequest,
    verified: VerifiedRequest,
    parsed: ParsedWebhook,
    event_id: str | None,
    session: DeliverySession,
    build_answer: BuildAnswer,
    *,
    is_retry: bool,
) -> StoredWebhook:
    event = build_event(source, incoming, verified, parsed, event_id)
    outcome = plan_deliveries(session, event, parsed)
    answer = build_answer(event, outcome) if outcome is not None else None
    webhook = NewWebhook(incoming, verified, event, stored_body(incoming, parsed), session, answer)
    store_webhook(webhook, is_retry=is_retry)
    return StoredWebhook(webhook.receipt, event, session, answer)


def build_event(
    source: Source,
    incoming: IncomingRequest,
    verified: VerifiedRequest,
    parsed: ParsedWebhook,
    event_id: str | None,
) -> Event:
    """Return the event of a webhook, not stored yet."""
    return new_row(
        Event,
        source=source,
        event_id=event_id,
        entity_type=parsed.entity_type,
        entity_id=parsed.entity_id,
        event_type=parsed.event_name,
        occurred_at=parsed.occurred_at,
        occurred_text=parsed.occurred_text,
        is_signed=verified.is_signed,
        digest=content_digest(incoming, parsed),
        received_at=incoming.received_at,
    )


def content_digest(incoming: IncomingRequest, parsed: ParsedWebhook) -> bytes:
    """Return the digest that two webhooks with one event id share if their contents are the same."""
    return hashlib.sha256(incoming.body or b"").digest() if parsed.digest is None else parsed.digest


def is_same_event(stored_event: Event, entity_id: str, digest: bytes) -> bool:
    """True if a webhook with the id of a stored event repeats it: its content and its entity are the same."""
    # The digest of an event from a list covers its element, and its entity may be named elsewhere in the request.
    return bytes(stored_event.digest) == digest and stored_event.entity_id == entity_id


def stored_body(incoming: IncomingRequest, parsed: ParsedWebhook) -> bytes:
    """Return the bytes to store as the body of a webhook."""
    return (incoming.body or b"") if parsed.stored_body is None else parsed.stored_body


def plan_deliveries(session: DeliverySession, event: Event, parsed: ParsedWebhook) -> EventOutcome | None:
    """Resolve the routes of an event. Returns its outcome so far if the answer will not wait.

    An event that its source's webhook format excludes has no delivery, and its outcome is `ignored`.
    """
    if not parsed.ignore_code:
        return session.plan_deliveries(event)
    event.state, event.code = State.IGNORED, parsed.ignore_code
    return EventOutcome(event.state, event.code, (), None)


def answered_entry(
    receipt: Receipt, event: Event, answer: Answer, payload: Payload, at: datetime
) -> NewEntry:
    """Build the audit entry of an answer that is stored as `payload` at `at`, later than its webhook."""
    details = {**_answer_details(receipt, answer), "answer": payload.entry_digest}
    return NewEntry(event.stream, "webhook.answered", details=details, at=at)


def request_entry(
    action: str, receipt: Receipt, answer: Answer, at: datetime, **details: JSONValue
) -> NewEntry:
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
        at,
    )


def _answer_details(receipt: Receipt, answer: Answer) -> dict[str, JSONValue]:
    return {
        "receipt": receipt.own_reference,
        "status": answer.status,
        "code": answer.code,
        "final": answer.is_final,
    }


def _record_repeat(
    source: Source,
    incoming: IncomingRequest,
    verified: VerifiedRequest,
    parsed: ParsedWebhook,
    stored_event: Event,
) -> StoredWebhook | None:
    """Store a receipt for an event that is stored already. Returns None if the nightly cleanup has just deleted it.

    The payload and the event stay locked until the commit: no foreign key keeps the cleanup from deleting them.
    """
    # The same event id with another body is not a repeat, and the stored answer would be wrong for it.
    if not is_same_event(stored_event, parsed.entity_id, content_digest(incoming, parsed)):
        raise RequestRefused("event-id-conflict")
    with transaction.atomic():
        # In the order of the cleanup, payloads before events: otherwise the two could wait for each other.
        payload = _lock_row(Payload.objects.all(), stored_event.payload_id)
        event = _lock_row(Event.objects.all(), stored_event.pk)
        if event is None:
            return None
        receipt = build_receipt(source, incoming, verified, event, payload, is_repeat=True)
        batch = WriteBatch()
        batch.insert(receipt)
        batch.run()
        append_entries(received_entry(event, receipt))
    return StoredWebhook(receipt, event)


def _lock_row(rows: QuerySet[RowModel], key: int | None) -> RowModel | None:
    """Lock the row with this key until the commit; None if there is none any more."""
    return None if key is None else rows.select_for_update(no_key=True).filter(pk=key).first()
