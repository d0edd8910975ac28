"""Unverified requests that an administrator had stored for a while, to find out why they cannot be verified."""

from django.db import models

from webhooks.models.source import Source


class CaptureWindow(models.Model):
    """The last capture window of a source. Requests are stored until `ends_at`, at most 20."""

    source = models.OneToOneField(Source, models.CASCADE, related_name="capture_window")
    opened_at = models.DateTimeField()
    ends_at = models.DateTimeField()
    captured = models.PositiveSmallIntegerField(default=0, help_text="requests stored in this window")
    whole_bytes = models.PositiveIntegerField(
        default=0, help_text="bytes of the bodies that are stored whole"
    )

    class Meta:
        default_permissions = ()

    def __str__(self) -> str:
        return f"{self.source} until {self.ends_at:%Y-%m-%d %H:%M} UTC"


class CapturedRequest(models.Model):
    """An unverified request: its headers, with masked values, and its body. It is deleted after 24 hours."""

    source = models.ForeignKey(Source, models.CASCADE, related_name="captured_requests")
    received_at = models.DateTimeField(db_index=True)
    address = models.GenericIPAddressField(null=True)
    reason = models.CharField(max_length=32, help_text="why it could not be verified, a code")
    size = models.PositiveIntegerField(help_text="bytes of the body")
    encrypted = models.BinaryField(help_text="headers and body as JSON, encrypted with SEALING_KEYS")

    class Meta:
        default_permissions = ()

    def __str__(self) -> str:
        return f"{self.reason}, {self.size} bytes"
