"""Deliveries, and the links to records that they leave."""

import uuid
from collections.abc import Iterable
from functools import cached_property

from django.db import models
from django.utils.translation import gettext_lazy as _

from config_schema.codes.codes import is_about_identity
from config_schema.codes.reference import to_reference
from database.row_ids import id_bound
from sync.models.connection import Connection
from sync.models.mapping import MappingVersion
from sync.models.route import Route
from webhooks.models import Event, State, indexes_where_set

WAITING_STATES = (State.PENDING, State.RETRYING)
ACTIVE_STATES = (State.PENDING, State.RETRYING, State.RUNNING)
OPEN_STATES = (State.PENDING, State.RETRYING, State.RUNNING, State.HELD)
# The code of a held delivery whose record a person has to choose. Others are held by the mass-change guard.
MATCH_HELD_CODE = "held-match"
# The codes of an ignored delivery whose route observed: a change was planned, or none could be.
OBSERVED_CODE, OBSERVED_FAILED_CODE = OBSERVED_CODES = ("observed", "observed-failed")
# The record is as the mapping says: it was written, or there was nothing to write.
SUCCESS_STATES = (State.SUCCEEDED, State.UNCHANGED)
SETTLED_STATES = tuple(state for state in State if state not in OPEN_STATES)


def sql_list(states: Iterable[State]) -> str:
    """Write states out as a list in SQL: a partial index serves only a statement that contains its condition."""
    return "(" + ", ".join(f"'{state.value}'" for state in states) + ")"


_OPEN = f"sync_delivery.state IN {sql_list(OPEN_STATES)}"
_RUNNING = "sync_delivery.state = 'running'"
_HELD = "sync_delivery.state = 'held'"


def delivery_stream(event_uuid: uuid.UUID, route_id: int) -> str:
    """Return the stream of the audit log of the delivery of an event on a route."""
    return f"delivery:{to_reference(event_uuid)}:{route_id}"


class PayloadChoice(models.TextChoices):
    """The payload that an attempt delivers. A person who replays may choose; otherwise the route decides."""

    AS_ROUTED = "", _("as set on the route: fetched again, or relayed")
    RECEIVED = "received", _("the payload as received, unless something newer was applied")
    ANYWAY = "anyway", _("the payload as received, overwriting newer data")


class DeliveryQuerySet(models.QuerySet["Delivery"]):
    """Deliveries that are not settled, found by the partial indexes that contain only those.

    SQLite uses a partial index only if its condition stands word for word in the statement, so the states are no
    parameters.
    """

    def open(self) -> models.QuerySet["Delivery"]:
        """Select deliveries that wait, run or are held."""
        return self.extra(where=[_OPEN])  # noqa: S610

    def running(self) -> models.QuerySet["Delivery"]:
        """Select deliveries that run."""
        return self.extra(where=[_RUNNING])  # noqa: S610

    def held(self) -> models.QuerySet["Delivery"]:
        """Select deliveries that are held for a person."""
        return self.extra(where=[_HELD])  # noqa: S610


