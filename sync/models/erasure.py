"""Requests to erase a person's data, and their results."""

import uuid

from django.conf import settings
from django.db import models
from django.utils.translation import gettext_lazy as _


class ErasureState(models.TextChoices):
    """The progress of an erasure."""

    REQUESTED = "requested", _("waiting for a second person")
    CONFIRMED = "confirmed", _("approved, in progress")
    DONE = "done", _("done")
    REFUSED = "refused", _("rejected or withdrawn")


class LegalGround(models.TextChoices):
    """The legal ground for an erasure: Article 17(1) of the GDPR."""

    NOT_NEEDED = "not-needed", _("no longer needed (17(1)(a))")
    CONSENT = "consent-withdrawn", _("consent withdrawn (17(1)(b))")
    OBJECTION = "objection", _("the person objects (17(1)(c))")
    UNLAWFUL = "unlawful", _("unlawfully processed (17(1)(d))")
    OBLIGATION = "legal-obligation", _("a legal obligation to erase (17(1)(e))")
    CHILD = "child", _("collected from a child (17(1)(f))")


class Erasure(models.Model):
    """The erasure of one entity's data: requested by one person, confirmed by another.

    Once it has ended, `entity_id` is the pseudonym: the row does not identify the person any more. `last_event` is the
    newest event that is erased: later events begin a new subject.
    """

    uuid = models.UUIDField(unique=True, default=uuid.uuid4)
    entity_type = models.CharField(max_length=64)
    entity_id = models.CharField(max_length=128)
    sources = models.JSONField(help_text="the keys of the sources that know the entity by this id")
    ground = models.CharField("legal ground", max_length=20, choices=LegalGround)
    case_number = models.CharField(max_length=40, blank=True, help_text="names no person, and stays")
    reason = models.CharField(max_length=500)
    requested_by = models.ForeignKey(settings.AUTH_USER_MODEL, models.PROTECT, related_name="+")
    requested_at = models.DateTimeField()
    decided_by = models.ForeignKey(settings.AUTH_USER_MODEL, models.PROTECT, null=True, related_name="+")
    decided_at = models.DateTimeField(null=True)
    state = models.CharField(max_length=10, choices=ErasureState, default=ErasureState.REQUESTED)
    last_event = models.BigIntegerField(null=True)
    counts = models.JSONField(default=dict, help_text="rows that were deleted or rewritten, by table")
    ended_at = models.DateTimeField(null=True)

    class Meta:
        default_permissions = ("view",)
        permissions = [("erase_subject", "Can erase the stored data of a person")]
        constraints = [
            models.CheckConstraint(
                condition=models.Q(decided_by=None)
                | models.Q(state="refused")
                | ~models.Q(decided_by=models.F("requested_by")),
                name="a_second_person_confirms",
            ),
            models.UniqueConstraint(
                fields=["entity_type", "entity_id"],
                condition=models.Q(state__in=["requested", "confirmed"]),
                name="one_open_erasure",
            ),
        ]
        indexes = [
            models.Index(fields=["entity_id"], name="erasure_entity"),
            models.Index(fields=["id"], condition=models.Q(state="requested"), name="erasure_awaiting"),
        ]

    def __str__(self) -> str:
        return f"erasure {self.pk} of a {self.entity_type}"

    @property
    def stream(self) -> str:
        """Return its stream of the audit log."""
        return f"erasure:{self.pk}"
