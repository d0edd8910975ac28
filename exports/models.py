"""Exports of the event history as evidence, and the people whose data each of them contains."""

import uuid
from collections.abc import Mapping
from pathlib import Path

from django.conf import settings
from django.db import models
from django.utils.translation import gettext_lazy
from django.utils.translation import gettext_lazy as _


class ExportState(models.TextChoices):
    """The state of an export. `expired`: it was finished, and its file has been deleted."""

    AWAITING = "awaiting", _("waiting for a second person")
    WAITING = "waiting", _("waiting")
    RUNNING = "running", _("running")
    DONE = "done", _("done")
    CANCELLED = "cancelled", _("cancelled")
    FAILED = "failed", _("failed")
    EXPIRED = "expired", _("expired")


class TableFormat(models.TextChoices):
    """The format of the readable table that an export contains in addition to the evidence."""

    NONE = "none", _("JSON Lines only: complete, for programs")
    CSV = (
        "csv",
        _("with CSV for spreadsheets: texts that could be read as a formula start with an apostrophe"),
    )
    RAW = "csv-raw", _("with CSV for programs: texts are unchanged")
    XLSX = "xlsx", _("with XLSX, up to 1,048,575 events")


TABLE_LABELS: Mapping[str, tuple[object, object]] = {
    TableFormat.NONE: (
        gettext_lazy("No table"),
        gettext_lazy("Only the events and their proof, for programs."),
    ),
    TableFormat.CSV: (
        gettext_lazy("CSV for spreadsheets"),
        gettext_lazy("Texts that a spreadsheet could read as a formula start with an apostrophe."),
    ),
    TableFormat.RAW: (gettext_lazy("CSV for programs"), gettext_lazy("All texts are unchanged.")),
    TableFormat.XLSX: (gettext_lazy("Excel (XLSX)"), gettext_lazy("At most 1,048,575 events.")),
}


def table_label(table: str) -> str:
    """Return the label of a table format."""
    return str(TABLE_LABELS[table][0])


class Export(models.Model):
    """One export: its requester and reason, its content, its progress and its result.

    `filter` is resolved (see `sync.search.event_filter`). `progress` is the point at which a killed run resumes;
    only the run that holds the job writes it. `state` follows the job. `register_key`, which is encrypted, makes
    the pseudonyms of the people in the export (see `ExportedPerson`).
    """

    uuid = models.UUIDField(unique=True, default=uuid.uuid4)
    requested_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.PROTECT, null=True, related_name="+", help_text="empty: by command"
    )
    approved_by = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        models.PROTECT,
        null=True,
        related_name="+",
        help_text="the second person, who approved more than EXPORT_LIMIT events",
    )
    approved_at = models.DateTimeField(null=True)
    reason = models.CharField(max_length=500)
    filter = models.JSONField(default=dict)
    table = models.CharField(max_length=8, choices=TableFormat, default=TableFormat.CSV)
    state = models.CharField(max_length=10, choices=ExportState, default=ExportState.WAITING)
    created_at = models.DateTimeField()
    started_at = models.DateTimeField(null=True)
    ended_at = models.DateTimeField(null=True)
    snapshot_at = models.DateTimeField(null=True, help_text="the time of the database state that it shows")
    first_segment = models.BigIntegerField(null=True, help_text="empty: filtered, by streams")
    segments = models.BigIntegerField(null=True, help_text="sealed segments that its checkpoint counts")
    total = models.PositiveBigIntegerField(null=True, help_text="events in it")
    position = models.PositiveBigIntegerField(default=0, help_text="events written so far")
    progress = models.JSONField(default=dict)
    counts = models.JSONField(default=dict, help_text="rows of each file")
    size = models.PositiveBigIntegerField(null=True, help_text="bytes of the archive")
    sha256 = models.CharField(max_length=64, blank=True, help_text="of the archive")
    failure = models.CharField(max_length=200, blank=True)
    expires_at = models.DateTimeField(null=True)
    register_key = models.BinaryField()

    class Meta:
        default_permissions = ("view",)
        permissions = [("request_export", "Can create and download exports")]
        constraints = [
            models.CheckConstraint(
                condition=models.Q(approved_by=None) | ~models.Q(approved_by=models.F("requested_by")),
                name="a_second_person_approves_it",
            ),
        ]
        indexes = [
            models.Index(
                fields=["id"], condition=models.Q(state__in=["waiting", "running"]), name="export_open"
            ),
            models.Index(fields=["id"], condition=models.Q(state="awaiting"), name="export_awaiting"),
            models.Index(fields=["expires_at"], condition=models.Q(state="done"), name="export_expires"),
        ]

    def __str__(self) -> str:
        return f"export {self.pk}"

    @property
    def stream(self) -> str:
        """Return the export's stream of the audit log."""
        return f"export:{self.uuid}"

    @property
    def actor(self) -> str:
        """Return the requester as the audit log names people."""
        return f"person:{self.requested_by_id}" if self.requested_by_id else "system"

    @property
    def needs_approval(self) -> bool:
        """Return True if a person may not have so many events without a second person. A command may."""
        is_large = (self.total or 0) > settings.EXPORT_LIMIT
        return is_large and self.requested_by_id is not None and self.approved_by_id is None

    @property
    def table_name(self) -> str:
        """Return the file name of the readable table; empty if none was requested."""
        return {"none": "", "xlsx": "events.xlsx"}.get(self.table, "events.csv")

    @property
    def folder(self) -> Path:
        """Return the folder in which the export is being written."""
        return Path(settings.EXPORT_FOLDER) / str(self.uuid)

    @property
    def archive(self) -> Path:
        """Return the path of the file that is downloaded."""
        return Path(settings.EXPORT_FOLDER) / f"{self.uuid}.zip"


class ExportedPerson(models.Model):
    """One entity that an export contains, as a pseudonym that only the export's own key can make."""

    # The unique constraint begins with this column and serves as its index.
    export = models.ForeignKey(Export, models.CASCADE, related_name="people", db_index=False)
    pseudonym = models.BinaryField(max_length=16)

    class Meta:
        default_permissions = ()
        constraints = [models.UniqueConstraint(fields=["export", "pseudonym"], name="once_an_export")]

    def __str__(self) -> str:
        return f"a person in export {self.export_id}"