class Delivery(models.Model):
    """An event on one route: the unit of work.

    Its subject (identity connection, entity type, entity id) and target connection are the unit of order: the database
    allows one running delivery for each. `token` is the claim: whoever holds it may write. `lease_until` and `due_at`
    are times of the database's clock.
    """

    # No constraint in the database: see `webhooks.models.payload`. The index of `delivery_once` begins with the
    # event.
    event = models.ForeignKey(
        Event, models.PROTECT, related_name="deliveries", db_index=False, db_constraint=False
    )
    route = models.ForeignKey(Route, models.PROTECT, related_name="+", db_index=False)
    identity = models.ForeignKey(Connection, models.PROTECT, related_name="+", db_index=False)
    target = models.ForeignKey(Connection, models.PROTECT, related_name="+", db_index=False)
    entity_type = models.CharField(max_length=64)
    entity_id = models.CharField(max_length=128)
    is_relayed = models.BooleanField(default=False)
    state = models.CharField(max_length=12, choices=State, default=State.PENDING)
    code = models.CharField(max_length=48, blank=True)
    failure_key = models.CharField(
        max_length=16,
        blank=True,
        default="",
        help_text="keyed digest of what else failures of one group share: field, and what the system says of it",
    )
    due_at = models.DateTimeField(null=True, help_text="next attempt, by the database's clock")
    not_before = models.DateTimeField(
        null=True, help_text="the remote system asked not to be called before this time: Retry-After"
    )
    attempts_used = models.PositiveSmallIntegerField(
        default=0, help_text="attempts since the webhook or the last replay"
    )
    last_number = models.PositiveSmallIntegerField(default=0, help_text="of its attempts")
    opened_at = models.DateTimeField(
        help_text="or last replayed, by the database's clock: retries end at an age that counts from here"
    )
    deaths = models.PositiveSmallIntegerField(
        default=0, help_text="processes that died while they ran it, one after the other"
    )
    is_approved = models.BooleanField(default=False, help_text="a person let it pass the mass-change guard")
    creates_record = models.BooleanField(
        default=False, help_text="a person decided that none of the records found belongs to the entity"
    )
    identity_slot = models.PositiveSmallIntegerField(
        null=True, help_text="its slot at the identity service, where concurrency is limited"
    )
    target_slot = models.PositiveSmallIntegerField(null=True)
    token = models.UUIDField(null=True)
    lease_until = models.DateTimeField(null=True)
    covered_by = models.ForeignKey(
        "sync.Attempt",
        models.PROTECT,
        null=True,
        related_name="covers",
        db_index=False,
        help_text="the attempt whose fetch covers this delivery too",
    )
    person_request = models.ForeignKey(
        "sync.PersonRequest",
        models.PROTECT,
        null=True,
        related_name="+",
        db_index=False,
        help_text="requested, and not begun",
    )
    payload_choice = models.CharField(
        max_length=10,
        choices=PayloadChoice,
        blank=True,
        default=PayloadChoice.AS_ROUTED,
        help_text="the payload that the last replay chose",
    )
    mapping_version = models.ForeignKey(
        MappingVersion,
        models.PROTECT,
        null=True,
        related_name="+",
        db_index=False,
        help_text="the version that the last replay chose; empty: the newest",
    )
    state_before_recheck = models.CharField(
        max_length=12,
        choices=State,
        blank=True,
        default="",
        help_text="empty unless a re-check waits or runs",
    )
    settled_at = models.DateTimeField(null=True)

    objects = DeliveryQuerySet.as_manager()

    class Meta:
        default_permissions = ("view",)
        permissions = [
            ("approve_delivery", "Can approve or reject held deliveries"),
            ("close_delivery", "Can close failed events"),
        ]
        verbose_name_plural = "deliveries"
        constraints = [
            id_bound("delivery"),
            models.UniqueConstraint("event", "route", name="delivery_once"),
            models.UniqueConstraint(
                fields=["identity", "entity_type", "entity_id", "target"],
                condition=models.Q(state=State.RUNNING),
                name="one_running_delivery_a_subject",
            ),
            models.UniqueConstraint(
                fields=["identity", "identity_slot"],
                condition=models.Q(identity_slot__isnull=False),
                name="one_delivery_a_slot_of_identity",
            ),
            models.UniqueConstraint(
                fields=["target", "target_slot"],
                condition=models.Q(target_slot__isnull=False),
                name="one_delivery_a_slot_of_target",
            ),
            models.CheckConstraint(
                condition=models.Q(state=State.RUNNING)
                | models.Q(identity_slot__isnull=True, target_slot__isnull=True),
                name="only_running_has_slots",
            ),
            models.CheckConstraint(
                condition=models.Q(state=State.RUNNING, token__isnull=False, lease_until__isnull=False)
                | (~models.Q(state=State.RUNNING) & models.Q(token__isnull=True)),
                name="running_means_claimed",
            ),
        ]
        indexes = [
            models.Index(
                fields=["due_at", "id"],
                condition=models.Q(state__in=[State.PENDING, State.RETRYING]),
                name="delivery_due",
            ),
            # Of each route in turn, where a backlog is longer than one poll reads.
            models.Index(
                fields=["route", "due_at", "id"],
                condition=models.Q(state__in=[State.PENDING, State.RETRYING]),
                name="delivery_due_of_route",
            ),
            models.Index(
                fields=["lease_until"], condition=models.Q(state=State.RUNNING), name="delivery_lease"
            ),
            models.Index(
                fields=["entity_id", "entity_type", "identity", "target", "id"],
                condition=models.Q(state__in=OPEN_STATES),
                name="delivery_open_subject",
            ),
            models.Index(fields=["id"], condition=models.Q(state=State.HELD), name="delivery_held"),
            # Of what failed for good, by reason: the groups of failures.
            models.Index(
                fields=["target", "code", "failure_key", "settled_at", "id"],
                condition=models.Q(state=State.DEAD),
                name="delivery_dead",
            ),
            models.Index(
                fields=["identity", "code", "failure_key", "settled_at", "id"],
                condition=models.Q(state=State.DEAD),
                name="delivery_dead_identity",
            ),
            *indexes_where_set("delivery", "covered_by", "person_request"),
        ]

    def __str__(self) -> str:
        return f"delivery {self.pk}"

    @cached_property
    def stream(self) -> str:
        """Return its stream of the audit log. Reads its event."""
        return delivery_stream(self.event.uuid, self.route_id)

    @cached_property
    def subject(self) -> tuple[str, str, int, int]:
        """The values of `predicates.SUBJECT_COLUMNS`. Deliveries with equal values run in order."""
        return self.entity_id, self.entity_type, self.identity_id, self.target_id

    def connection_of_code(self, code: str) -> Connection:
        """Return the connection that a code of this delivery is about."""
        return self.identity if is_about_identity(code) else self.target

    @property
    def is_rechecked(self) -> bool:
        """True if a re-check made it due, and its attempt has not ended."""
        return bool(self.state_before_recheck)

    @property
    def is_observing(self) -> bool:
        """True while it is active on a route that observes: it will be planned and not written, unless the route goes
        live before. A re-check of what was written is none of these. Reads its route.
        """
        return self.state in ACTIVE_STATES and not self.is_rechecked and self.route.observes

    @property
    def is_observed(self) -> bool:
        """True if a route observed it, or will. It decides nothing about its event if there is another delivery. Reads
        its route.
        """
        state = self.state_before_recheck or self.state
        return self.is_observing or (state == State.IGNORED and self.code in OBSERVED_CODES)

    @property
    def gets_rechecks(self) -> bool:
        """True if re-checks follow an attempt of this delivery whose write may still arrive.

        False for the re-check of a delivery that had finally failed: it stays failed, and a person handles it.
        Otherwise the hub would write for ever to a target that never responds.
        """
        return self.state_before_recheck != State.DEAD

    @property
    def is_fetched(self) -> bool:
        """True if attempts fetch the entity, and do not use the data that the webhook carried."""
        return not self.is_relayed and self.payload_choice == PayloadChoice.AS_ROUTED


