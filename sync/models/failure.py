"""Failure groups, and the decisions of people about them."""

from typing import Any

from django.conf import settings
from django.db import models
from django.db.models import F, QuerySet
from django.utils.translation import gettext_lazy as _

from config_schema.codes.codes import CATALOGUE, is_about_identity
from sync.models.connection import Connection, ConnectionSide
from sync.models.delivery import Delivery
from webhooks.models import State


class FailureGroupState(models.TextChoices):
    """The state that people gave a failure group."""

    OPEN = "open", _("open")
    ACKNOWLEDGED = "acknowledged", _("acknowledged")
    RESOLVED = "resolved", _("resolved")
    IGNORED = "ignored", _("ignored")


class FailureGroup(models.Model):
    """Dead deliveries with one code at the connection that the code is about. The worker counts their `number`.

    A resolved group reopens with the first failure after `seen_until`; an ignored one when `ignored_until` has passed,
    or never if that is empty.
    """

    connection = models.ForeignKey(Connection, models.PROTECT, related_name="+", db_index=False)
    code = models.CharField(max_length=48, blank=True)
    number = models.PositiveIntegerField(default=0)
    first_at = models.DateTimeField()
    last_at = models.DateTimeField()
    counted_at = models.DateTimeField(null=True)
    state = models.CharField(max_length=12, choices=FailureGroupState, default=FailureGroupState.OPEN)
    owner = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.SET_NULL, null=True, blank=True, related_name="+", db_index=False
    )
    note = models.TextField(max_length=2000, blank=True)
    known_fix = models.TextField(max_length=2000, blank=True, help_text="What to do when it happens again.")
    seen_until = models.DateTimeField(null=True, help_text="the newest failure when it was resolved")
    ignored_until = models.DateTimeField(null=True)

    class Meta:
        default_permissions = ("view",)
        permissions = [("manage_failuregroup", "Can manage failure groups")]
        constraints = [models.UniqueConstraint("connection", "code", name="failure_group_once")]

    def __str__(self) -> str:
        return f"{self.code} at {self.connection}"

    @property
    def stream(self) -> str:
        """Return its stream of the audit log."""
        return f"failures:{self.pk}"


class FailureDecision(models.Model):
    """A person's decision about a failure group, with a reason. The audit entry names it."""

    group = models.ForeignKey(FailureGroup, models.CASCADE, related_name="decisions")
    made_by = models.ForeignKey(settings.AUTH_USER_MODEL, models.PROTECT, related_name="+", db_index=False)
    state = models.CharField(max_length=12, choices=FailureGroupState)
    reason = models.CharField(max_length=500)
    made_at = models.DateTimeField()
    until = models.DateTimeField(null=True)

    class Meta:
        default_permissions = ()

    def __str__(self) -> str:
        return f"{self.state}: {self.reason}"


_OF_IDENTITY = tuple(code for code in CATALOGUE if is_about_identity(code))


def dead_deliveries_of(group: FailureGroup) -> QuerySet[Delivery]:
    """Select the dead deliveries of a group, by an index of dead deliveries."""
    side = ConnectionSide.IDENTITY if is_about_identity(group.code) else ConnectionSide.TARGET
    connection = {f"{side}_id": group.connection_id}
    return Delivery.objects.filter(state=State.DEAD, code=group.code, **connection)


def split_by_responsible_side(dead: QuerySet[Delivery]) -> tuple[QuerySet[Any], QuerySet[Any]]:
    """Split dead deliveries into two querysets, each annotated with the key of the connection `responsible_id`."""
    return (
        dead.filter(code__in=_OF_IDENTITY).annotate(responsible_id=F("identity_id")),
        dead.exclude(code__in=_OF_IDENTITY).annotate(responsible_id=F("target_id")),
    )
