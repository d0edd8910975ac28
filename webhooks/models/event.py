"""Events: a source's stored reports that an entity has changed."""

from datetime import datetime
from functools import cached_property

from django.db import models
from django.db.models.functions import Lower, Upper
from django.utils.translation import gettext_lazy as _

from config_schema.codes.reference import new_uuid, to_reference
from config_schema.codes.trace_context import OWN_FLAGS, Trace, stored_trace
from database.lookups.text_ends import UuidEnd
from database.row_ids import id_bound
from webhooks.models.payload import indexes_where_set, payload_foreign_key
from webhooks.models.source import Source
from webhooks.models.subject_key import SubjectKey
from webhooks.models.subject_key_store import subject_key


class State(models.TextChoices):
    """The state of a delivery. The state of an event follows from its deliveries: see `event_state`."""

    DEAD = "dead", _("failed")
    HELD = "held", _("held")
    RETRYING = "retrying", _("retrying")
    RUNNING = "running", _("running")
    PENDING = "pending", _("pending")
    CLOSED = "closed", _("closed")
    SUPERSEDED = "superseded", _("superseded")
    IGNORED = "ignored", _("ignored")
    UNCHANGED = "unchanged", _("unchanged")
    SUCCEEDED = "succeeded", _("succeeded")


_ORDER: list[str] = [
    *(State.DEAD, State.HELD, State.RETRYING, State.RUNNING, State.PENDING, State.CLOSED),
    # A delivery that had nothing to do does not hide that another one changed a record.
    *(State.SUCCEEDED, State.UNCHANGED, State.IGNORED, State.SUPERSEDED),
]


def event_state(states: list[str]) -> str:
    """Return the state of an event from the states of its deliveries, `ignored` if it has none.

    The worst failure decides, then what is still open; otherwise `succeeded` comes before `unchanged`, `ignored` and
    `superseded`.
    """
    return min(states, key=_ORDER.index, default=State.IGNORED)


class EventOrigin(models.TextChoices):
    """What made an event. One that is not a webhook has no receipt, and belongs to the source of a route."""

    WEBHOOK = "webhook", _("a webhook")
    COMPARISON = "comparison", _("a comparison")
    CATCH_UP = "catch-up", _("a catch-up")


# Of an id that neither its lower-case nor its upper-case spelling equals.
IN_MIXED_CASE = ~models.Q(entity_id=Lower("entity_id")) & ~models.Q(entity_id=Upper("entity_id"))


class Event(models.Model):
    """A stored webhook. Only `state` and `code` ever change: the commit that settles a delivery updates them."""

    uuid = models.UUIDField(unique=True, default=new_uuid)
    source = models.ForeignKey(Source, models.PROTECT, related_name="events", db_index=False)
    event_id = models.CharField(max_length=255, null=True, help_text="the source's own id of the event")
    entity_type = models.CharField(max_length=64)
    entity_id = models.CharField(max_length=128)
    event_type = models.CharField(
        max_length=64, help_text="CREATE, UPDATE, DELETE, or the source's unmapped word"
    )
    occurred_at = models.DateTimeField(null=True)
    occurred_text = models.CharField(max_length=40, blank=True, help_text="the timestamp as it was sent")
    is_signed = models.BooleanField(help_text="verified when received; otherwise it is only a hint")
    digest = models.BinaryField(max_length=32, help_text="SHA-256 of the raw body")
    payload = payload_foreign_key()
    # The receipt of a request with one event names the event instead.
    batch = models.ForeignKey(
        "webhooks.Receipt",
        models.SET_NULL,
        null=True,
        related_name="batch_events",
        db_index=False,
        db_constraint=False,
        help_text="the receipt of the request, if it had several events",
    )
    origin = models.CharField(max_length=12, choices=EventOrigin, default=EventOrigin.WEBHOOK)
    # A number, because the table of requests is above this one: `sync.models.PersonRequest`.
    requested_by = models.BigIntegerField(null=True, help_text="the person's request that made it")
    trace = models.BinaryField(
        max_length=17,
        null=True,
        help_text="trace id and flags of its sender's traceparent; null: its trace id is its UUID",
    )
    received_at = models.DateTimeField()
    language = models.CharField(
        max_length=2,
        blank=True,
        default="",
        help_text="of the answer to its sender; targets are asked for it",
    )
    state = models.CharField(max_length=12, choices=State, default=State.PENDING)
    code = models.CharField(max_length=48, blank=True, help_text="the reason, a code of the catalogue")

    class Meta:
        default_permissions = ("view",)
        permissions = [
            ("replay_event", "Can replay events"),
            ("download_event", "Can download the event history"),
            ("view_contents", "Can see payload contents"),
        ]
        constraints = [
            id_bound("event"),
            models.UniqueConstraint("source", "event_id", name="event_id_once_a_source"),
            models.CheckConstraint(
                condition=models.Q(requested_by=None) | ~models.Q(origin=EventOrigin.WEBHOOK),
                name="nobody_requests_a_webhook",
            ),
        ]
        indexes = [
            # Ascending although the list reads backwards: new rows go to the end and fill the pages of the index. They
            # serve the list of events: unfiltered, by state, by entity (erasure and search too), by source.
            models.Index(fields=["received_at", "id"], name="event_received"),
            models.Index(fields=["state", "received_at", "id"], name="event_state"),
            models.Index(fields=["entity_id", "received_at", "id"], name="event_entity"),
            models.Index(fields=["source", "received_at", "id"], name="event_source"),
            # By the end of a reference, which lists show: one entry of 30 bytes for each event.
            models.Index(UuidEnd("uuid"), name="event_reference_end"),
            # By an id in any case. An id in one case has no entry: its two spellings are looked up by `event_entity`.
            models.Index(Lower("entity_id"), condition=IN_MIXED_CASE, name="event_mixed_case_entity"),
            *indexes_where_set("event", "payload", "batch"),
        ]

    def __str__(self) -> str:
        return self.reference

    @cached_property
    def key(self) -> SubjectKey:
        """The key that encrypts all payloads of this event. Looked up unless it was set."""
        return subject_key(self.source_id, self.entity_type, self.entity_id)

    @cached_property
    def reference(self) -> str:
        """The identifier that people and machines use: the UUID as 26 characters of Crockford's base 32."""
        return to_reference(self.uuid)

    @cached_property
    def earliest_time(self) -> datetime:
        """The time when the event occurred, or the earliest at which its request can have been signed."""
        return self.occurred_at or self.received_at - self.source.signature_window

    @cached_property
    def own_trace(self) -> Trace:
        """The trace of all work on the event: that of its sender, or one that begins with the event."""
        # A trace that begins here is stored nowhere.
        return Trace(self.uuid.hex, OWN_FLAGS) if self.trace is None else stored_trace(bytes(self.trace))

    @property
    def stream(self) -> str:
        """The name of the event's stream in the audit log."""
        return f"event:{self.reference}"
