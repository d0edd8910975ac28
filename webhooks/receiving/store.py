"""Store new webhooks: event, receipt, deliveries, payloads and audit entries of each in one commit.

Webhooks whose senders do not wait for the outcome share the commit with others that arrive at the same moment (group
commit).
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

from django.conf import settings
from django.db import IntegrityError, OperationalError, transaction
from django.utils import timezone

from audit.entries.append import NEW_STREAMS, NewEntry, prepare_append
from config_schema.codes.outcome import EventOutcome
from database.connection import is_deadlock
from database.group_commit import GroupCommit
from database.model_rows import new_row
from database.write_batch import GuardFailed, WriteBatch
from webhooks.delivery_port import DeliverySession, OpenedRows
from webhooks.models import (
    Event,
    Payload,
    Receipt,
    Source,
    State,
    SubjectKey,
    find_or_create_keys,
    lock_or_create_keys,
)
from webhooks.models.subject_key_store import Subject
from webhooks.receiving.answers import Answer
from webhooks.receiving.request_verification import ReceivedRequest
from webhooks.receiving.row_facts import answer_facts, event_facts


@dataclass(slots=True)
class NewEvent:
    """An event that is ready to be stored, and `body`, the bytes that are stored of it.

    `outcome` is its outcome so far; None if the answer waits for its deliveries. If `fetches_again`, routes that fetch
    deliver the event even if its id, which is made of bytes, is stored already: the entity may have changed since.
    """

    event: Event
    body: bytes
    session: DeliverySession
    outcome: EventOutcome | None
    fetches_again: bool

    @property
    def subject(self) -> Subject:
        """The event's source id, entity type and entity id."""
        return self.event.source_id, self.event.entity_type, self.event.entity_id

    def encrypt_body(self, key: SubjectKey) -> Payload:
        """Make the payload of the event, encrypted under the key of its subject."""
        self.event.key = key
        payload = self.event.payload = Payload.new(Payload.Kind.WEBHOOK, self.body, key)
        return payload


@dataclass(slots=True)
class NewWebhook(NewEvent):
    """The only event of a request. `answer` is set if it does not wait for the outcome, `receipt` by `add_to`."""

    request: ReceivedRequest
    answer: Answer | None
    receipt: Receipt = field(init=False)

    def add_to(self, batch: WriteBatch, key: SubjectKey) -> list[NewEntry]:
        """Add all rows to a batch, encrypted under the subject's key. Returns the audit entries that belong to them."""
        payload = self.encrypt_body(key)
        self.receipt = build_receipt(self.request, self.event, payload)
        answers = [answer_receipt(self.receipt, self.answer, key)] if self.answer is not None else []
        batch.insert(payload, *answers, self.event, self.receipt)
        return open_deliveries(self, self.receipt, batch)


def store_webhook(webhook: NewWebhook, *, is_retry: bool = False) -> None:
    """Store a webhook in one commit.

    1. If the answer does not wait for the outcome, share the statements of webhooks that arrive at the same moment.
    2. Read the subject's key and write everything in one batch, which fails if the key is destroyed meanwhile.
    3. If it was destroyed, or `is_retry` is set, store in a transaction that locks the key first.

    Raises IntegrityError if the event's id is stored already, or if a key or a delivery of its subject was stored at
    the same moment; then call this again with `is_retry`.
    """
    if is_retry:
        _store_with_locks([webhook])
    elif webhook.answer is not None:
        _group_commit.submit(webhook, settings.RESPONSE_SECONDS)
    else:
        _store_together([webhook])


def _store_group(webhooks: Sequence[NewWebhook]) -> Sequence[Exception | None]:
    """Store webhooks of several threads in one batch; if one of them prevents that, each alone. Returns the error of
    each, None if it is stored.
    """
    if len(webhooks) > 1:
        try:
            _store_together(webhooks)
        except (IntegrityError, OperationalError) as error:
            # A deadlock depends on the webhooks and their order: each alone may be stored.
            if isinstance(error, OperationalError) and not is_deadlock(error):
                raise
        else:
            return [None] * len(webhooks)
    return [_error_of_storing(webhook) for webhook in webhooks]


def _error_of_storing(webhook: NewWebhook) -> Exception | None:
    try:
        _store_together([webhook])
    except Exception as error:  # noqa: BLE001 - raised in the thread whose webhook it is
        return error
    return None


