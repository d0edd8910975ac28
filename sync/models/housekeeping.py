"""When periodic work is due next, and what retention deleted."""

from django.db import models


class RetentionCategory(models.TextChoices):
    """A kind of what is kept for a time."""

    PAYLOADS = "payloads", "payloads"
    CALLS = "calls", "calls"
    EVENTS = "events", "events"
    REFUSALS = "refusals", "refusals"
    ALARMS = "alarms", "alarms"


class Pruning(models.Model):
    """One run over one kind: what is older than `up_to` was deleted, but for what was open. Kept in the commits that
    delete. `ended_at` comes with the entry of the audit log; a run that was cut off gets both from the next one.
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


class Periodic(models.Model):
    """One kind of periodic work (see `sync.execution.periodic`). Moving `due_at` on by compare-and-set is taking it."""

    name = models.CharField(max_length=50, primary_key=True)
    due_at = models.DateTimeField()
    ended_at = models.DateTimeField(null=True, blank=True, help_text="When it last ran to its end.")

    class Meta:
        default_permissions = ("view",)
        verbose_name_plural = "periodic work"

    def __str__(self) -> str:
        return self.name
