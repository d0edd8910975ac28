"""Requests to a source that a person had stored for a while: to learn what a sender sends, or why it is refused."""

from datetime import datetime

from django.db import models

from webhooks.models.source import Source
from webhooks.models.subject_key import SubjectKey


class CaptureWindow(models.Model):
    """The open capture window of a source. It has no row once it is closed."""

    source = models.OneToOneField(Source, models.CASCADE, related_name="capture_window")
    opened_at = models.DateTimeField()
    ends_at = models.DateTimeField()

    class Meta:
        default_permissions = ()

    def __str__(self) -> str:
        return f"{self.source} until {self.ends_at:%Y-%m-%d %H:%M} UTC"

    def is_open_at(self, at: datetime) -> bool:
        """True if a request of this time belongs to the window."""
        return self.opened_at <= at < self.ends_at


class CapturedRequest(models.Model):
    """A request to a source: its headers, with masked values, and its body. It is deleted after 24 hours."""

    source = models.ForeignKey(Source, models.CASCADE, related_name="captured_requests")
    received_at = models.DateTimeField(db_index=True)
    address = models.GenericIPAddressField(null=True)
    is_verified = models.BooleanField()
    reason = models.CharField(max_length=32, help_text="why it was refused, a code; empty if it was not")
    size = models.PositiveIntegerField(help_text="bytes of the body as it was received")
    stored_size = models.PositiveIntegerField(help_text="bytes of the body that are stored")
    is_cut = models.BooleanField(help_text="of the body only the beginning, or nothing, is stored")
    key = models.ForeignKey(
        SubjectKey, models.PROTECT, related_name="+", db_index=False, help_text="the key of the source"
    )
    encrypted = models.BinaryField(help_text="headers and body as JSON")

    class Meta:
        default_permissions = ()
        permissions = (("see_learning_requests", "Can see the captured requests of sources"),)

    def __str__(self) -> str:
        return f"{self.reason or 'verified'}, {self.size} bytes"
