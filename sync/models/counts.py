"""Counts by the hour in which something arrived or was sent: what pages read in place of the events themselves.

The worker keeps them (see `sync.statistics`). They can be made anew from the events at any time.
"""

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta

from django.db import models

from sync.models.connection import Connection
from webhooks.models import Source, State


class CountedHour(models.Model):
    """One hour that was counted, or will be. `version` moves on with each count: of two that ran at once, one counts.

    `open` are the events of it whose counts still change by themselves.
    """

    begins_at = models.DateTimeField(primary_key=True)
    version = models.PositiveIntegerField(default=0)
    counted_at = models.DateTimeField(null=True, help_text="just before its first row was read")
    seconds = models.FloatField(default=0.0, help_text="how long it took")
    open = models.PositiveIntegerField(default=0)

    class Meta:
        default_permissions = ()
        indexes = [
            models.Index(fields=["counted_at"], condition=models.Q(open__gt=0), name="counted_hour_open"),
        ]

    def __str__(self) -> str:
        return f"{self.begins_at:%Y-%m-%d %H}:00 UTC"


class CountMark(models.Model):
    """What was counted of this hour is not so any more. Written in the commit that makes it so; never changed."""

    hour = models.DateTimeField()

    class Meta:
        default_permissions = ()

    def __str__(self) -> str:
        return f"{self.hour:%Y-%m-%d %H}:00 UTC"


class EventCount(models.Model):
    """How many events an hour brought that are in a state now. Types that nothing here knows are counted together."""

    hour = models.DateTimeField()
    source = models.ForeignKey(Source, models.CASCADE, related_name="+", db_index=False)
    entity_type = models.CharField(max_length=64)
    event_type = models.CharField(max_length=64)
    state = models.CharField(max_length=12, choices=State)
    number = models.PositiveIntegerField()

    class Meta:
        default_permissions = ()
        constraints = [
            models.UniqueConstraint(
                "hour", "source", "entity_type", "event_type", "state", name="event_count_once"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.number} {self.state}"


class FailureCount(models.Model):
    """How many deliveries of events of this hour are dead now, by where they failed and why."""

    hour = models.DateTimeField()
    connection = models.ForeignKey(Connection, models.CASCADE, related_name="+", db_index=False)
    code = models.CharField(max_length=48, blank=True)
    number = models.PositiveIntegerField()

    class Meta:
        default_permissions = ()
        constraints = [models.UniqueConstraint("hour", "connection", "code", name="failure_count_once")]

    def __str__(self) -> str:
        return f"{self.number} {self.code}"


class CallCount(models.Model):
    """The requests to a system that began in an hour: how many, how many it failed, and how long they took."""

    hour = models.DateTimeField()
    connection = models.ForeignKey(Connection, models.CASCADE, related_name="+", db_index=False)
    number = models.PositiveIntegerField()
    failed = models.PositiveIntegerField(default=0, help_text="by the system's own fault")
    durations = models.JSONField(default=list, help_text="calls in each interval of the latency histogram")
    usual_p95 = models.FloatField(null=True, help_text="seconds, of the week before")
    last_success_at = models.DateTimeField(
        null=True, help_text="when the newest began that was answered well"
    )

    class Meta:
        default_permissions = ()
        constraints = [models.UniqueConstraint("connection", "hour", name="call_count_once")]
        indexes = [models.Index(fields=["hour"], name="call_count_hour")]

    def __str__(self) -> str:
        return f"{self.number} requests"


class RefusalCount(models.Model):
    """How many requests of an hour did not pass the gate. Never less than it was: refusals are kept in small number."""

    hour = models.DateTimeField()
    source = models.ForeignKey(Source, models.CASCADE, null=True, related_name="+", db_index=False)
    code = models.CharField(max_length=48)
    number = models.PositiveIntegerField()

    class Meta:
        default_permissions = ()
        indexes = [models.Index(fields=["hour"], name="refusal_count_hour")]

    def __str__(self) -> str:
        return f"{self.number} {self.code}"


HOUR = timedelta(hours=1)


def start_of_hour(moment: datetime) -> datetime:
    """When the hour began in which it lies."""
    return moment.astimezone(UTC).replace(minute=0, second=0, microsecond=0)


def mark_hours_for_recount(moments: Iterable[datetime]) -> None:
    """What was counted of the hours of these moments changes with this transaction. No statement for none.

    A mark is a row of its own, so that nobody waits for anybody.
    """
    hours = sorted({start_of_hour(each) for each in moments})
    if hours:
        CountMark.objects.bulk_create([CountMark(hour=each) for each in hours])