def _store_together(webhooks: Sequence[NewWebhook]) -> None:
    """Store webhooks in one batch."""
    batch = WriteBatch()
    try:
        _write_webhooks(
            webhooks, batch, find_or_create_keys({webhook.subject for webhook in webhooks}, batch)
        )
    # An erasure destroyed a key after it was read.
    except GuardFailed:
        _store_with_locks(webhooks)


def _store_with_locks(webhooks: Sequence[NewWebhook]) -> None:
    """Store webhooks in a transaction that locks their subjects' keys against erasure first."""
    with transaction.atomic():
        keys = lock_or_create_keys({webhook.subject for webhook in webhooks})
        _write_webhooks(webhooks, WriteBatch(), keys)


def _write_webhooks(
    webhooks: Sequence[NewWebhook], batch: WriteBatch, keys: dict[Subject, SubjectKey]
) -> None:
    entries = [entry for webhook in webhooks for entry in webhook.add_to(batch, keys[webhook.subject])]
    write_new_events(webhooks, batch, entries)


def open_deliveries(new: NewEvent, receipt: Receipt, batch: WriteBatch) -> list[NewEntry]:
    """Add the deliveries of a new event to a batch. Returns the event's audit entry, and theirs."""
    opened = new.session.open_deliveries(new.event, batch)
    return [received_entry(new.event, receipt, opened), *opened.entries]


def write_new_events(events: Sequence[NewEvent], batch: WriteBatch, entries: Sequence[NewEntry]) -> None:
    """Run the batch that inserts new events, with their audit entries."""
    # The streams belong to events that this batch inserts, so they have no heads to read.
    prepared = prepare_append(*entries, heads=NEW_STREAMS)
    batch.execute(*prepared.writes)
    batch.run()
    for new in events:
        new.session.record_commit(prepared.heads)


_group_commit = GroupCommit(_store_group)


def build_receipt(
    request: ReceivedRequest, event: Event | None, payload: Payload | None, *, is_repeat: bool = False
) -> Receipt:
    """Return the receipt of a request, not stored yet and without an answer."""
    return new_row(
        Receipt,
        source=request.source,
        event=event,
        payload=payload,
        verified_by=request.verified.verified_by,
        address=request.incoming.address,
        size=request.incoming.size or 0,
        received_at=request.incoming.received_at,
        is_repeat=is_repeat,
    )


def answer_receipt(receipt: Receipt, answer: Answer, key: SubjectKey | None) -> Payload:
    """Set the answer of a receipt, and return its payload. Both are stored in one commit."""
    payload = Payload.new(Payload.Kind.ANSWER, answer.body, key)
    receipt.set_answer(payload, timezone.now(), answer.status, answer.code, is_final=answer.is_final)
    return payload


def lock_source(source: Source) -> None:
    """Lock a source until the commit. Raises IntegrityError if it was deleted.

    A process may still have it cached then, and the foreign key of a receipt has no constraint.
    """
    if not Source.objects.select_for_update(no_key=True).filter(pk=source.pk).exists():
        raise IntegrityError("the source is deleted")


def received_entry(event: Event, receipt: Receipt, opened: OpenedRows | None = None) -> NewEntry:
    """Return the audit entry of a received webhook. It includes the answer if that is stored in the same commit.

    `opened`: the deliveries of a new event. A repeat has none, and the digests of its event are in the first entry. The
    receipt of a request with several events is named as `batch`; its answer has an entry of its own.
    """
    new_rows = {} if opened is None else {**event_facts(event), "deliveries": opened.deliveries}
    if opened is not None and event.state == State.IGNORED and event.code != State.IGNORED:
        new_rows["reason"] = event.code
    is_batch = receipt.event_id is None and receipt.event is None
    return NewEntry(
        event.stream,
        "webhook.repeated" if opened is None else "webhook.received",
        f"source:{event.source.slug}",
        {
            "batch" if is_batch else "receipt": receipt.own_reference,
            "verified_by": receipt.verified_by,
            "size": receipt.size,
            "state": str(event.state),
            **new_rows,
            **({} if is_batch else answer_facts(receipt)),
        },
        at=receipt.received_at,
    )
