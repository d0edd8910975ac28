"""What a source is told is kept, byte for byte, before it is told (promise I23)."""

import logging

from django.db import IntegrityError, transaction
from django.utils import timezone

from audit.entries.append import append_entries, prepare_append
from database.statement import BoundStatement, Statement
from database.write_batch import WriteBatch
from webhooks.models import Payload
from webhooks.receiving.answers import Answer
from webhooks.receiving.record import Recorded, answered

logger = logging.getLogger("hub.receive")

_TOLD = Statement(
    """UPDATE webhooks_receipt SET answer_id = %s, answered_at = %s, status = %s, code = %s, is_final = %s
    WHERE id = %s"""
)


class ReceiptAnswer:
    """The answer to one request, stored with its receipt: a `webhooks.delivery_port.PendingAnswer`."""

    def __init__(self, recorded: Recorded, answer: Answer) -> None:
        self.answer = answer
        self.payload = Payload.of(Payload.Kind.ANSWER, answer.body, recorded.key)
        self.happening = answered(recorded.receipt, recorded.event, answer)
        self._receipt = recorded.receipt
        self._at = timezone.now()

    def add_to(self, batch: WriteBatch) -> None:
        """Add the answer's payload, and its columns of the receipt."""
        batch.insert(self.payload)
        batch.execute(self._receipt_update())

    def _receipt_update(self) -> BoundStatement:
        answer = self.answer
        return _TOLD.bind(
            self.payload, self._at, answer.status, answer.code, answer.is_final, self._receipt.pk
        )

    def keep(self) -> None:
        """Store it in a transaction of its own: by one batch, or, if another process appends to the event's stream at
        this moment, after that.
        """
        batch = self._batch()
        batch.execute(*prepare_append(self.happening, at=self._at).writes)
        try:
            batch.run()
        except IntegrityError:
            with transaction.atomic():
                self._batch().run()
                append_entries(self.happening, at=self._at)

    def _batch(self) -> WriteBatch:
        batch = WriteBatch()
        self.add_to(batch)
        return batch