class AwaitedRecord(models.Model):
    """A record of another entity that a delivery waits for: one that its own record refers to, and that does not exist
    yet or is another one than was written; or one that holds a value which the target refused to the delivery's
    record, so that the delivery failed (`holds_value`).

    Written when an attempt of the delivery ends with `reference-missing`, is refused for good by the target (then with
    the `record_id` that it named), or succeeds with a record that was written without the reference, and when the
    entity's record is replaced. Deleted when the delivery runs again, when another delivery of its subject stores
    missing references, and with the erasure of either entity. `due_at` is a time of the database's clock.
    """

    delivery = models.ForeignKey(
        Delivery, models.PROTECT, related_name="+", db_index=False, db_constraint=False
    )
    identity = models.ForeignKey(Connection, models.PROTECT, related_name="+", db_index=False)
    target = models.ForeignKey(Connection, models.PROTECT, related_name="+", db_index=False)
    entity_type = models.CharField(max_length=64)
    entity_id = models.CharField(max_length=128)
    record_id = models.CharField(
        max_length=255,
        blank=True,
        default="",
        help_text="its record, with which the target refused the delivery",
    )
    due_at = models.DateTimeField(
        null=True, help_text="its record has arrived: when the delivery that left it out is to run again"
    )
    holds_value = models.BooleanField(
        default=False, help_text="its record has a value that was refused, and the delivery failed"
    )

    class Meta:
        default_permissions = ()
        constraints = [
            models.UniqueConstraint(
                "delivery", "entity_type", "entity_id", "identity", name="awaited_record_once"
            ),
        ]
        indexes = [
            models.Index(
                fields=["entity_id", "entity_type", "identity", "target"], name="awaited_record_entity"
            ),
            models.Index(
                fields=["due_at", "id"],
                condition=models.Q(due_at__isnull=False),
                name="awaited_record_due",
            ),
            models.Index(
                fields=["id"],
                condition=models.Q(holds_value=True, due_at__isnull=True),
                name="awaited_record_holder",
            ),
        ]

    def __str__(self) -> str:
        return f"record awaited by delivery {self.delivery_id}"


