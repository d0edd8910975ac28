"""Runs that link all records of a target again by their external ids."""

import uuid

from django.conf import settings
from django.db import models
from django.utils.translation import gettext_lazy as _

from sync.models.connection import Connection
from sync.models.delivery import Link


class RelinkingState(models.TextChoices):
    """The progress of a run. `ready`: its preview is complete and waits for a person."""

    PREVIEWING = "previewing", _("preparing the preview")
    READY = "ready", _("preview ready")
    LINKING = "linking", _("linking")
    DONE = "done", _("done")
    FAILED = "failed", _("failed")
    CANCELLED = "cancelled", _("cancelled")


class RelinkOutcome(models.TextChoices):
    """What becomes of one link."""

    STAYS = "stays", _("stay")
    RELINKED = "relinked", _("get another record")
    HELD = "held", _("undecided")
    ABSENT = "absent", _("have no record")
    UNCHECKED = "unchecked", _("not checked")


OPEN_RELINKING_STATES = (RelinkingState.PREVIEWING, RelinkingState.READY, RelinkingState.LINKING)


class Relinking(models.Model):
    """One run over the links of a target: first a preview, and then, if a person applies it, the same with changes.

    `counts` are by outcome. `last_link` is the key of the last link that they include, so that a run which was
    interrupted continues there. `problem`: the code of the failure for which it waits.
    """

    uuid = models.UUIDField(unique=True, default=uuid.uuid4)
    connection = models.ForeignKey(Connection, models.CASCADE, related_name="relinkings")
    state = models.CharField(max_length=12, choices=RelinkingState, default=RelinkingState.PREVIEWING)
    reason = models.CharField(max_length=500)
    requested_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.PROTECT, related_name="+", db_index=False
    )
    requested_at = models.DateTimeField()
    applied_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.PROTECT, null=True, related_name="+", db_index=False
    )
    ended_at = models.DateTimeField(null=True)
    counts = models.JSONField(default=dict, help_text="links by outcome")
    last_link = models.BigIntegerField(default=0)
    problem = models.CharField(max_length=48, blank=True)

    class Meta:
        default_permissions = ()
        constraints = [
            models.UniqueConstraint(
                "connection",
                condition=models.Q(state__in=OPEN_RELINKING_STATES),
                name="one_open_relinking_a_connection",
            ),
        ]

    def __str__(self) -> str:
        return f"relinking {self.pk}"

    @property
    def is_open(self) -> bool:
        """True until it has ended or was cancelled."""
        return self.state in OPEN_RELINKING_STATES

    @property
    def is_running(self) -> bool:
        """True while a worker has it, or is to take it."""
        return self.state in (RelinkingState.PREVIEWING, RelinkingState.LINKING)


class RelinkExample(models.Model):
    """A link that gets another record or is undecided: some of each, for the page. Deleted with the link."""

    relinking = models.ForeignKey(Relinking, models.CASCADE, related_name="examples")
    link = models.ForeignKey(Link, models.CASCADE, related_name="+")
    outcome = models.CharField(max_length=12, choices=RelinkOutcome)
    record_before = models.CharField(max_length=255)
    record_after = models.CharField(max_length=255, blank=True)

    class Meta:
        default_permissions = ()

    def __str__(self) -> str:
        return f"{self.outcome}: {self.record_before} → {self.record_after}"
