"""New webhooks, ready to be stored: one by one statement where that is cheaper, several that come at the same time by
one commit.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from itertools import zip_longest

from django.db.models import Model
from django.utils import timezone

from audit.entries.append import Happening, beginning
from database.bulk_insert import number, store, store_after, store_alike
from database.connection import current, release_connection
from database.group_commit import MOST, Gathering, commit
from database.model_rows import fresh
from database.write_batch import NotAsExpected, together
from webhooks.models import (
    Event,
    Payload,
    Receipt,
    Source,
    are_there_still,
    keys_of_subjects,
    look_all_up,
    look_up,
)
from webhooks.receiving.answers import Answer
from webhooks.receiving.delivery_port import Begun
from webhooks.receiving.gate import Verified
from webhooks.receiving.incoming_request import Arrival


@dataclass(slots=True)
class New:
    """A new webhook that is ready to be stored, which makes its receipt. `answer`: where nobody waits for the event."""

    arrival: Arrival
    verified: Verified
    event: Event
    begun: Begun
    answer: Answer | None
    receipt: Receipt = field(init=False)

    def rows(self, receipt_key: int | None = None) -> list[Model]:
        """In the order in which they are to be stored. `receipt_key`: taken for the receipt beforehand."""
        event, answer = self.event, self.answer
        payload = event.payload = Payload.of(Payload.Kind.WEBHOOK, self.arrival.body or b"", event.key)
        said = Payload.of(Payload.Kind.ANSWER, answer.body, event.key) if answer is not None else None
        self.receipt = receipt_of(
            event.source, self.arrival, self.verified, event, payload, answer=answer, said=said
        )
        self.receipt.pk = receipt_key
        return [payload, *([said] if said else []), event, self.receipt, *self.begun.open(event)]

    def happenings(self) -> list[tuple[Happening, datetime]]:
        """What belongs on the audit log, once those have their keys."""
        happened = [received(self.event, self.receipt), *self.begun.opened()]
        return [(each, self.arrival.received_at) for each in happened]


def store_new(new: New, *, gathers: bool) -> None:
    """Store it, with all that is its own, in one commit. `gathers`: with what others store at the same moment.

    IntegrityError where its event is known, or something of its subject was begun at this moment; `Scattered`.
    """
    if gathers:
        release_connection()  # the one for whom all wait may need it, if it stands in line
        _gathering.do(new)  # rows of one kind by one statement, on either database
    else:
        _store_all([new])


def _store_all(news: Sequence[New]) -> None:
    """In one commit: all of them, or none."""
    if current().vendor != "postgresql" or current().in_atomic_block or not _store_at_once(news):
        commit(lambda: _store(news))


def _store_at_once(news: Sequence[New]) -> bool:
    """By one statement of PostgreSQL instead of a transaction. False where a key was destroyed at this moment that
    something of it is sealed under; then nothing was written.

    The keys that the audit log names are known beforehand: so its entries need not wait for what they are about.
    """
    rows = _of_several(news) if len(news) > 1 else _of_one(news[0])
    keys = {id(each.event.key): each.event.key for each in news}.values()
    known = [each for each in keys if not each._state.adding]
    rows = [*(each for each in keys if each._state.adding), *rows]
    entries = beginning(*(happening for each in news for happening in each.happenings()))
    if not known:
        store(*rows, also=entries.writes)
    else:
        try:
            store_after(are_there_still(known), len(known), *rows, also=entries.writes)
        except NotAsExpected:
            for each in news:  # what an erasure ends is told by its number from what comes after it
                each.event.pk = None
            return False
    for each in news:
        each.begun.ended(entries.ends)
    return True


def _of_one(new: New) -> list[Model]:
    """The keys of its receipt, and of a delivery that is claimed, come with what is looked up anyway."""
    new.event.key, receipt_key = look_up(_subject(new.event), Receipt)
    return new.rows(receipt_key)


def _of_several(news: Sequence[New]) -> list[Model]:
    """All get their keys beforehand, by one statement more: then those of one model can be one part."""
    keys = look_all_up({_subject(each.event) for each in news})
    for each in news:
        each.event.key = keys[_subject(each.event)]
    rows = _side_by_side(news)
    number([*keys.values(), *rows])
    return rows


def _side_by_side(news: Sequence[New]) -> list[Model]:
    """The first row of each, then the second of each: alike ones follow each other."""
    return [row for alike in zip_longest(*(each.rows() for each in news)) for row in alike if row is not None]


def _store(news: Sequence[New]) -> None:
    """In a transaction."""
    keys = keys_of_subjects({_subject(each.event) for each in news})
    for each in news:
        each.event.key = keys[_subject(each.event)]
    rows = _side_by_side(news)
    if len(news) == 1:
        store(*rows)
    else:
        store_alike(rows)
    entries = beginning(*(happening for each in news for happening in each.happenings()))
    together(*entries.writes)
    for each in news:
        each.begun.ended(entries.ends)


def _subject(event: Event) -> tuple[int, str, str]:
    return event.source_id, event.entity_type, event.entity_id


_gathering = Gathering(_store_all, MOST)


def receipt_of(
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
    """Of a request, not stored yet. `answer`: where it is told in the same commit, kept as `said`."""
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


def received(event: Event, receipt: Receipt) -> Happening:
    """What came; where it is answered in the same commit, that too: one thing happened, and one entry says so."""
    said = {} if receipt.status is None else {"status": receipt.status, "code": receipt.code}
    return Happening(
        event.stream,
        "webhook.repeated" if receipt.is_repeat else "webhook.received",
        f"source:{event.source.slug}",
        {
            "receipt": receipt.own_reference,
            "verified_by": receipt.verified_by,
            "size": receipt.size,
            "state": str(event.state),
            **said,
        },
    )
