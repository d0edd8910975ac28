"""Table of audit entries. Entries are inserted and read; the database refuses all else."""

from collections.abc import Mapping
from types import MappingProxyType

from django.db import models
from django.db.models.functions import Left, StrIndex

from audit.format.entry_body import entry_body
from database.row_ids import id_bound

# What every webhook does, and what it is about: see `audit.entries.search`.
ROUTINE_ACTIONS = ("attempt.started", "attempt.succeeded", "webhook.answered", "webhook.received")
ROUTINE_STREAM_KINDS = ("event", "delivery")
# A backup was finished.
BACKUP_ACTION = "database.backed-up"


class Entry(models.Model):
    """One entry of the audit log. It holds no personal data.

    All columns but `id` and `leaf` are parts of its body (`audit.format.entry_body`), which is hashed.
    """

    stream = models.CharField(
        max_length=80, help_text="what it is about: event:…, delivery:…, person:…, setting:…"
    )
    at = models.DateTimeField()
    action = models.CharField(max_length=64)
    actor = models.CharField(max_length=80, help_text="system, source:<slug>, or person:<id>")
    details = models.TextField(help_text="canonical JSON: the text that is hashed")
    stream_seq = models.BigIntegerField(help_text="1, 2, 3 … in its stream")
    prev_leaf = models.BinaryField(help_text="of the entry before it in its stream")
    leaf = models.BinaryField(help_text="the hash of its body")

    # Stored text of the columns that have no valid value, by name: see `audit.entries.readable_rows`.
    damaged: Mapping[str, str] = MappingProxyType({})

    class Meta:
        verbose_name_plural = "entries"
        default_permissions = ("view",)
        permissions = [("download_entry", "Can download the audit log")]
        constraints = [
            models.UniqueConstraint(fields=["stream", "stream_seq"], name="one_entry_a_place"),
            # Packed ids have no form for others, so the sealer could not close a segment.
            models.CheckConstraint(condition=models.Q(id__gt=0), name="entry_id_positive"),
            id_bound("entry"),
        ]
        indexes = [
            # Ascending, and read backwards: new rows go to its end, and fill its pages.
            models.Index(fields=["at", "id"], name="audit_entry_at"),
            # The following indexes leave out the entries that every webhook makes, so a webhook writes none of them.
            models.Index(
                "action",
                models.F("at").desc(),
                models.F("id").desc(),
                condition=~models.Q(action__in=ROUTINE_ACTIONS),
                name="audit_entry_seldom",
            ),
            models.Index(
                models.F("at").desc(),
                models.F("id").desc(),
                condition=models.Q(actor__startswith="person:"),
                name="audit_entry_people",
            ),
            models.Index(
                "actor",
                models.F("at").desc(),
                models.F("id").desc(),
                condition=models.Q(actor__startswith="person:"),
                name="audit_entry_person",
            ),
            models.Index(
                Left("stream", StrIndex("stream", models.Value(":")) - 1),
                models.F("at").desc(),
                models.F("id").desc(),
                condition=~models.Q(stream__startswith="event:") & ~models.Q(stream__startswith="delivery:"),
                name="audit_entry_apart",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.action} by {self.actor}"

    @property
    def body(self) -> str:
        """Return the canonical JSON that is hashed. Raises TypeError or ValueError if a column has no such form."""
        return entry_body(
            self.stream, self.at, self.action, self.actor, self.details, self.stream_seq, self.prev_leaf
        )
