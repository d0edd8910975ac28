"""What a source is told is kept, byte for byte, before it is told (promise I23)."""

import logging

from django.db import IntegrityError, transaction
from django.utils import timezone

from audit.entries.append import append, appending
from database.bulk_insert import store
from database.statement import Bound, Statement
from webhooks.models import Payload
from webhooks.receiving.answers import Answer
from webhooks.receiving.record import Recorded, answered

logger = logging.getLogger("hub.receive")

_TOLD = Statement(
    """UPDATE webhooks_receipt SET answer_id = %s, answered_at = %s, status = %s, code = %s, is_final = %s
    WHERE id = %s"""
)


class Telling:
    """An answer on its way to a receipt. Whoever keeps it stores `payload`, runs `joining`, and appends `happening`,
    all in one transaction: the one that settled what is told of, or one of its own.
    """

    def __init__(self, recorded: Recorded, answer: Answer) -> None:
        self.answer = answer
        self.payload = Payload.of(Payload.Kind.ANSWER, answer.body, recorded.key)
        self.happening = answered(recorded.receipt, recorded.event, answer)
        self._receipt = recorded.receipt
        self._at = timezone.now()

    def joining(self) -> Bound:
        """What joins the payload to the receipt: stored already, or with it."""
        answer = self.answer
        return _TOLD.bound(
            self.payload, self._at, answer.status, answer.code, answer.is_final, self._receipt.pk
        )

    def keep(self) -> None:
        """In a transaction of its own."""
        try:
            with transaction.atomic():
                entry = appending(self.happening, at=self._at)
                store(self.payload, also=[self.joining(), *entry.writes])
        except IntegrityError:  # something else was told of the event at this moment
            with transaction.atomic():
                store(self.payload, also=[self.joining()])
                append(self.happening, at=self._at)
