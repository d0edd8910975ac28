"""Base of the models that a person can pause."""

from django.conf import settings
from django.db import models


class Pausable(models.Model):
    """A source, a route or a connection. While it is paused, events are stored but not delivered."""

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
    pause_until = models.DateTimeField(
        null=True, editable=False, help_text="when it resumes by itself; empty: a person resumes it"
    )
    resumed_at = models.DateTimeField(
        null=True, editable=False, help_text="until all waiting deliveries are released"
    )

    class Meta:
        abstract = True
