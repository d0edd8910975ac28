"""The audit log's one table. Rows are inserted and read; the database itself refuses anything else."""

from django.db import models


class Entry(models.Model):
    """One thing that happened. `body` is canonical JSON (see `audit.canonical`) and holds no personal data.

    The columns beside it repeat what `body` says, so that it can be found; `body` is what counts.
    """

    stream = models.CharField(
        max_length=80, help_text="what it is about: event:…, delivery:…, person:…, setting:…"
    )
    at = models.DateTimeField()
    action = models.CharField(max_length=64)
    actor = models.CharField(max_length=80, help_text="system, source:<slug>, or person:<id>")
    body = models.TextField()

    class Meta:
        verbose_name_plural = "entries"
        default_permissions = ("view",)
        permissions = [("download_entry", "Can download the audit log")]
        indexes = [
            models.Index("stream", "id", name="audit_entry_stream"),
            models.Index(models.F("at").desc(), models.F("id").desc(), name="audit_entry_at"),
            models.Index("action", models.F("at").desc(), models.F("id").desc(), name="audit_entry_action"),
            models.Index("actor", models.F("at").desc(), models.F("id").desc(), name="audit_entry_actor"),
        ]

    def __str__(self) -> str:
        return f"{self.action} by {self.actor}"
