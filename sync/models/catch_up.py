"""Catch-ups: scheduled reads of the entities that changed at an identity service."""

from datetime import datetime, timedelta

from django.db import models
from django.utils.translation import gettext_lazy as _

from sync.models.connection import Connection


class CatchUpFailure(models.TextChoices):
    """Codes of a run that did not read its list to the end, in addition to those of a failed request."""

    PAUSED = "connection-paused", _("the connection was paused")
    DISABLED = "connection-disabled", _("the connection was disabled")
    NO_LIST = "no-list", _("the settings of the connection have no list")
    NO_ROUTE = "no-route", _("no route can use the changes")
    NOT_COMPLETE = (
        "list-not-complete",
        _("the list ended with a full page, and its settings do not say that it is complete"),
    )
    SHORT = "list-short", _("the list has fewer items than it says")


class CatchUp(models.Model):
    """How far the entities of one type of an identity connection were caught up with.

    A row exists while the connection is caught up with (`Connection.catch_up_minutes`) and a route of the type can use
    it; without one, what was read is forgotten, and a later one starts at its first run. `starts_at` and `watermark`
    are times of the identity service, all others of the database's clock. What changed before `watermark` was read
    completely and stored. The counts are those of the newest run.
    """

    identity = models.ForeignKey(Connection, models.CASCADE, related_name="catch_ups", db_index=False)
    entity_type = models.CharField(max_length=64)
    created_at = models.DateTimeField()
    starts_at = models.DateTimeField(null=True, help_text="what changed earlier is left out")
    watermark = models.DateTimeField(null=True)
    position = models.JSONField(null=True, help_text="where the list is read further; null: from its start")
    is_running = models.BooleanField(default=False, help_text="a run has begun and not ended")
    began_at = models.DateTimeField(null=True, help_text="the newest run")
    read_at = models.DateTimeField(null=True, help_text="the list was read to its end")
    failing_since = models.DateTimeField(null=True)
    failure = models.CharField(max_length=48, blank=True, help_text="the code of the newest failure")
    listed = models.PositiveIntegerField(default=0)
    made = models.PositiveIntegerField(default=0, help_text="events")
    skipped = models.PositiveIntegerField(
        default=0, help_text="entities that were fetched since their change"
    )

    class Meta:
        default_permissions = ()
        constraints = [
            models.UniqueConstraint("identity", "entity_type", name="one_catch_up_a_type"),
        ]

    def __str__(self) -> str:
        return f"{self.entity_type}: {self.identity}"

    @property
    def next_at(self) -> datetime:
        """Return when the next run is due. What was missed is not caught up."""
        minutes = timedelta(minutes=self.identity.catch_up_minutes or 0)
        return self.created_at if self.began_at is None else self.began_at + minutes

    def is_due(self, at: datetime) -> bool:
        """Return True if a run is due. One that began later than now did so before the clock was set back."""
        return self.next_at <= at or (self.began_at is not None and self.began_at > at)

    @property
    def late_at(self) -> datetime:
        """Return an interval after the list was last read to its end, or the catch-up was switched on."""
        minutes = timedelta(minutes=self.identity.catch_up_minutes or 0)
        return (self.read_at or self.created_at) + minutes


class ChangedEntity(models.Model):
    """An entity that changed, for which a catch-up has yet to make events.

    `changed_at`: by the hub's clock, the latest time at which it can have changed as it was listed.
    """

    catch_up = models.ForeignKey(CatchUp, models.CASCADE, related_name="entities", db_index=False)
    entity_id = models.CharField(max_length=128)
    changed_at = models.DateTimeField()

    class Meta:
        default_permissions = ()
        constraints = [
            models.UniqueConstraint("catch_up", "entity_id", name="changed_entity_once"),
        ]
        indexes = [
            models.Index(fields=["catch_up", "changed_at", "id"], name="changed_entity_oldest"),
        ]

    def __str__(self) -> str:
        return f"changed entity {self.pk}"
