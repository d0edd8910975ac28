"""Store a verified request: as a new event, as a repeat of one that is known, or as unusable."""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from django.db import IntegrityError, transaction
from django.db.models import Model, QuerySet

from audit.entries.append import NewEntry, append_entries
from database.group_commit import GroupFailed
from database.model_rows import new_row
from database.write_batch import WriteBatch
from webhooks.catalogue.outcome import EventOutcome
from webhooks.delivery_port import Begun, Delivering
from webhooks.models import Event, Payload, Receipt, Source, SubjectKey, subject_key
from webhooks.protocol.notice import Notice
from webhooks.receiving.answers import Answer
from webhooks.receiving.gate import Refused, Verified, wanted_wait
from webhooks.receiving.incoming_request import Arrival
from webhooks.receiving.store import NewWebhook, receipt_of, received, store_webhook


@dataclass(frozen=True, slots=True)
class Recorded:
    """What is stored now. `event` is None for a verified request that is no webhook; `begun`: it is a new one.

    `answer` was stored too, where it was known by then: nobody waits for this event.
    """

    receipt: Receipt
    event: Event | None
    begun: Begun | None = None
    answer: Answer | None = None

    @property
    def key(self) -> SubjectKey | None:
        """What seals the answer; None where the request names nobody."""
        if self.event is not None:
            return self.event.key
        payload = self.receipt.payload
        return None if payload is None else payload.subject


M = TypeVar("M", bound=Model)
Say = Callable[[Event, EventOutcome], Answer]


def record_webhook(
    source: Source, arrival: Arrival, verified: Verified, notice: Notice, delivering: Delivering, say: Say
) -> Recorded:
    """Store the webhook, or add a receipt to the event that it repeats. `say` puts an outcome into words.

    `Refused("event-id-conflict")` where its event id is known with another body.
    """
    event_id = verified.event_id or notice.event_id
    seconds = wanted_wait(source, notice)
    for is_retry in (False, True):
        begun = delivering.begin(seconds, at_once=not is_retry)
        try:
            return _record_new(source, arrival, verified, notice, event_id, begun, say, is_retry=is_retry)
        except (IntegrityError, GroupFailed):
            # The event is known, or something of its subject was stored at this moment; or that happened to a webhook
            # that shared its commit.
            begun.close()
            known = _known(source, event_id)
            repeat = _record_repeat(source, arrival, verified, known) if known is not None else None
            if repeat is not None:
                return repeat
            if is_retry:
                raise
        except BaseException:
            begun.close()
            raise
    raise AssertionError("the second try ended or raised")


def record_unusable(source: Source, arrival: Arrival, verified: Verified, notice: Notice | None) -> Recorded:
    """A receipt for a verified request that is no webhook; its bytes are kept, for whom they name where they could be
    read.
    """
    with transaction.atomic():
        # No foreign key says so: a process may go on for a moment with a source that has just been deleted.
        if not Source.objects.select_for_update(no_key=True).filter(pk=source.pk).exists():
            raise IntegrityError("the source is deleted")
        key = None if notice is None else subject_key(source.pk, notice.entity_type, notice.entity_id)
        payload = Payload.of(Payload.Kind.WEBHOOK, arrival.body or b"", key)
        receipt = receipt_of(source, arrival, verified, None, payload)
        batch = WriteBatch()
        batch.insert(payload, receipt)
        batch.run()
    return Recorded(receipt, None)


def _known(source: Source, event_id: str | None) -> Event | None:
    if event_id is None:
        return None
    return Event.objects.filter(source=source, event_id=event_id).first()


def _record_new(
    source: Source,
    arrival: Arrival,
    verified: Verified,
    notice: Notice,
    event_id: str | None,
    begun: Begun,
    say: Say,
    *,
    is_retry: bool,
) -> Recorded:
    body = arrival.body or b""
    event = new_row(
        Event,
        source=source,
        event_id=event_id,
        entity_type=notice.entity_type,
        entity_id=notice.entity_id,
        event_type=_event_type(source, notice),
        occurred_at=notice.occurred_at,
        occurred_text=notice.occurred_text,
        is_signed=source.is_signed,
        digest=hashlib.sha256(body).digest(),
        received_at=arrival.received_at,
    )
    outcome = begun.plan(event)
    answer = say(event, outcome) if outcome is not None else None
    webhook = NewWebhook(arrival, verified, event, begun, answer)
    store_webhook(webhook, is_retry=is_retry)
    return Recorded(webhook.receipt, event, begun, answer)


def answered(receipt: Receipt, event: Event | None, answer: Answer) -> NewEntry:
    """The audit entry of what a source was told later than its webhook was stored."""
    details = {"receipt": receipt.own_reference, "status": answer.status, "code": answer.code}
    if event is not None:
        return NewEntry(event.stream, "webhook.answered", details=details)
    source = receipt.source
    return NewEntry(f"setting:source:{source.pk}", "webhook.unusable", f"source:{source.slug}", details)


def _record_repeat(source: Source, arrival: Arrival, verified: Verified, known: Event) -> Recorded | None:
    """Store a receipt of an event that is stored already. None if the nightly cleanup has just deleted that event.

    The payload and the event stay locked until the commit: no foreign key keeps the cleanup from deleting them.
    """
    body = arrival.body or b""
    if hashlib.sha256(body).digest() != bytes(known.digest):
        raise Refused("event-id-conflict")
    with transaction.atomic():
        # In the order of the cleanup, payloads before events: otherwise the two could wait for each other.
        payload = _locked(Payload.objects.all(), known.payload_id)
        event = _locked(Event.objects.all(), known.pk)
        if event is None:
            return None
        receipt = receipt_of(source, arrival, verified, event, payload, is_repeat=True)
        batch = WriteBatch()
        batch.insert(receipt)
        batch.run()
        append_entries(received(event, receipt))
    return Recorded(receipt, event)


def _locked(rows: QuerySet[M], key: int | None) -> M | None:
    """Lock the row with this key until the commit; None if there is none any more."""
    return None if key is None else rows.select_for_update(no_key=True).filter(pk=key).first()


def _event_type(source: Source, notice: Notice) -> str:
    """CREATE, UPDATE or DELETE by the source's own words; an unmapped word stays as it is."""
    mapped = {str(word).upper(): kind for word, kind in source.event_words.items()}
    return str(mapped.get(notice.event_word, notice.event_word))
