"""What a person can pause."""

from django.conf import settings
from django.db import models


class Pausable(models.Model):
    """What comes this way is kept and not delivered while it is paused; who paused it, and why."""

    paused_at = models.DateTimeField(
        null=True, editable=False, help_text="events are stored and not delivered"
    )
    paused_by = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        models.SET_NULL,
        null=True,
        editable=False,
        related_name="+",
        db_index=False,
    )
    pause_reason = models.CharField(max_length=500, blank=True, default="", editable=False)
    resumed_at = models.DateTimeField(
        null=True, editable=False, help_text="until all that waited has been released"
    )

    class Meta:
        abstract = True
