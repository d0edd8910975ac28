"""Attempts and their outgoing calls: append-only."""

from collections.abc import Mapping
from enum import StrEnum
from typing import Any

from django.db import models
from django.utils.translation import gettext_lazy as _

from config_schema.codes.reference import new_uuid
from database.row_ids import id_bound
from sync.models.connection import Connection
from sync.models.delivery import Delivery, PayloadChoice
from sync.models.mapping import MappingVersion
from sync.models.person_request import PersonRequest
from webhooks.models import indexes_where_set, payload_foreign_key


class AttemptCause(models.TextChoices):
    """The reason for an attempt."""

    WEBHOOK = "webhook", _("the webhook")
    RETRY = "retry", _("a retry")
    REPLAY = "replay", _("a replay")
    RECHECK = "recheck", _("a re-check")
    # The first attempt of an event with this origin. A person's request may have made the event, but it is no replay:
    # it writes what the comparison found to differ.
    COMPARISON = "comparison", _("a comparison")
    CATCH_UP = "catch-up", _("a catch-up")


class AttemptOutcome(models.TextChoices):
    """The outcome of an attempt.

    If its process died: `unknown` if a write was on record, which may have left, or if the attempt is to blame;
    `interrupted` if it had sent nothing that changes the target.
    """

    STARTED = "started", _("started")
    SUCCEEDED = "succeeded", _("succeeded")
    UNCHANGED = "unchanged", _("unchanged")
    SUPERSEDED = "superseded", _("superseded")
    IGNORED = "ignored", _("ignored")
    FAILED = "failed", _("failed")
    HELD = "held", _("held for approval")
    UNKNOWN = "unknown", _("unknown")
    INTERRUPTED = "interrupted", _("interrupted before a write")


SUCCESSFUL_OUTCOMES = (AttemptOutcome.SUCCEEDED, AttemptOutcome.UNCHANGED)
# The process died, so the attempt has no result of its own.
RESULTLESS_OUTCOMES = (AttemptOutcome.UNKNOWN, AttemptOutcome.INTERRUPTED)


class ChangeCategory(models.TextChoices):
    """A category that the mass-change guard of a route counts."""

    REMOVAL = "removal", _("a removal")
    CHANGE = "change", _("a change")


class Finding(StrEnum):
    """A part of what an attempt found: the entity as fetched, the change (before and after), the remote system's
    sentence and field errors.
    """

    ENTITY = "entity"
    CHANGE = "change"
    ANSWER = "answer"


class Attempt(models.Model):
    """One attempt of a delivery. Written when it starts and when it ends, and never again.

    `key` goes out with each of its requests; the idempotency key of a write is built from it and the change.
    """

    # No constraint in the database: see `webhooks.models.payload`. The index of `attempt_once` begins with the
    # delivery.
    delivery = models.ForeignKey(
        Delivery, models.PROTECT, related_name="attempts", db_index=False, db_constraint=False
    )
    number = models.PositiveSmallIntegerField()
    key = models.UUIDField(unique=True, default=new_uuid)
    cause = models.CharField(max_length=12, choices=AttemptCause)
    person_request = models.ForeignKey(
        PersonRequest, models.PROTECT, null=True, related_name="attempts", db_index=False
    )
    in_own_process = models.BooleanField(
        default=False,
        help_text="in a separate process, because processes died that ran this delivery",
    )
    started_at = models.DateTimeField()
    ended_at = models.DateTimeField(null=True)
    outcome = models.CharField(max_length=12, choices=AttemptOutcome, default=AttemptOutcome.STARTED)
    code = models.CharField(max_length=48, blank=True)
    is_retryable = models.BooleanField(default=False)
    mapping_version = models.ForeignKey(
        MappingVersion, models.PROTECT, null=True, related_name="+", db_index=False, db_constraint=False
    )
    payload_choice = models.CharField(
        max_length=10,
        choices=PayloadChoice,
        blank=True,
        default=PayloadChoice.AS_ROUTED,
        help_text="the payload that a person chose",
    )
    action = models.CharField(max_length=12, blank=True, help_text="created, updated, deleted or none")
    record_id = models.CharField(max_length=255, blank=True)
    counted_as = models.CharField(
        max_length=8,
        choices=ChangeCategory,
        blank=True,
        default="",
        help_text="the category in which the mass-change guard counted it",
    )
    # One payload for all parts: rows of payloads are most of what an event stores. Calls have others, because they are
    # kept for another time.
    findings = payload_foreign_key(
        "the entity, the change and the remote system's answer, as far as they exist"
    )

    class Meta:
        default_permissions = ("view",)
        constraints = [
            id_bound("attempt"),
            models.UniqueConstraint("delivery", "number", name="attempt_once"),
        ]
        indexes = [
            # Holds the few attempts that the mass-change guard counts.
            models.Index(
                fields=["started_at"], condition=~models.Q(counted_as=""), name="attempt_counted_as"
            ),
            *indexes_where_set("attempt", "person_request", "findings"),
        ]

    def __str__(self) -> str:
        return f"attempt {self.number}"

    def stored_finding(self, part: Finding) -> Any:
        """Return a part of what the attempt found; None if there is none or it was deleted. Raises CannotDecrypt."""
        document = None if self.findings is None else self.findings.json_document()
        return document.get(part) if isinstance(document, dict) else None


class Call(models.Model):
    """One outgoing HTTP request of an attempt. A write's row is committed before its first byte leaves."""

    attempt = models.ForeignKey(Attempt, models.PROTECT, related_name="calls", db_constraint=False)
    connection = models.ForeignKey(
        Connection, models.PROTECT, related_name="+", db_index=False, db_constraint=False
    )
    purpose = models.CharField(
        max_length=8, help_text="fetch, list, get, search, create, update, delete, token or probe"
    )
    is_write = models.BooleanField()
    method = models.CharField(max_length=8)
    path = models.CharField(max_length=300, help_text="the template, without values")
    key = models.CharField(max_length=80, blank=True, help_text="the idempotency key that was sent")
    started_at = models.DateTimeField()
    seconds = models.FloatField(null=True)
    status = models.PositiveSmallIntegerField(null=True)
    error = models.CharField(max_length=48, blank=True, help_text="code, where there was no good answer")
    sent_bytes = models.PositiveIntegerField(default=0)
    received_bytes = models.PositiveIntegerField(default=0)
    request = payload_foreign_key("of a write; that of a read is stored with its response")
    # The calls that one settlement writes share a payload of responses.
    response = payload_foreign_key("the list that holds the response")
    response_part = models.PositiveSmallIntegerField(
        null=True, help_text="place of the response in that list, from 0"
    )

    class Meta:
        default_permissions = ("view",)
        constraints = [
            id_bound("call"),
            models.CheckConstraint(
                condition=models.Q(response=None) | models.Q(response_part__isnull=False),
                name="response_has_a_part",
            ),
        ]
        indexes = indexes_where_set("call", "request", "response")

    def __str__(self) -> str:
        return f"{self.method} {self.path}"

    def stored_response(self) -> Mapping[str, Any] | None:
        """Return the stored response, for a read with its `request`; None if there is none or it was deleted.

        Raises CannotDecrypt.
        """
        if self.response is None or self.response_part is None:
            return None
        parts = self.response.json_document()
        if not isinstance(parts, list) or not 0 <= self.response_part < len(parts):
            return None
        part = parts[self.response_part]
        return part if isinstance(part, dict) else None
