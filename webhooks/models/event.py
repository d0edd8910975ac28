"""The stored fact that something changed at a source."""

from django.db import models
from django.utils.translation import gettext_lazy as _

from webhooks.catalogue.reference import new_uuid, to_reference
from webhooks.models.payload import indexes_where_set, payload_key
from webhooks.models.source import Source
from webhooks.models.subject_key import SubjectKey
from webhooks.models.subject_key_store import subject_key


class State(models.TextChoices):
    """Where a delivery stands; of an event, the worst of its deliveries (the order here, from bad to good)."""

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


def worst(states: list[str]) -> str:
    """The state that an event shows for the states of its deliveries; `ignored` where it has none."""
    order: list[str] = list(State.values)
    return min(states, key=order.index, default=State.IGNORED)


class Event(models.Model):
    """Immutable but for `state` and `code`, which the commit that settles a delivery keeps."""

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
    is_signed = models.BooleanField(help_text="verified when it came; otherwise it is only a hint")
    digest = models.BinaryField(max_length=32, help_text="SHA-256 of the raw body")
    payload = payload_key()
    received_at = models.DateTimeField()
    state = models.CharField(max_length=12, choices=State, default=State.PENDING)
    code = models.CharField(max_length=48, blank=True, help_text="why, in the words of the catalogue")

    class Meta:
        default_permissions = ("view",)
        permissions = [
            ("replay_event", "Can replay events"),
            ("download_event", "Can download the event history"),
            ("view_contents", "Can see payload contents"),
        ]
        constraints = [
            models.UniqueConstraint("source", "event_id", name="event_id_once_a_source"),
        ]
        indexes = [
            # Ascending, and read backwards: new rows go to the end, and fill the pages. They serve the list of events:
            # unfiltered, by state, of one entity (erasure and search too), of one source.
            models.Index(fields=["received_at", "id"], name="event_received"),
            models.Index(fields=["state", "received_at", "id"], name="event_state"),
            models.Index(fields=["entity_id", "received_at", "id"], name="event_entity"),
            models.Index(fields=["source", "received_at", "id"], name="event_source"),
            *indexes_where_set("event", "payload"),
        ]

    _key: SubjectKey | None = None

    def __str__(self) -> str:
        return self.reference

    @property
    def key(self) -> SubjectKey:
        """What seals everything that is kept of this event. Looked up where whoever loaded the event did not set it."""
        if self._key is None:
            self._key = subject_key(self.source_id, self.entity_type, self.entity_id)
        return self._key

    @key.setter
    def key(self, key: SubjectKey) -> None:
        self._key = key

    @property
    def reference(self) -> str:
        """What people and machines quote: the UUID in 26 Crockford base-32 characters."""
        return to_reference(self.uuid)

    @property
    def stream(self) -> str:
        """Its stream of the audit log."""
        return f"event:{self.reference}"
