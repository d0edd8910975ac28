"""Decisions about records that a comparison found by a value: one by one, and all that are certain in one run."""

import uuid

from django.conf import settings
from django.db import models
from django.utils.translation import gettext_lazy as _

from sync.models.comparison import Comparison
from sync.models.connection import Connection


class MatchChoiceKind(models.TextChoices):
    """A choice of a person that links no record."""

    CREATE = "create", _("gets a new record")
    LEAVE = "leave", _("left as it is")


class MatchChoice(models.Model):
    """A person's choice about a subject whose record was found by a value: it gets a new record, or is left as it is.

    `create` counts until the subject has had a record. It holds no value, and is deleted with the subject.
    """

    identity = models.ForeignKey(Connection, models.PROTECT, related_name="+", db_index=False)
    target = models.ForeignKey(Connection, models.PROTECT, related_name="+", db_index=False)
    entity_type = models.CharField(max_length=64)
    entity_id = models.CharField(max_length=128)
    choice = models.CharField(max_length=8, choices=MatchChoiceKind)
    decided_by = models.ForeignKey(settings.AUTH_USER_MODEL, models.PROTECT, related_name="+", db_index=False)
    decided_at = models.DateTimeField()

    class Meta:
        default_permissions = ()
        constraints = [
            models.UniqueConstraint(
                "entity_id", "entity_type", "identity", "target", name="match_choice_once"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.entity_type} {self.entity_id}: {self.choice}"


class MatchLinkingState(models.TextChoices):
    """The progress of a run. `ready`: its preview is complete; `awaiting`: a second person has to approve it."""

    PREVIEWING = "previewing", _("preparing the preview")
    READY = "ready", _("preview ready")
    AWAITING = "awaiting", _("waiting for a second person")
    LINKING = "linking", _("linking")
    DONE = "done", _("done")
    FAILED = "failed", _("failed")
    CANCELLED = "cancelled", _("cancelled")


OPEN_MATCH_LINKING_STATES = (
    MatchLinkingState.PREVIEWING,
    MatchLinkingState.READY,
    MatchLinkingState.AWAITING,
    MatchLinkingState.LINKING,
)


class MatchOutcome(models.TextChoices):
    """What becomes of one subject. `verified-unique` is linked when the preview is applied."""

    VERIFIED_UNIQUE = "verified-unique", _("the value is verified, equal and unique")
    LINKED = "linked", _("linked")
    AMBIGUOUS = "ambiguous", _("several records have the value")
    SHARED_VALUE = "shared-value", _("several entities have the value, or found the same record")
    UNVERIFIED = "unverified", _("the value is not verified")
    HAS_RECORD = "has-record", _("already has a record")
    RECORD_TAKEN = "record-taken", _("the record is linked to another entity")
    CHANGED = "changed", _("another record, or none, is found now")
    CHOSEN = "chosen", _("a person has decided about it")
    IN_DELIVERY = "in-delivery", _("a delivery has not ended")
    HELD = "held", _("a delivery is held: a person decides about it")
    ERASED = "erased", _("erased")
    UNREADABLE = "unreadable", _("could not be read or mapped")


class MatchLinking(models.Model):
    """One run over the subjects of a comparison whose record was found by a value: a preview, and then, if a person
    applies it, the same again with links.

    `counts` are by outcome: of the preview, and of the links from when it is applied. `position` is where the run
    continues. `problem`: the code of the failure for which it waits, or ended.
    """

    uuid = models.UUIDField(unique=True, default=uuid.uuid4)
    comparison = models.ForeignKey(Comparison, models.CASCADE, related_name="match_linkings", db_index=False)
    state = models.CharField(max_length=12, choices=MatchLinkingState, default=MatchLinkingState.PREVIEWING)
    reason = models.CharField(max_length=500)
    requested_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.PROTECT, related_name="+", db_index=False
    )
    requested_at = models.DateTimeField()
    applied_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.PROTECT, null=True, related_name="+", db_index=False
    )
    applied_at = models.DateTimeField(null=True)
    approved_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.PROTECT, null=True, related_name="+", db_index=False
    )
    ended_at = models.DateTimeField(null=True)
    total = models.PositiveIntegerField(default=0, help_text="subjects that are planned")
    previewed = models.JSONField(default=dict, help_text="subjects by outcome, in the preview")
    counts = models.JSONField(default=dict, help_text="subjects by outcome, in the run as it is now")
    position = models.JSONField(default=dict, help_text="where the run continues")
    read_entities = models.PositiveIntegerField(default=0)
    problem = models.CharField(max_length=48, blank=True)

    class Meta:
        default_permissions = ()
        constraints = [
            models.UniqueConstraint(
                "comparison",
                condition=models.Q(state__in=OPEN_MATCH_LINKING_STATES),
                name="one_open_match_linking",
            ),
            models.CheckConstraint(
                condition=models.Q(approved_by=None) | ~models.Q(approved_by=models.F("applied_by")),
                name="a_second_person_approves_links",
            ),
        ]
        indexes = [models.Index(fields=["comparison", "id"], name="match_linking_of")]

    def __str__(self) -> str:
        return f"match linking {self.pk}"

    @property
    def is_open(self) -> bool:
        """True until it has ended or was cancelled."""
        return self.state in OPEN_MATCH_LINKING_STATES

    @property
    def is_running(self) -> bool:
        """True while a worker has it, or is to take it."""
        return self.state in (MatchLinkingState.PREVIEWING, MatchLinkingState.LINKING)

    @property
    def linkable_count(self) -> int:
        """Return how many subjects the preview would link."""
        return int(self.previewed.get(MatchOutcome.VERIFIED_UNIQUE, 0))


class MatchLinkingMember(models.Model):
    """A subject that a run links if it is still certain then. `value`: digest of the verified value by which its record
    was found. Deleted in the commit that links it, at the end of the run, and with the subject.
    """

    linking = models.ForeignKey(MatchLinking, models.CASCADE, related_name="members", db_index=False)
    entity_id = models.CharField(max_length=128)
    record_id = models.CharField(max_length=255)
    value = models.BinaryField(max_length=16)
    is_shared = models.BooleanField(default=False, help_text="another entity has the value, or the record")

    class Meta:
        default_permissions = ()
        constraints = [
            models.UniqueConstraint("linking", "entity_id", name="match_member_once"),
        ]
        indexes = [
            models.Index(fields=["linking", "value"], name="match_member_value"),
            models.Index(fields=["linking", "record_id"], name="match_member_record"),
            models.Index(fields=["entity_id"], name="match_member_entity"),
        ]

    def __str__(self) -> str:
        return f"{self.entity_id} of match linking {self.linking_id}"
