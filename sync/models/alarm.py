"""Alarms, the notifications about them, and requests to snooze them."""

import uuid

from django.conf import settings
from django.db import models
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _


class AlarmKind(models.TextChoices):
    """The subject of an alarm."""

    SOURCE_SILENT = "source-silent", _("source silent")
    DELIVERIES_LATE = "deliveries-late", _("deliveries late")
    DELIVERIES_DEAD = "deliveries-dead", _("events failed")
    DELIVERIES_HELD = "deliveries-held", _("events held")
    CONNECTION_PAUSED = "connection-paused", _("connection failing")
    OUT_OF_STEP = "out-of-step", _("systems out of step")
    COMPARISON_FAILED = "comparison-failed", _("comparison failed")
    COMPARISON_LATE = "comparison-late", _("comparison late")
    CATCH_UP_LATE = "catch-up-late", _("catch-up late")
    IDS_CHANGED = "ids-changed", _("ids of a target changed")
    CERTIFICATE_ENDING = "certificate-ending", _("client certificate expires soon")
    CERTIFICATE_EXPIRED = "certificate-expired", _("client certificate expired")
    AUDIT_UNSEALED = "audit-unsealed", _("audit log not sealed")
    AUDIT_LATE = "audit-late", _("audit entries sealed late")
    AUDIT_FOREIGN_ROWS = "audit-foreign-rows", _("foreign rows in the audit log")
    AUDIT_UNANCHORED = "audit-unanchored", _("checkpoints not delivered")
    AUDIT_BROKEN = "audit-broken", _("audit log changed")
    AUDIT_UNCHECKED = "audit-unchecked", _("audit log not checked")
    AUDIT_UNREAD = "audit-unread", _("nobody can read the audit log")
    LOGINS_FAILING = "logins-failing", _("failed logins")
    ADDRESSES_UNREADABLE = "addresses-unreadable", _("client addresses not readable")
    BREAK_GLASS = "break-glass", _("break-glass command used")


class Alarm(models.Model):
    """A condition that needs attention, from the check that found it to the check that found it resolved.

    An open alarm has no `ended_at`. The database allows one open alarm for a kind and a subject: however many processes
    check, one raises it.
    """

    key = models.UUIDField(unique=True, default=uuid.uuid4, help_text="its id in addresses and messages")
    kind = models.CharField(max_length=20, choices=AlarmKind)
    subject = models.CharField(
        max_length=40, blank=True, help_text="source:…, connection:…, route:…, or all of them"
    )
    name = models.CharField(
        max_length=120, blank=True, help_text="of the subject, as it was called when this began"
    )
    began_at = models.DateTimeField(help_text="when the condition began")
    count = models.PositiveIntegerField(default=0, help_text="at the last evaluation; counted up to 10,001")
    peak = models.PositiveIntegerField(default=0, db_default=0, help_text="the highest count")
    limit_seconds = models.PositiveIntegerField(null=True, help_text="the threshold that was exceeded")
    raised_at = models.DateTimeField()
    ended_at = models.DateTimeField(null=True)
    snoozed_until = models.DateTimeField(null=True, help_text="no notifications before this time")

    class Meta:
        default_permissions = ("view",)
        permissions = [("snooze_alarm", "Can snooze alarms")]
        constraints = [
            models.UniqueConstraint(
                fields=["kind", "subject"], condition=models.Q(ended_at=None), name="one_open_alarm"
            ),
        ]
        indexes = [
            models.Index(fields=["kind", "subject", "ended_at"], name="alarm_history"),
        ]

    def __str__(self) -> str:
        label = str(AlarmKind(self.kind).label)
        return f"{label}: {self.name}" if self.name else label

    @property
    def stream(self) -> str:
        """Return its stream of the audit log."""
        return f"alarm:{self.pk}"

    @property
    def highest_count(self) -> int:
        """Return its peak. An alarm of an earlier version has only the count of the last evaluation."""
        return max(self.peak, self.count)


class Snooze(models.Model):
    """A person's request to snooze an alarm, with a reason."""

    alarm = models.ForeignKey(Alarm, models.CASCADE, related_name="snoozes")
    requested_by = models.ForeignKey(settings.AUTH_USER_MODEL, models.PROTECT, related_name="+")
    reason = models.CharField(max_length=500)
    created_at = models.DateTimeField()
    until = models.DateTimeField()

    class Meta:
        default_permissions = ()

    def __str__(self) -> str:
        return f"snoozed until {self.until:%Y-%m-%d %H:%M} UTC: {self.reason}"


class NotificationChannel(models.TextChoices):
    """A way to notify people and their machines."""

    EMAIL = "email", _("e-mail")
    WEBHOOK = "webhook", _("webhook")


class NotificationKind(models.TextChoices):
    """The change of an alarm that a notification reports."""

    RAISED = "raised", _("raised")
    REMINDED = "reminded", _("still active after the snooze")
    ENDED = "ended", _("over")


class NotificationState(models.TextChoices):
    """The delivery state of a notification."""

    WAITING = "waiting", _("waits")
    SENT = "sent", _("sent")
    GIVEN_UP = "given-up", _("given up")


class Notification(models.Model):
    """One message about one alarm on one channel, written in the commit that changes the alarm.

    A process claims it by counting an attempt and moving `due_at` forward, so a process that dies delays it by minutes
    only. The notification may then be sent twice; it contains `key`, so that a receiver can recognise the repeat.
    """

    alarm = models.ForeignKey(Alarm, models.CASCADE, related_name="notifications")
    key = models.UUIDField(unique=True, default=uuid.uuid4)
    channel = models.CharField(max_length=8, choices=NotificationChannel)
    kind = models.CharField(max_length=8, choices=NotificationKind)
    state = models.CharField(max_length=8, choices=NotificationState, default=NotificationState.WAITING)
    attempts = models.PositiveSmallIntegerField(default=0)
    due_at = models.DateTimeField()
    sent_at = models.DateTimeField(null=True)
    failure = models.CharField(max_length=200, blank=True, help_text="of the last attempt to send")

    class Meta:
        default_permissions = ()
        indexes = [
            models.Index(
                fields=["channel", "id"],
                condition=models.Q(state=NotificationState.WAITING),
                name="notification_waiting",
            ),
        ]

    def __str__(self) -> str:
        names = {"kind": self.get_kind_display(), "channel": self.get_channel_display()}
        return gettext("%(kind)s by %(channel)s") % names
