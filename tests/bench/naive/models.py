"""One row for what came, one for what was done about it."""

from django.db import models


class Event(models.Model):
    """A webhook as it came."""

    entity_id = models.CharField(max_length=128)
    body = models.TextField()
    received_at = models.DateTimeField(auto_now_add=True)


class Attempt(models.Model):
    """What was sent because of it, and what came back."""

    event = models.ForeignKey(Event, models.CASCADE)
    status = models.PositiveSmallIntegerField()
    sent = models.JSONField()
    ended_at = models.DateTimeField(auto_now_add=True)
