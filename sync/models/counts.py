"""Counts by the hour of arrival or sending: pages read them in place of the events themselves.

The worker keeps them (see `sync.statistics`). They can be computed again from the events at any time.
"""

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta

from django.db import models

from sync.models.connection import Connection
from webhooks.models import EventOrigin, Source, State


class CountedHour(models.Model):
    """One hour that was counted, or will be. Each count raises `version`: of two concurrent counts, one is stored.

    `open`: its events whose counts still change without a mark.
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
    """A mark that the counts of an hour are out of date, written in the commit that changes them; never updated."""

    hour = models.DateTimeField()

    class Meta:
        default_permissions = ()

    def __str__(self) -> str:
        return f"{self.hour:%Y-%m-%d %H}:00 UTC"


class EventCount(models.Model):
    """The number of events that an hour brought and that are in a state now. Unknown types are counted together."""

    hour = models.DateTimeField()
    source = models.ForeignKey(Source, models.CASCADE, related_name="+", db_index=False)
    entity_type = models.CharField(max_length=64)
    event_type = models.CharField(max_length=64)
    state = models.CharField(max_length=12, choices=State)
    origin = models.CharField(
        max_length=12, choices=EventOrigin, default=EventOrigin.WEBHOOK, db_default=EventOrigin.WEBHOOK
    )
    number = models.PositiveIntegerField()

    class Meta:
        default_permissions = ()
        constraints = [
            models.UniqueConstraint(
                "hour",
                "source",
                "entity_type",
                "event_type",
                "state",
                "origin",
                name="event_count_once_an_origin",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.number} {self.state}"


class FailureCount(models.Model):
    """The number of deliveries of an hour's events that are dead now, by connection and code."""

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
    """The requests to a system that began in an hour: their number, failures and durations."""

    hour = models.DateTimeField()
    connection = models.ForeignKey(Connection, models.CASCADE, related_name="+", db_index=False)
    number = models.PositiveIntegerField()
    failed = models.PositiveIntegerField(default=0, help_text="because of a failure of the system itself")
    durations = models.JSONField(default=list, help_text="calls in each interval of the latency histogram")
    usual_p95 = models.FloatField(null=True, help_text="seconds, of the week before")
    last_success_at = models.DateTimeField(null=True, help_text="when the newest successful call began")

    class Meta:
        default_permissions = ()
        constraints = [models.UniqueConstraint("connection", "hour", name="call_count_once")]
        indexes = [models.Index(fields=["hour"], name="call_count_hour")]

    def __str__(self) -> str:
        return f"{self.number} requests"


class RefusalCount(models.Model):
    """The number of refused requests of an hour. Never lowered, since only the newest refusals are stored."""

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
    """Return the start of the hour of a moment."""
    return moment.astimezone(UTC).replace(minute=0, second=0, microsecond=0)


def mark_hours_for_recount(moments: Iterable[datetime]) -> None:
    """Mark the hours of these moments, whose counts this transaction changes. Runs no statement for none.

    Each mark is a row of its own, so that no transaction waits for another.
    """
    hours = sorted({start_of_hour(moment) for moment in moments})
    if hours:
        CountMark.objects.bulk_create([CountMark(hour=hour) for hour in hours])
