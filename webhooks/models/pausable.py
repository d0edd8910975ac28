"""Base of the models that a person can pause."""

from django.conf import settings
from django.db import models


class Pausable(models.Model):
    """A source or route. While it is paused, events are stored but not delivered."""

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
        null=True, editable=False, help_text="until all waiting deliveries are released"
    )

    class Meta:
        abstract = True
