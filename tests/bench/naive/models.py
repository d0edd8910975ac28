"""One row for a webhook, one for its delivery."""

from django.db import models


class Event(models.Model):
    """A webhook as it was received."""

    entity_id = models.CharField(max_length=128)
    body = models.TextField()
    received_at = models.DateTimeField(auto_now_add=True)


class Attempt(models.Model):
    """The request that was sent for an event, and its response."""

    event = models.ForeignKey(Event, models.CASCADE)
    status = models.PositiveSmallIntegerField()
    sent = models.JSONField()
    ended_at = models.DateTimeField(auto_now_add=True)
