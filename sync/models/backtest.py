"""Back-tests: results of a mapping draft on past events."""

import uuid

from django.conf import settings
from django.db import models
from django.utils.translation import gettext_lazy as _

from sync.models.mapping import MappingDraft, MappingVersion


class BackTestState(models.TextChoices):
    """The progress of a back-test."""

    WAITING = "waiting", _("waiting for a worker")
    RUNNING = "running", _("running")
    DONE = "done", _("done")
    FAILED = "failed", _("failed")


class BackTest(models.Model):
    """One run of a mapping draft over the newest events, compared with the version in force.

    It holds no personal data: `fields` counts differences by field, `untestable` by reason, and `examples` name
    attempts and fields. Their values are computed from the encrypted entities whenever a page shows them, so an erasure
    covers them too. `state` follows the job of the back-test.
    """

    uuid = models.UUIDField(unique=True, default=uuid.uuid4)
    draft = models.ForeignKey(MappingDraft, models.PROTECT, related_name="backtests")
    base = models.ForeignKey(
        MappingVersion, models.PROTECT, null=True, related_name="+", db_index=False, help_text="compared with"
    )
    requested_count = models.PositiveSmallIntegerField(help_text="events that can be tested")
    requested_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.PROTECT, related_name="+", db_index=False
    )
    requested_at = models.DateTimeField()
    ended_at = models.DateTimeField(null=True)
    state = models.CharField(max_length=8, choices=BackTestState, default=BackTestState.WAITING)
    ended_by = models.CharField(max_length=12, blank=True, help_text="enough, no-more, time or over-budget")
    read_count = models.PositiveIntegerField(default=0, help_text="events")
    oldest_at = models.DateTimeField(null=True, help_text="when the oldest of them was received")
    newest_at = models.DateTimeField(null=True)
    counts = models.JSONField(default=dict, help_text="tested events by outcome")
    untestable = models.JSONField(default=dict, help_text="other events by reason")
    fields = models.JSONField(default=dict, help_text="how often each field differs")
    examples = models.JSONField(default=list)

    class Meta:
        default_permissions = ()

    def __str__(self) -> str:
        return f"back-test {self.pk}"

    @property
    def tested_count(self) -> int:
        """Return how many events were tested."""
        return sum(self.counts.values())

    @property
    def is_open(self) -> bool:
        """True if it waits or runs."""
        return self.state in (BackTestState.WAITING, BackTestState.RUNNING)
