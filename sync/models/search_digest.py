"""The digests by which a person is found: see `sync.search.search_digests`."""

from django.db import models

from database.row_ids import id_bound
from webhooks.models import SubjectKey


class SearchDigest(models.Model):
    """One value by which an entity is found, as a keyed digest, at most twelve of an entity.

    Equal values have equal digests, of any entity: a reader of the database sees who shares a value. Deleted with the
    key of the subject by an erasure, with the last event of the entity by retention, and 180 days after the entity lost
    the value.
    """

    digest = models.BinaryField(max_length=16)
    subject = models.ForeignKey(SubjectKey, models.PROTECT, related_name="+", db_index=False)
    entity_type = models.CharField(max_length=64)
    entity_id = models.CharField(max_length=128)
    superseded_at = models.DateTimeField(
        null=True, help_text="when the entity was found to have lost the value"
    )

    class Meta:
        default_permissions = ()
        constraints = [
            id_bound("searchdigest"),
            models.UniqueConstraint(fields=["subject", "digest"], name="search_digest_once"),
        ]
        indexes = [
            models.Index(fields=["digest", "id"], name="search_digest"),
            models.Index(fields=["entity_id", "entity_type"], name="search_digest_entity"),
            models.Index(
                fields=["superseded_at"],
                condition=models.Q(superseded_at__isnull=False),
                name="search_digest_superseded",
            ),
        ]

    def __str__(self) -> str:
        return f"search digest {self.pk}"
