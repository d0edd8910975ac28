"""Tables of published checkpoints and of verifications of the whole log."""

from django.db import models


class CheckpointChannel(models.Model):
    """A channel for checkpoints: the last one it received, and its failures. Only the newest checkpoint is sent."""

    name = models.CharField(max_length=20, primary_key=True)
    due_at = models.DateTimeField()
    count = models.BigIntegerField(default=0, help_text="the count of the last checkpoint that was sent")
    sent_at = models.DateTimeField(null=True)
    failures = models.PositiveIntegerField(default=0, help_text="since the last success")
    failing_since = models.DateTimeField(null=True)
    failure = models.CharField(max_length=200, blank=True, help_text="of the last attempt to send")

    class Meta:
        default_permissions = ()

    def __str__(self) -> str:
        return self.name


class PublishedCheckpoint(models.Model):
    """A checkpoint that was sent through a channel. Insert only."""

    checkpoint = models.ForeignKey("audit.Checkpoint", models.PROTECT, related_name="publications")
    channel = models.CharField(max_length=20)
    at = models.DateTimeField()

    class Meta:
        default_permissions = ()
        indexes = [models.Index(fields=["channel", "-id"], name="published_by_channel")]

    def __str__(self) -> str:
        return f"{self.checkpoint_id} by {self.channel}"


class Verification(models.Model):
    """A verification of the whole log and its result. Insert only."""

    at = models.DateTimeField()
    segments = models.BigIntegerField(help_text="verified up to this one, where nothing was found")
    entries = models.BigIntegerField()
    seconds = models.FloatField()
    faults = models.PositiveIntegerField(help_text="how many, counted to 100")
    first_fault = models.CharField(max_length=300, blank=True)

    class Meta:
        default_permissions = ("view",)

    def __str__(self) -> str:
        return f"{self.segments} segments, {self.faults} faults"
