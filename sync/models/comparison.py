"""Comparisons: whether the identity service and a target agree, and where they do not."""

import uuid

from django.conf import settings
from django.db import models
from django.utils.translation import gettext_lazy as _

from sync.models.connection import Connection
from sync.models.mapping import Mapping, MappingVersion
from sync.models.route import Route


class ComparisonState(models.TextChoices):
    """The progress of a comparison."""

    WAITING = "waiting", _("waiting for a worker")
    RUNNING = "running", _("running")
    DONE = "done", _("done")
    FAILED = "failed", _("failed")
    CANCELLED = "cancelled", _("cancelled")


OPEN_COMPARISON_STATES = (ComparisonState.WAITING, ComparisonState.RUNNING)


class ComparisonPhase(models.TextChoices):
    """What a comparison does, in this order."""

    RECORDS = "records", _("reading the records of the target")
    ENTITIES = "entities", _("reading the entities of the identity service")
    CONFIRMING = "confirming", _("checking each difference again")


class ComparisonCause(models.TextChoices):
    """Who asked for a comparison."""

    PERSON = "person", _("a person")
    COMMAND = "command", _("the command line")
    SCHEDULE = "schedule", _("the schedule")


class DifferenceKind(models.TextChoices):
    """How an entity and its record are not in step."""

    DIFFERS = "differs", _("differs")
    MISSING_RECORD = "missing-record", _("record missing")
    FOUND_BY_VALUE = "found-by-value", _("record found by value")
    ENTITY_GONE = "entity-gone", _("entity gone")
    UNLINKED_RECORD = "unlinked-record", _("record without a link")
    UNKNOWN_RECORD = "unknown-record", _("unknown record")
    OUT_OF_SCOPE = "out-of-scope", _("outside the scope")
    UNMAPPABLE = "unmappable", _("cannot be mapped")
    UNREADABLE = "unreadable", _("cannot be read")


# They are counted and shown, and say nothing about agreement: records that belong to no entity of this identity
# service, and entities that the route is not for.
_NEUTRAL_KINDS = (
    DifferenceKind.UNLINKED_RECORD,
    DifferenceKind.UNKNOWN_RECORD,
    DifferenceKind.OUT_OF_SCOPE,
)
OUT_OF_STEP_KINDS = tuple(kind for kind in DifferenceKind if kind not in _NEUTRAL_KINDS)
# Of differences that are not made equal yet, in SQL: SQLite uses the partial index only if its condition stands word
# for word in the statement.
OUT_OF_STEP_CONDITION = (
    f"kind IN ({', '.join(repr(kind.value) for kind in OUT_OF_STEP_KINDS)}) AND NOT is_repaired"
)


class ComparisonCount(models.TextChoices):
    """What a comparison counts beside the kinds of differences."""

    IN_STEP = "in-step", _("in step")
    IN_STEP_REMOVED = "in-step-removed", _("in step (removed)")
    IN_DELIVERY = "in-delivery", _("in delivery, not compared")
    OTHERS = "others", _("records of other connections")


class RepairOutcome(models.TextChoices):
    """What the schedule did after a comparison of it. Empty: not decided yet, or not a comparison by schedule."""

    MADE = "made", _("differences were made equal")
    NOTHING = "nothing", _("there was nothing to make equal")
    OFF = "off", _("differences are only reported")
    INCOMPLETE = "incomplete", _("nothing was made equal: the comparison is incomplete")
    TOO_MANY = "too-many", _("nothing was made equal: it found too many differences")
    OTHER_REPAIR = "other-repair", _("nothing was made equal: another repair of the target was running")
    REFUSED = "refused", _("nothing was made equal: the route observes, or was disabled or changed")


# A subject that the schedule made equal in so many runs in a row does not stay equal: something else changes it.
MAX_REPAIRS_IN_A_ROW = 3


class DifferenceStatus(models.TextChoices):
    """How certain a difference is. A candidate is deleted if it is found to be none."""

    CANDIDATE = "candidate", _("to be checked again")
    CONFIRMED = "confirmed", _("confirmed")
    NOT_CONFIRMED = "not-confirmed", _("not confirmed")


