"""What the last test of a connection found."""

from django.db import models

from sync.models.connection import Connection


class ConnectionTest(models.Model):
    """The newest test of a connection, one at a time; `ended_at` is empty while it runs. Steps: see `sync.testing`."""

    connection = models.OneToOneField(Connection, models.CASCADE, primary_key=True, related_name="test")
    begun_at = models.DateTimeField()
    ended_at = models.DateTimeField(null=True)
    is_good = models.BooleanField(default=False)
    steps = models.JSONField(default=list)

    class Meta:
        default_permissions = ()

    def __str__(self) -> str:
        return f"test of {self.connection}"
