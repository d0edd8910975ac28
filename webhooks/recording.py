"""Hop 3: event, receipt and deliveries in one commit. From here the webhook cannot be lost."""

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from itertools import zip_longest

from django.db import IntegrityError, transaction
from django.db.models import Model
from django.utils import timezone

from audit.committing import MOST, commit
from audit.gathering import Gathering, Scattered
from audit.joining import together
from audit.log import Happening, append, beginning
from audit.releasing import release_connection
from audit.storing import fresh, insert, store, store_alike
from webhooks.answers import Answer
from webhooks.arrival import Arrival
from webhooks.delivering import Begun, Delivering, EventOutcome
from webhooks.gate import Refused, Verified, wanted_wait
from webhooks.models import Event, Payload, Receipt, Source, SubjectKey, keys_of_subjects, subject_key
from webhooks.parsing import Notice


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


Say = Callable[[Event, EventOutcome], Answer]


def record_webhook(
    source: Source, arrival: Arrival, verified: Verified, notice: Notice, delivering: Delivering, say: Say
) -> Recorded:
    """Store the webhook, or add a receipt to the event that it repeats. `say` puts an outcome into words.

    `Refused("event-id-conflict")` where its event id is known with another body.
    """
    event_id = verified.event_id or notice.event_id
    seconds = wanted_wait(source, notice)
    for is_first in (True, False):
        begun = delivering.begin(seconds, at_once=is_first)
        try:
            return _record_new(source, arrival, verified, notice, event_id, begun, say, gathers=is_first)
        except (IntegrityError, Scattered):
            # the event is known, or at this moment another one of its entity was begun; or so it was with one of those
            # that were to be stored with it
            begun.close()
            known = _known(source, event_id)
            if known is not None:
                return _record_repeat(source, arrival, verified, known)
            if not is_first:
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
        key = None if notice is None else subject_key(source.pk, notice.entity_type, notice.entity_id)
        payload = Payload.of(Payload.Kind.WEBHOOK, arrival.body or b"", key)
        receipt = _receipt(source, arrival, verified, None, payload)
        store(payload, receipt)
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
    gathers: bool,
) -> Recorded:
    body = arrival.body or b""
    event = fresh(
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
    new = _New(arrival, verified, event, begun, answer)
    if answer is not None and gathers:
        release_connection()  # the one for whom all wait may need it, if it stands in line
        _gathering.do(new)  # rows of one kind by one statement, on either database
    else:
        commit(lambda: _store([new]))
    return Recorded(new.receipt, event, begun, answer)


@dataclass(slots=True)
class _New:
    """A new webhook that is ready to be stored, which makes its receipt. `answer`: where nobody waits for the event."""

    arrival: Arrival
    verified: Verified
    event: Event
    begun: Begun
    answer: Answer | None
    receipt: Receipt = field(init=False)

    def rows(self) -> list[Model]:
        """In the order in which they are to be stored."""
        event, answer = self.event, self.answer
        payload = event.payload = Payload.of(Payload.Kind.WEBHOOK, self.arrival.body or b"", event.key)
        said = Payload.of(Payload.Kind.ANSWER, answer.body, event.key) if answer is not None else None
        self.receipt = _receipt(
            event.source, self.arrival, self.verified, event, payload, answer=answer, said=said
        )
        return [payload, *([said] if said else []), event, self.receipt, *self.begun.open(event)]

    def happenings(self) -> list[tuple[Happening, datetime]]:
        """What belongs on the audit log, once those are stored."""
        happened = [_received(self.event, self.receipt), *self.begun.opened()]
        return [(each, self.arrival.received_at) for each in happened]


def _store(news: Sequence[_New]) -> None:
    """In a transaction."""
    keys = keys_of_subjects({_subject(each.event) for each in news})
    for each in news:
        each.event.key = keys[_subject(each.event)]
    rows = [each.rows() for each in news]
    if len(news) == 1:
        store(*rows[0])
    else:  # alike ones after each other: the first of each, then the second of each
        store_alike(row for alike in zip_longest(*rows) for row in alike if row is not None)
    entries = beginning(*(happening for each in news for happening in each.happenings()))
    together(*entries.writes)
    for each in news:
        each.begun.ended(entries.ends)


def _store_all(news: Sequence[_New]) -> None:
    """In one commit: all of them, or none."""
    commit(lambda: _store(news))


def _subject(event: Event) -> tuple[int, str, str]:
    return event.source_id, event.entity_type, event.entity_id


_gathering = Gathering(_store_all, MOST)


def answered(receipt: Receipt, event: Event | None, answer: Answer) -> Happening:
    """The audit entry of what a source was told later than its webhook was stored."""
    details = {"receipt": receipt.pk, "status": answer.status, "code": answer.code}
    if event is not None:
        return Happening(event.stream, "webhook.answered", details=details)
    source = receipt.source
    return Happening(f"setting:source:{source.pk}", "webhook.unusable", f"source:{source.slug}", details)


def _record_repeat(source: Source, arrival: Arrival, verified: Verified, event: Event) -> Recorded:
    body = arrival.body or b""
    if hashlib.sha256(body).digest() != bytes(event.digest):
        raise Refused("event-id-conflict")
    with transaction.atomic():
        receipt = _receipt(source, arrival, verified, event, event.payload, is_repeat=True)
        insert(receipt)
        append(_received(event, receipt), at=arrival.received_at)
    return Recorded(receipt, event)


def _event_type(source: Source, notice: Notice) -> str:
    """CREATE, UPDATE or DELETE by the source's own words; an unmapped word stays as it is."""
    mapped = {str(word).upper(): kind for word, kind in source.event_words.items()}
    return str(mapped.get(notice.event_word, notice.event_word))


def _receipt(
    source: Source,
    arrival: Arrival,
    verified: Verified,
    event: Event | None,
    payload: Payload | None,
    *,
    is_repeat: bool = False,
    answer: Answer | None = None,
    said: Payload | None = None,
) -> Receipt:
    receipt = fresh(
        Receipt,
        source=source,
        event=event,
        payload=payload,
        verified_by=verified.verified_by,
        address=arrival.address,
        size=arrival.size or 0,
        received_at=arrival.received_at,
        is_repeat=is_repeat,
    )
    if answer is not None:
        receipt.answer, receipt.answered_at = said, timezone.now()
        receipt.status, receipt.code, receipt.is_final = answer.status, answer.code, answer.is_final
    return receipt


def _received(event: Event, receipt: Receipt) -> Happening:
    """What came; where it is answered in the same commit, that too: one thing happened, and one entry says so."""
    said = {} if receipt.status is None else {"status": receipt.status, "code": receipt.code}
    return Happening(
        event.stream,
        "webhook.repeated" if receipt.is_repeat else "webhook.received",
        f"source:{event.source.slug}",
        {
            "receipt": receipt.pk,
            "verified_by": receipt.verified_by,
            "size": receipt.size,
            "state": str(event.state),
            **said,
        },
    )
