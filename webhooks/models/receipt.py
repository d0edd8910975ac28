"""Requests of sources: accepted ones with their answers, and refused ones."""

from datetime import datetime
from functools import cached_property

from django.db import models

from config_schema.codes.reference import new_uuid, to_reference
from database.lookups.text_ends import UuidEnd
from database.row_ids import id_bound
from webhooks.models.event import Event
from webhooks.models.payload import Payload, indexes_where_set, payload_foreign_key
from webhooks.models.source import Source

# Of the rows of `Refusal` that are answered handshakes.
HANDSHAKE_CODE = "handshake"

# Of a request that shows its own reference.
OWN_REFERENCE = models.Q(event__isnull=True, uuid__isnull=False)


class Receipt(models.Model):
    """One verified HTTP request and its answer, byte for byte.

    Ten copies of one webhook are ten receipts of one event. A verified request without a usable webhook has no event.
    A request with several events has none either: the events name it (`batch_events`).
    """

    uuid = models.UUIDField(unique=True, default=new_uuid)
    source = models.ForeignKey(Source, models.PROTECT, related_name="+", db_index=False, db_constraint=False)
    event = models.ForeignKey(Event, models.PROTECT, null=True, related_name="receipts", db_constraint=False)
    payload = payload_foreign_key()
    verified_by = models.CharField(max_length=48, help_text="the scheme, and the secret's number")
    address = models.GenericIPAddressField(null=True)
    size = models.PositiveIntegerField()
    received_at = models.DateTimeField()
    answered_at = models.DateTimeField(null=True)
    status = models.PositiveSmallIntegerField(null=True, help_text="the HTTP status of the answer")
    code = models.CharField(max_length=48, blank=True)
    is_final = models.BooleanField(default=False, help_text="the outcome in the answer will not change")
    event_count = models.PositiveSmallIntegerField(
        null=True, help_text="the number of events in the request, if it had several"
    )
    is_repeat = models.BooleanField(default=False, help_text="the event was stored already")
    answer = payload_foreign_key()

    class Meta:
        constraints = [id_bound("receipt")]
        default_permissions = ("view",)
        indexes = [
            models.Index(fields=["received_at", "id"], name="receipt_received"),
            # Partial ones, for lists: an accepted webhook has no entry in them.
            models.Index(
                fields=["received_at", "id", "source"],
                condition=models.Q(is_repeat=True),
                name="receipt_repeat",
            ),
            models.Index(
                fields=["received_at", "id", "source"],
                condition=models.Q(event__isnull=True),
                name="receipt_unusable",
            ),
            # By the end of its own reference, which only a request without an event shows. The second condition, which
            # always holds, lets PostgreSQL use the index for no other query.
            models.Index(UuidEnd("uuid"), condition=OWN_REFERENCE, name="receipt_reference_end"),
            *indexes_where_set("receipt", "payload", "answer"),
        ]

    def __str__(self) -> str:
        return self.reference

    @property
    def reference(self) -> str:
        """The event's reference, or the receipt's own if it has no event."""
        return self.event.reference if self.event else self.own_reference

    @cached_property
    def own_reference(self) -> str:
        """The reference of this request, which audit entries name."""
        return to_reference(self.uuid)

    def set_answer(self, answer: Payload, at: datetime, status: int, code: str, *, is_final: bool) -> None:
        """Set the answer and its time. Stores nothing."""
        self.answer, self.answered_at = answer, at
        self.status, self.code, self.is_final = status, code, is_final


class Refusal(models.Model):
    """Refused requests with time and address, without a body. Requests of the same kind and minute share a row.

    Answered handshakes have rows here too, with the code HANDSHAKE_CODE: like refusals, they make no event, anyone can
    send them, and their number is bounded.

    `header_names` are the names of headers of the first request of the row.
    """

    source = models.ForeignKey(Source, models.SET_NULL, null=True, related_name="refusals", db_index=False)
    code = models.CharField(max_length=48)
    reason = models.CharField(max_length=32, blank=True, help_text="why it could not be verified, a code")
    address = models.GenericIPAddressField(null=True)
    size = models.PositiveIntegerField(null=True, help_text="bytes of the body, where known")
    status = models.PositiveSmallIntegerField(null=True, help_text="the HTTP status of the last answer")
    header_names = models.JSONField(default=list, help_text="names only, never values")
    bucket = models.CharField(
        max_length=160, unique=True, help_text="source, code, reason, address and minute"
    )
    first_at = models.DateTimeField()
    last_at = models.DateTimeField()
    times = models.PositiveIntegerField(default=1)

    class Meta:
        constraints = [id_bound("refusal")]
        default_permissions = ("view",)
        indexes = [models.Index(models.F("last_at").desc(), models.F("id").desc(), name="refusal_last")]

    def __str__(self) -> str:
        return f"{self.code} from {self.address}"
