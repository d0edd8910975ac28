"""Failure groups, and the decisions of people about them."""

from typing import Any

from django.conf import settings
from django.db import models
from django.db.models import F, QuerySet
from django.utils.crypto import salted_hmac
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
    """Dead deliveries that failed for one reason at the connection that the code is about. The worker counts their
    `number`.

    The reason is the code with the `failure_key` of the deliveries. A group without a key has all of the code that no
    other group has. `recovered_at`: the first success of a replay of one of them since the newest failure.

    A resolved group reopens with the first failure after `seen_until`; an ignored one when `ignored_until` has passed,
    or never if that is empty.
    """

    connection = models.ForeignKey(Connection, models.PROTECT, related_name="+", db_index=False)
    code = models.CharField(max_length=48, blank=True)
    failure_key = models.CharField(max_length=16, blank=True, default="")
    number = models.PositiveIntegerField(default=0)
    first_at = models.DateTimeField()
    last_at = models.DateTimeField()
    counted_at = models.DateTimeField(null=True)
    recovered_at = models.DateTimeField(null=True, help_text="when a replay of one of its failures succeeded")
    state = models.CharField(max_length=12, choices=FailureGroupState, default=FailureGroupState.OPEN)
    owner = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.SET_NULL, null=True, blank=True, related_name="+", db_index=False
    )
    note = models.TextField(max_length=2000, blank=True)
    known_fix = models.TextField(max_length=2000, blank=True, help_text="What to do when it happens again.")
    ticket_url = models.URLField(
        max_length=300, blank=True, default="", db_default="", help_text="where the failure is handled"
    )
    seen_until = models.DateTimeField(null=True, help_text="the newest failure when it was resolved")
    ignored_until = models.DateTimeField(null=True)

    class Meta:
        verbose_name_plural = "failures"
        default_permissions = ("view",)
        permissions = [("manage_failuregroup", "Can manage failure groups")]
        constraints = [
            models.UniqueConstraint("connection", "code", "failure_key", name="failure_group_once")
        ]

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


def open_failure_groups() -> QuerySet[FailureGroup]:
    """Select the groups that need a person: neither resolved nor ignored, and with failed deliveries. The sum of their
    numbers is the number of open failures on every page.
    """
    return FailureGroup.objects.filter(
        state__in=(FailureGroupState.OPEN, FailureGroupState.ACKNOWLEDGED), number__gt=0
    )


def dead_deliveries_of(group: FailureGroup) -> QuerySet[Delivery]:
    """Select the dead deliveries of a group, by an index of dead deliveries."""
    side = ConnectionSide.IDENTITY if is_about_identity(group.code) else ConnectionSide.TARGET
    connection = {f"{side}_id": group.connection_id}
    dead = Delivery.objects.filter(state=State.DEAD, code=group.code, **connection)
    if group.failure_key:
        return dead.filter(failure_key=group.failure_key)
    others = FailureGroup.objects.filter(connection=group.connection_id, code=group.code)
    return dead.exclude(failure_key__in=others.exclude(failure_key="").values("failure_key"))


def group_of(delivery: Delivery) -> "FailureGroup | None":
    """Return the group of a dead delivery; None if the worker has not made it yet."""
    connection = delivery.connection_of_code(delivery.code)
    groups = FailureGroup.objects.filter(
        connection=connection, code=delivery.code, failure_key__in=("", delivery.failure_key)
    )
    return groups.order_by("-failure_key").first()


def digest_failure_reason(reason: str) -> str:
    """Return the key of the failures with a reason, empty for none.

    Keyed, so that nobody who reads the database can try sentences against it.
    """
    return salted_hmac("sync.failure_key", reason, algorithm="sha256").hexdigest()[:16] if reason else ""


def split_by_responsible_side(dead: QuerySet[Delivery]) -> tuple[QuerySet[Any], QuerySet[Any]]:
    """Split dead deliveries into two querysets, each annotated with the key of the connection `responsible_id`."""
    return (
        dead.filter(code__in=_OF_IDENTITY).annotate(responsible_id=F("identity_id")),
        dead.exclude(code__in=_OF_IDENTITY).annotate(responsible_id=F("target_id")),
    )