class Link(models.Model):
    """A subject and its record in one target connection: the record id that the hub found or created."""

    identity = models.ForeignKey(Connection, models.PROTECT, related_name="+", db_index=False)
    target = models.ForeignKey(Connection, models.PROTECT, related_name="+", db_index=False)
    entity_type = models.CharField(max_length=64)
    entity_id = models.CharField(max_length=128)
    record_id = models.CharField(max_length=255)
    version = models.CharField(max_length=128, blank=True, help_text="of the entity as last applied")
    applied_at = models.DateTimeField(help_text="when we last applied or confirmed it")
    occurred_at = models.DateTimeField(null=True, help_text="newest relayed timestamp applied")
    # These are empty in many rows: null costs no space, and no index entry.
    external_id_field = models.TextField(
        null=True, help_text="in which the record has shown the entity's id; empty: unproven"
    )
    proof_failed_at = models.DateTimeField(
        null=True, help_text="when the record was last found to bear another external id, or none"
    )
    write_counts = models.TextField(
        null=True, help_text="fields written since they last had their value: digest and number of writes"
    )
    unkept_fields = models.TextField(
        null=True, help_text="names of the fields that the target does not keep, as JSON"
    )
    withheld_fields = models.TextField(
        null=True,
        help_text="names of the fields that were left out, because they had no value in any entity, as JSON",
    )
    left_scope_at = models.DateTimeField(
        null=True, help_text="when the entity stopped fulfilling the condition of its route"
    )

    class Meta:
        default_permissions = ("view",)
        constraints = [
            id_bound("link"),
            models.UniqueConstraint("entity_id", "entity_type", "identity", "target", name="link_once"),
        ]
        indexes = [
            models.Index(fields=["record_id", "target"], name="link_record"),
            models.Index(
                fields=["target"], condition=models.Q(unkept_fields__isnull=False), name="link_unkept"
            ),
            models.Index(
                fields=["proof_failed_at"],
                condition=models.Q(proof_failed_at__isnull=False),
                name="link_proof_failed",
            ),
            models.Index(
                fields=["target"], condition=models.Q(withheld_fields__isnull=False), name="link_withheld"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.entity_type} {self.entity_id} ↔ {self.record_id}"


class RecordReference(models.Model):
    """An entity whose record a linked record refers to, with the record id that was written.

    Written when a delivery succeeds whose mapping has references. If the entity gets a record with another id, the
    referring record is checked again: see `sync.references.record_references`. Deleted then, when the record does not
    refer to the entity any more, and with the erasure of either entity.
    """

    link = models.ForeignKey(Link, models.CASCADE, related_name="+", db_index=False)
    entity_type = models.CharField(max_length=64)
    entity_id = models.CharField(max_length=128)
    record_id = models.CharField(max_length=255)

    class Meta:
        default_permissions = ()
        constraints = [
            models.UniqueConstraint("link", "entity_type", "entity_id", name="record_reference_once"),
        ]
        indexes = [
            models.Index(fields=["entity_id", "entity_type"], name="record_reference_entity"),
        ]

    def __str__(self) -> str:
        return f"reference of link {self.link_id}"
