"""Mappings from entity to record, their versions, and drafts of the next version."""

import json

from django.conf import settings
from django.core.exceptions import ValidationError
from django.db import models
from django.utils.translation import gettext_lazy as _

from sync.planning.mapping_declaration import InvalidMapping, parse_mapping


class Mapping(models.Model):
    """A named declaration: entity fields → record fields. Activating a draft creates a new version."""

    name = models.CharField(max_length=120, unique=True)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["name"]
        permissions = [("activate_mapping", "Can activate drafts and earlier versions of mappings")]

    def __str__(self) -> str:
        return self.name

    def current_version(self) -> "MappingVersion":
        """Return the newest version: the one in force. Raises MappingVersion.DoesNotExist before the first."""
        return self.versions.latest("number")

    @property
    def stream(self) -> str:
        """Return its stream of the audit log."""
        return f"setting:mapping:{self.pk}"


class MappingVersion(models.Model):
    """One state of a mapping, whose declaration never changes: each attempt names the version that it used.

    The newest version is in force from its creation; returning to an earlier one creates a new version that `restores`
    it. `fields_with_value` grows with the first value of each field: see `sync.planning.first_values`.
    """

    mapping = models.ForeignKey(Mapping, models.PROTECT, related_name="versions", db_index=False)
    number = models.PositiveIntegerField()
    declaration = models.JSONField()
    text = models.TextField(blank=True, default="", help_text="the declaration as it was typed")
    created_at = models.DateTimeField(auto_now_add=True)
    made_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.PROTECT, null=True, blank=True, related_name="+", db_index=False
    )
    note = models.CharField(max_length=500, blank=True, default="", help_text="what it changes")
    reason = models.CharField(max_length=500, blank=True, default="", help_text="why it was activated")
    restores = models.ForeignKey(
        "self", models.PROTECT, null=True, blank=True, related_name="+", db_index=False
    )
    fields_with_value = models.JSONField(
        default=list, blank=True, help_text="fields whose path has found a value in an entity"
    )
    fields_to_complete = models.JSONField(
        default=dict,
        blank=True,
        help_text="fields that had been left out, with the time of their first value",
    )

    class Meta:
        ordering = ["-number"]
        constraints = [models.UniqueConstraint("mapping", "number", name="mapping_version_once")]

    def __str__(self) -> str:
        return f"{self.mapping.name}, version {self.number}"

    def clean(self) -> None:
        _validate_declaration(self.declaration)

    @property
    def declaration_text(self) -> str:
        """Return the declaration as it was typed, or formatted if no typed text is stored."""
        return self.text or format_declaration(self.declaration)


class DraftState(models.TextChoices):
    """The state of a draft."""

    OPEN = "open", _("open")
    REPLACED = "replaced", _("replaced by a later draft")
    ACTIVATED = "activated", _("activated")
    DISCARDED = "discarded", _("discarded")


class MappingDraft(models.Model):
    """A declaration that no delivery uses yet. Only `state` and `version` change.

    Saving again creates a new draft in place of the open one, of which a mapping has at most one.
    """

    mapping = models.ForeignKey(Mapping, models.PROTECT, related_name="drafts")
    declaration = models.JSONField()
    text = models.TextField(blank=True, help_text="the declaration as it was typed")
    note = models.CharField(max_length=500, blank=True)
    base = models.ForeignKey(
        MappingVersion,
        models.PROTECT,
        null=True,
        related_name="+",
        db_index=False,
        help_text="the version that was active when it was saved",
    )
    made_by = models.ForeignKey(settings.AUTH_USER_MODEL, models.PROTECT, related_name="+", db_index=False)
    made_at = models.DateTimeField()
    state = models.CharField(max_length=10, choices=DraftState, default=DraftState.OPEN)
    version = models.ForeignKey(
        MappingVersion,
        models.PROTECT,
        null=True,
        related_name="+",
        db_index=False,
        help_text="the version that it became",
    )

    class Meta:
        default_permissions = ()
        constraints = [
            models.UniqueConstraint(
                fields=["mapping"], condition=models.Q(state=DraftState.OPEN), name="one_open_draft"
            ),
            models.CheckConstraint(
                condition=models.Q(state=DraftState.ACTIVATED, version__isnull=False)
                | (~models.Q(state=DraftState.ACTIVATED) & models.Q(version=None)),
                name="activated_means_a_version",
            ),
        ]

    def __str__(self) -> str:
        return f"draft {self.pk} of {self.mapping_id}"

    def clean(self) -> None:
        _validate_declaration(self.declaration)

    @property
    def declaration_text(self) -> str:
        """Return the declaration as it was typed, or formatted if no typed text is stored."""
        return self.text or format_declaration(self.declaration)


def format_declaration(declaration: object) -> str:
    """Return a declaration as indented JSON. (PostgreSQL orders its fields by its own rule, hence `text`.)"""
    return json.dumps(declaration, indent=2, ensure_ascii=False)


def _validate_declaration(declaration: object) -> None:
    try:
        parse_mapping(declaration)
    except InvalidMapping as error:
        raise ValidationError({"declaration": str(error)}) from error