class Comparison(models.Model):
    """One run over a pair: identity connection, entity type, target connection and mapping.

    Routes of several sources that share these share the comparison; `route` is the one whose policies it plans with.
    `position` is the place of the next page, or the key of the last candidate, in the present phase. `identity_gap` and
    `target_gap` are codes that say why a side is incomplete; empty: it is complete. It holds no personal data but ids.
    """

    uuid = models.UUIDField(unique=True, default=uuid.uuid4)
    route = models.ForeignKey(Route, models.PROTECT, related_name="comparisons", db_index=False)
    identity = models.ForeignKey(Connection, models.PROTECT, related_name="+", db_index=False)
    entity_type = models.CharField(max_length=64)
    target = models.ForeignKey(Connection, models.PROTECT, related_name="+", db_index=False)
    mapping = models.ForeignKey(Mapping, models.PROTECT, related_name="+", db_index=False)
    mapping_version = models.ForeignKey(
        MappingVersion, models.PROTECT, null=True, related_name="+", db_index=False
    )
    cause = models.CharField(max_length=8, choices=ComparisonCause)
    requested_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.PROTECT, null=True, related_name="+", db_index=False
    )
    requested_at = models.DateTimeField()
    started_at = models.DateTimeField(null=True)
    ended_at = models.DateTimeField(null=True)
    state = models.CharField(max_length=10, choices=ComparisonState, default=ComparisonState.WAITING)
    failure = models.CharField(max_length=48, blank=True, help_text="the code of the failure that ended it")
    phase = models.CharField(max_length=10, choices=ComparisonPhase, default=ComparisonPhase.RECORDS)
    position = models.JSONField(
        null=True, help_text="where it continues; null: at the beginning of its phase"
    )
    restarts = models.PositiveSmallIntegerField(default=0, help_text="of a list whose place was refused")
    read_records = models.PositiveIntegerField(default=0)
    total_records = models.PositiveIntegerField(null=True, help_text="as the target says")
    read_entities = models.PositiveIntegerField(default=0)
    total_entities = models.PositiveIntegerField(null=True, help_text="as the identity service says")
    to_confirm = models.PositiveIntegerField(default=0, help_text="candidates when it began to confirm them")
    identity_gap = models.CharField(max_length=48, blank=True)
    target_gap = models.CharField(max_length=48, blank=True)
    counts = models.JSONField(
        default=dict, help_text="by kind, and in-step, in-step-removed, in-delivery, others"
    )
    request_count = models.PositiveIntegerField(default=0, help_text="requests to both systems")
    unconfirmed = models.JSONField(default=dict, help_text="how many of each kind were not confirmed")
    field_counts = models.JSONField(default=dict, help_text="how often each field differs")
    repair = models.CharField(max_length=12, choices=RepairOutcome, blank=True, default="")
    unstable = models.PositiveIntegerField(
        default=0, help_text="differences that the schedule left out because they do not stay equal"
    )

    class Meta:
        default_permissions = ()
        permissions = [
            ("run_comparison", "Can compare the two systems of a route"),
            ("view_differences", "Can see comparisons and their differences"),
        ]
        constraints = [
            models.UniqueConstraint(
                "identity",
                "entity_type",
                "target",
                "mapping",
                condition=models.Q(state__in=OPEN_COMPARISON_STATES),
                name="one_open_comparison_a_pair",
            ),
            models.UniqueConstraint(
                "target",
                condition=models.Q(state=ComparisonState.RUNNING),
                name="one_running_comparison_a_target",
            ),
        ]
        indexes = [
            models.Index(
                fields=["identity", "entity_type", "target", "mapping", "id"], name="comparison_of_pair"
            ),
        ]

    def __str__(self) -> str:
        return f"comparison {self.pk}"

    @property
    def stream(self) -> str:
        """Return its stream of the audit log."""
        return f"comparison:{self.uuid}"

    @property
    def is_open(self) -> bool:
        """True if it waits or runs."""
        return self.state in OPEN_COMPARISON_STATES

    @property
    def is_complete(self) -> bool:
        """True if both sides were read to their end."""
        return self.state == ComparisonState.DONE and not (self.identity_gap or self.target_gap)

    @property
    def difference_count(self) -> int:
        """Return how many differences it found, confirmed or not."""
        return sum(self.counts.get(kind, 0) for kind in DifferenceKind.values)

    @property
    def out_of_step_count(self) -> int:
        """Return how many entities, or records of entities that are gone, are out of step."""
        return sum(self.counts.get(kind.value, 0) for kind in OUT_OF_STEP_KINDS)


