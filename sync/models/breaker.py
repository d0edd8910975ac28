"""Whether a remote system is spared for a while, because it does not work."""

from django.db import models

from sync.models.connection import Connection


class Breaker(models.Model):
    """The circuit breaker of a connection. No row, or no `open_until`: closed, everything passes.

    Before `open_until` nothing passes; after it the breaker is half-open: one delivery at a time as a probe, one more
    with each success, until `successes` are enough to close it. Times are of the database's clock.
    """

    connection = models.OneToOneField(Connection, models.CASCADE, primary_key=True, related_name="breaker")
    failures = models.PositiveIntegerField(default=0, help_text="one after the other, while closed")
    openings = models.PositiveSmallIntegerField(default=0, help_text="pauses one after the other")
    successes = models.PositiveSmallIntegerField(default=0, help_text="since the pause ended")
    code = models.CharField(max_length=48, blank=True, help_text="the failure that opened it")
    opened_at = models.DateTimeField(null=True, help_text="the first of these pauses began")
    open_until = models.DateTimeField(null=True)

    class Meta:
        default_permissions = ("view",)

    def __str__(self) -> str:
        return f"breaker of {self.connection}"
