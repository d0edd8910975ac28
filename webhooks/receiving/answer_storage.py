"""Store the answer to a source, byte for byte, before it is sent (promise I23)."""

import logging

from django.db import IntegrityError, transaction
from django.utils import timezone

from audit.entries.append import append_entries, prepare_append
from database.statement import BoundStatement, Statement
from database.write_batch import WriteBatch
from webhooks.models import Payload, Receipt
from webhooks.receiving.answers import Answer
from webhooks.receiving.request_storage import StoredWebhook, answered_entry

logger = logging.getLogger("hub.receive")

_UPDATE_RECEIPT = Statement(
    """UPDATE webhooks_receipt SET answer_id = %s, answered_at = %s, status = %s, code = %s, is_final = %s
    WHERE id = %s"""
)


class ReceiptAnswer:
    """The answer to one request, stored with its receipt. Implements `webhooks.delivery_port.PendingAnswer`."""

    def __init__(self, recorded: StoredWebhook, answer: Answer) -> None:
        self.answer = answer
        self.payload = Payload.new(Payload.Kind.ANSWER, answer.body, recorded.event.key)
        self._receipt = recorded.receipt
        self._at = timezone.now()
        self.audit_entry = answered_entry(recorded.receipt, recorded.event, answer, self.payload, self._at)

    def add_to(self, batch: WriteBatch) -> None:
        """Add the answer's payload and the update of its receipt to a batch."""
        batch.insert(self.payload)
        batch.execute(self._receipt_update())

    def _receipt_update(self) -> BoundStatement:
        answer = self.answer
        return _UPDATE_RECEIPT.bind(
            self.payload, self._at, answer.status, answer.code, answer.is_final, self._receipt.pk
        )

    def store(self) -> None:
        """Store the answer in a transaction of its own.

        1. Write it with its audit entry in one batch.
        2. If another process appended to the event's stream at the same moment, append with the stream locked.
        """
        batch = self._batch()
        batch.execute(*prepare_append(self.audit_entry, at=self._at).writes)
        try:
            batch.run()
        # Nothing of the batch was written, so the answer is written again with its entry.
        except IntegrityError:
            with transaction.atomic():
                self._batch().run()
                append_entries(self.audit_entry, at=self._at)

    def is_stored(self) -> bool:
        """Return True if a commit that got no answer has stored this answer. Reads its receipt."""
        return Receipt.objects.filter(pk=self._receipt.pk, answered_at=self._at).exists()

    def _batch(self) -> WriteBatch:
        batch = WriteBatch()
        self.add_to(batch)
        return batch
