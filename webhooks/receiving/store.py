"""Store new webhooks: event, receipt, deliveries, payloads and audit entries of each in one commit.

Webhooks for which nobody waits share the commit with others that arrive at the same moment (group commit).
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

from django.db import transaction
from django.utils import timezone

from audit.entries.append import NEW_STREAMS, NewEntry, prepare_append
from database.connection import release_connection
from database.group_commit import GroupCommit
from database.model_rows import new_row
from database.write_batch import GuardFailed, WriteBatch
from webhooks.delivery_port import Begun
from webhooks.models import (
    Event,
    Payload,
    Receipt,
    Source,
    SubjectKey,
    find_or_create_keys,
    lock_or_create_keys,
)
from webhooks.models.subject_key_store import Subject
from webhooks.receiving.answers import Answer
from webhooks.receiving.gate import Verified
from webhooks.receiving.incoming_request import Arrival


@dataclass(slots=True)
class NewWebhook:
    """A webhook that is ready to be stored; `receipt` is made then. `answer`: where nobody waits for the event."""

    arrival: Arrival
    verified: Verified
    event: Event
    begun: Begun
    answer: Answer | None
    receipt: Receipt = field(init=False)

    @property
    def subject(self) -> Subject:
        """What the event is about."""
        return self.event.source_id, self.event.entity_type, self.event.entity_id

    def add_to(self, batch: WriteBatch, key: SubjectKey) -> list[NewEntry]:
        """Add all rows to a batch, encrypted under the subject's key. Returns the audit entries that belong to them."""
        event, answer = self.event, self.answer
        event.key = key
        payload = event.payload = Payload.of(Payload.Kind.WEBHOOK, self.arrival.body or b"", key)
        said = Payload.of(Payload.Kind.ANSWER, answer.body, key) if answer is not None else None
        self.receipt = receipt_of(
            event.source, self.arrival, self.verified, event, payload, answer=answer, said=said
        )
        batch.insert(payload, *([said] if said else []), event, self.receipt)
        return [received(event, self.receipt), *self.begun.open(event, batch)]


def store_webhook(webhook: NewWebhook, *, is_retry: bool = False) -> None:
    """Store a webhook in one commit.

    1. If nobody waits for it, let it share the commit of those that arrive at the same moment.
    2. Read the subject's key, and write everything by one batch, which fails if the key is destroyed meanwhile.
    3. If it was destroyed, or this `is_retry`, store in a transaction that locks the key first.

    Raises IntegrityError if the event's id is known, or if a key or a delivery of its subject was stored at this
    moment; then call it again with `is_retry`. Raises GroupFailed if that happened to a webhook that shared its commit.
    """
    if is_retry:
        _store_with_locks([webhook])
    elif webhook.answer is not None:
        release_connection()  # whoever leads the group may need it while this thread waits
        _group_commit.submit(webhook)
    else:
        _store([webhook])


def _store(webhooks: Sequence[NewWebhook]) -> None:
    """Store webhooks by one batch."""
    batch = WriteBatch()
    try:
        _write(webhooks, batch, find_or_create_keys({webhook.subject for webhook in webhooks}, batch))
    except GuardFailed:  # an erasure destroyed a key after it was read
        _store_with_locks(webhooks)


def _store_with_locks(webhooks: Sequence[NewWebhook]) -> None:
    """Store webhooks in a transaction in which nobody can destroy or insert their subjects' keys."""
    with transaction.atomic():
        keys = lock_or_create_keys({webhook.subject for webhook in webhooks})
        _write(webhooks, WriteBatch(), keys)


def _write(webhooks: Sequence[NewWebhook], batch: WriteBatch, keys: dict[Subject, SubjectKey]) -> None:
    entries = [entry for webhook in webhooks for entry in webhook.add_to(batch, keys[webhook.subject])]
    prepared = prepare_append(*entries, heads=NEW_STREAMS)
    batch.execute(*prepared.writes)
    batch.run()
    for webhook in webhooks:
        webhook.begun.committed(prepared.heads)


_group_commit = GroupCommit(_store)


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
    receipt = new_row(
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


def received(event: Event, receipt: Receipt) -> NewEntry:
    """What came; where it is answered in the same commit, that too: one thing happened, and one entry says so."""
    said = {} if receipt.status is None else {"status": receipt.status, "code": receipt.code}
    return NewEntry(
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
        at=receipt.received_at,
    )