class ComparisonRecord(models.Model):
    """A record of the target during a comparison: keyed digests of it, deleted after the end.

    The digests are made with a key of the comparison, so that those of two comparisons say nothing about each other.
    `fields` is of all compared fields; null: the record was not read, and only its entity was found. `is_found`: an
    entity was found for it. `is_deactivated`: it has the values that the route writes when an entity is deleted.
    """

    comparison = models.ForeignKey(Comparison, models.CASCADE, related_name="records", db_index=False)
    record_id = models.CharField(max_length=255)
    external_id = models.BinaryField(max_length=16, null=True, help_text="digest; null: it has none")
    match_value = models.BinaryField(max_length=16, null=True, help_text="digest of its first match field")
    fields = models.BinaryField(null=True, help_text="digests: of all, then of each that may be left out")
    is_found = models.BooleanField(default=False)
    is_deactivated = models.BooleanField(default=False)

    class Meta:
        default_permissions = ()
        constraints = [
            models.UniqueConstraint("comparison", "record_id", name="comparison_record_once"),
        ]
        indexes = [
            models.Index(fields=["comparison", "external_id"], name="comparison_external_id"),
            models.Index(fields=["comparison", "match_value"], name="comparison_match_value"),
        ]

    def __str__(self) -> str:
        return f"record of comparison {self.comparison_id}"


class Difference(models.Model):
    """An entity or record that a comparison found not to be in step. It has names of fields, never values.

    `entity_id` is empty for a record without an entity, `record_id` for an entity without a record. `code`: why it
    cannot be mapped or read, or the code of the delivery that was held or had failed (`delivery_state`). `since`: when
    the first of the comparisons in a row found it. `repairs`: how many of them before this one had it made equal by the
    schedule; `is_repaired`: this one had. `seen_absent_at`: when an entity or record was first found absent, while it
    is a candidate.
    """

    comparison = models.ForeignKey(Comparison, models.CASCADE, related_name="differences", db_index=False)
    kind = models.CharField(max_length=16, choices=DifferenceKind)
    status = models.CharField(max_length=14, choices=DifferenceStatus, default=DifferenceStatus.CANDIDATE)
    entity_id = models.CharField(max_length=128, blank=True, default="")
    record_id = models.CharField(max_length=255, blank=True, default="")
    fields = models.JSONField(default=list, help_text="names of the fields that differ")
    code = models.CharField(max_length=48, blank=True, default="")
    delivery_state = models.CharField(max_length=12, blank=True, default="")
    since = models.DateTimeField()
    seen_absent_at = models.DateTimeField(null=True)
    repairs = models.PositiveSmallIntegerField(default=0)
    is_repaired = models.BooleanField(default=False)

    class Meta:
        default_permissions = ()
        constraints = [
            models.UniqueConstraint("comparison", "entity_id", "record_id", name="difference_once"),
        ]
        indexes = [
            models.Index(fields=["comparison", "kind", "id"], name="difference_kind"),
            models.Index(fields=["comparison", "record_id"], name="difference_record"),
            models.Index(
                fields=["comparison", "status", "id"],
                condition=models.Q(status=DifferenceStatus.CANDIDATE),
                name="difference_candidate",
            ),
            models.Index(fields=["entity_id"], name="difference_entity"),
            # The oldest of a comparison is read for alarms.
            models.Index(
                fields=["comparison", "since"],
                condition=models.Q(kind__in=OUT_OF_STEP_KINDS, is_repaired=False),
                name="difference_age",
            ),
            # Of the list: all, and those that have names of fields.
            models.Index(fields=["comparison", "id"], name="difference_listed"),
            models.Index(
                fields=["comparison", "id"],
                condition=models.Q(status=DifferenceStatus.CONFIRMED),
                name="difference_confirmed",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.kind} of comparison {self.comparison_id}"

    @property
    def does_not_stay_equal(self) -> bool:
        """True if the schedule made it equal three times in a row, and it is there again: it is left to a person."""
        return self.repairs >= MAX_REPAIRS_IN_A_ROW
