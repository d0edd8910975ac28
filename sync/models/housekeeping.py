"""The schedule of periodic work, and records of retention."""

from django.db import models
from django.utils.translation import gettext_lazy as _


class RetentionCategory(models.TextChoices):
    """A category of rows with a retention time of its own."""

    PAYLOADS = "payloads", _("payloads")
    CALLS = "calls", _("calls")
    EVENTS = "events", _("events")
    REFUSALS = "refusals", _("refusals")
    ALARMS = "alarms", _("alarms")


class PruningRun(models.Model):
    """One retention run over one category: rows older than `up_to` were deleted, except rows of open events.

    It is written in the commits that delete. `ended_at` is set with the audit entry; an interrupted run gets both from
    the next one.
    """

    kind = models.CharField(max_length=12, choices=RetentionCategory)
    up_to = models.DateTimeField()
    began_at = models.DateTimeField()
    ended_at = models.DateTimeField(null=True)
    rows = models.PositiveBigIntegerField(default=0)

    class Meta:
        default_permissions = ()
        indexes = [models.Index(fields=["kind", "up_to"], name="pruning_up_to")]

    def __str__(self) -> str:
        return f"{self.kind} up to {self.up_to:%Y-%m-%d %H:%M} UTC"


class PeriodicTask(models.Model):
    """The schedule of one piece of periodic work. A process claims it by moving `due_at` on, by compare-and-set."""

    name = models.CharField(max_length=50, primary_key=True)
    due_at = models.DateTimeField()
    ended_at = models.DateTimeField(null=True, blank=True, help_text="When it last ran to its end.")

    class Meta:
        default_permissions = ("view",)
        verbose_name_plural = "periodic work"

    def __str__(self) -> str:
        return self.name
