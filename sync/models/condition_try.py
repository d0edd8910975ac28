"""Tries of a condition: how many entities would enter, stay in and leave the scope of a route."""

import uuid
from math import ceil

from django.conf import settings
from django.db import models
from django.utils.translation import gettext_lazy as _

from sync.models.connection import Connection
from sync.models.job import OPEN_JOB_STATES, JobState

# More linked entities than these may leave a scope only if a person has typed their number.
MAX_LEAVING = 50
MAX_LEAVING_PERCENT = 10


class ScopeOutcome(models.TextChoices):
    """What becomes of one entity under a condition."""

    ENTERS = "enter", _("in scope, without a linked record")
    STAYS = "stay", _("in scope, with a linked record")
    LEAVES = "leave", _("leaves the scope, with a linked record")
    LEFT = "left", _("had left before, and stays outside")
    OUTSIDE = "outside", _("outside, without a linked record")
    UNKNOWN = "cannot-say", _("cannot say")


class TriedEntities(models.TextChoices):
    """Where the entities of a try come from."""

    LIST = "list", _("the list of the identity service")
    STORED = "stored", _("the entities that the hub has stored last")


class ConditionTry(models.Model):
    """One run of a condition over the entities of a route: it writes to no system and changes no scope.

    `state` follows its job. `counts` are by ScopeOutcome. `linked_count`: the entities of the route that had a linked
    record at its end and had not left the scope; `read_linked`: those of them that were read. `is_complete`: all
    entities of the identity service were read. It holds no personal data but ids, in its examples.
    """

    uuid = models.UUIDField(unique=True, default=uuid.uuid4)
    route = models.ForeignKey("sync.Route", models.CASCADE, related_name="condition_tries")
    identity = models.ForeignKey(Connection, models.CASCADE, related_name="+", db_index=False)
    target = models.ForeignKey(Connection, models.CASCADE, related_name="+", db_index=False)
    entity_type = models.CharField(max_length=64)
    identity_type = models.CharField(max_length=64, help_text="as the identity connection calls it")
    condition = models.TextField()
    reason = models.CharField(max_length=500)
    requested_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.PROTECT, null=True, related_name="+", db_index=False
    )
    requested_at = models.DateTimeField()
    ended_at = models.DateTimeField(null=True)
    state = models.CharField(max_length=10, choices=JobState, default=JobState.WAITING)
    failure = models.CharField(max_length=48, blank=True, help_text="the code of the failure that ended it")
    problem = models.CharField(max_length=48, blank=True, help_text="the code of what it waits for")
    reads = models.CharField(max_length=8, choices=TriedEntities, default=TriedEntities.LIST)
    position = models.JSONField(null=True, help_text="of the next page of the list; null: the first")
    restarts = models.PositiveSmallIntegerField(default=0, help_text="of a list whose place was refused")
    read_count = models.PositiveIntegerField(default=0, help_text="entities")
    total_count = models.PositiveIntegerField(null=True, help_text="entities, as the identity service says")
    read_linked = models.PositiveIntegerField(default=0)
    linked_count = models.PositiveIntegerField(default=0)
    is_complete = models.BooleanField(default=False)
    counts = models.JSONField(default=dict, help_text="entities by what becomes of them")

    class Meta:
        default_permissions = ()
        constraints = [
            models.UniqueConstraint(
                "route",
                condition=models.Q(state__in=OPEN_JOB_STATES),
                name="one_open_condition_try_a_route",
            ),
        ]

    def __str__(self) -> str:
        return f"try of a condition {self.pk}"

    @property
    def is_open(self) -> bool:
        """True if it waits or runs."""
        return self.state in OPEN_JOB_STATES

    @property
    def unread_linked(self) -> int:
        """Return how many linked entities an incomplete try has not read; 0 for a complete one, in which those are not
        listed any more.
        """
        return 0 if self.is_complete else max(0, self.linked_count - self.read_linked)

    def count_leaving(self, *, with_left: bool = False) -> int:
        """Return how many linked entities leave: those that were read, and as large a share of those that were not; all
        of these if no linked entity was read. `with_left`: those that had left before count too.
        """
        leaving: int = self.counts.get(ScopeOutcome.LEAVES, 0)
        share = leaving / self.read_linked if self.read_linked else 1
        return leaving + ceil(self.unread_linked * share) + self._count_left(with_left)

    def number_to_confirm(self, *, with_left: bool = False) -> int | None:
        """Return how many linked entities leave if they are too many to do so unseen; None if they are not."""
        leaving = self.count_leaving(with_left=with_left)
        linked = max(self.linked_count, self.read_linked) + self._count_left(with_left)
        is_large = leaving > MAX_LEAVING or leaving * 100 > linked * MAX_LEAVING_PERCENT
        return leaving if is_large else None

    def _count_left(self, with_left: bool) -> int:
        return self.counts.get(ScopeOutcome.LEFT, 0) if with_left else 0


class TriedEntity(models.Model):
    """An entity that a try names as an example."""

    condition_try = models.ForeignKey(ConditionTry, models.CASCADE, related_name="examples", db_index=False)
    outcome = models.CharField(max_length=12, choices=ScopeOutcome)
    entity_id = models.CharField(max_length=128)
    detail = models.CharField(max_length=200, blank=True, help_text="why it cannot be said")

    class Meta:
        default_permissions = ()
        constraints = [
            models.UniqueConstraint("condition_try", "entity_id", name="tried_entity_once"),
        ]

    def __str__(self) -> str:
        return f"{self.outcome}: {self.entity_id}"
