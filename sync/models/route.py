"""Routes: which events go to which target."""

import re
from collections.abc import Mapping as ReadOnlyMapping
from itertools import count
from typing import Any

from django.conf import settings
from django.core.exceptions import ValidationError
from django.core.validators import MaxValueValidator, MinValueValidator, RegexValidator
from django.db import models
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from config_schema.kinds import AnyValue
from config_schema.model_fields import FieldSetting, find_invalid_setting
from config_schema.objects import MapOf
from sync.models.condition_gate import find_gate_errors
from sync.models.connection import Connection, ConnectionSide
from sync.models.mapping import Mapping
from sync.planning.mapping_declaration import InvalidMapping, parse_mapping
from sync.planning.record_matching import MatchingPolicy
from sync.planning.scope import CONDITION, writes_in_return
from webhooks.models import Pausable, Source

_MATCHING_LABELS = {
    MatchingPolicy.NEVER: _("never link: create a record"),
    MatchingPolicy.HOLD: _("always ask a person"),
    MatchingPolicy.VERIFIED: _("link by a verified value, else ask a person"),
    MatchingPolicy.TRUSTED: _("link by any value (signed sources only)"),
}


ROUTE_SETTINGS: ReadOnlyMapping[str, FieldSetting] = {
    "source": FieldSetting("The source whose events use the route.", "Acme webhooks"),
    "entity_type": FieldSetting(
        "The entity type of the events, as in the webhooks: `USER`, `GROUP`, `FILE` or another. It is stored in upper "
        "case.",
        "USER",
        rules=("A source has one route for each entity type and target connection.",),
    ),
    "identity_entity": FieldSetting(
        "The entity type as the identity connection calls it. Empty: the same as `entity_type`.",
        "person",
        rules=("All routes of an identity connection must have the same value for the same `entity_type`.",),
    ),
    "target_entity": FieldSetting(
        "The entity type as the target connection calls it. Empty: the same as `entity_type`. Sources with different "
        "words can feed one entity type of a target; each entity has its own record.",
        "CUSTOMER",
        rules=(
            "All routes of an identity connection to one target must have the same value for the same `entity_type`.",
            "It cannot be changed while entities of the route have records.",
        ),
    ),
    "is_enabled": FieldSetting(
        "If it is disabled, new events do not use the route, and are not delivered later. To keep them, pause the "
        "route instead.",
        True,
        rules=(
            "A route can be enabled only if its connections and mapping have all the settings that it needs.",
        ),
    ),
    "identity": FieldSetting("The connection that the entity is fetched from.", "Acme ID"),
    "target": FieldSetting("The connection to the target whose records are changed.", "Acme shop"),
    "mapping": FieldSetting("The mapping that produces the fields of the record.", "Acme person to customer"),
    "matching": FieldSetting(
        "What happens if a record without a link has the same value, such as the same address. A record "
        "with the entity's own external id is always linked.",
        "verified",
        rules=("`trusted` needs a signed source.",),
    ),
    "without_match": FieldSetting(
        "What happens if no record matches: the record is created, or the change is refused (`no-match`).",
        "create",
    ),
    "when_deleted": FieldSetting(
        "What happens to the record when the entity is deleted.",
        "deactivate",
        rules=("`deactivate` needs `deactivation`.",),
    ),
    "deactivation": FieldSetting(
        "The fields that mark a record as inactive, with their values.",
        {"active": False},
        MapOf(AnyValue(), "FIELD"),
    ),
    "condition": FieldSetting(
        "Which entities the route is for: a JMESPath expression over `entity`, the fetched entity, that gives true or "
        "false. Empty: all entities. An entity for which it gives anything else fails (`mapping-failed`).",
        "entity.active && entity.type == 'employee'",
        CONDITION,
        rules=(
            "A route that uses the webhook's own data has no condition.",
            (
                "A changed condition can be saved within an hour after a finished try of the same text. If more than "
                "50, or more than a tenth, of the linked entities leave the scope, their number has to be entered."
            ),
        ),
    ),
    "on_leaving": FieldSetting(
        "What happens to the record of an entity that stops fulfilling the condition. All but `leave` count as "
        "deletions of the limits below.",
        "deactivate",
        rules=(
            "`deactivate` needs `deactivation`.",
            (
                "`deactivate` needs `reactivation`, unless the mapping writes each field of `deactivation` to every "
                "record."
            ),
        ),
    ),
    "reactivation": FieldSetting(
        "The fields that are set once, together with those of the mapping, when an entity fulfils the condition again.",
        {"active": True},
        MapOf(AnyValue(), "FIELD"),
    ),
    "relays": FieldSetting(
        "The data of the webhook is used, and no entity is fetched. Deliveries then run in order, and an "
        "older timestamp never overwrites a newer one.",
        False,
        rules=(
            "It needs a signed source whose signature covers a time or an id, or whose webhook format reads "
            "`occurred_at` from the body.",
        ),
    ),
    "continues_after_failure": FieldSetting(
        "Whether the hub keeps retrying after it has answered that the change failed. By default yes if the entity is "
        "fetched, no if the webhook's own data is used.",
        None,
    ),
    "max_attempts": FieldSetting("The number of attempts after which a delivery has failed.", 8),
    "gives_up_after_hours": FieldSetting(
        "The number of hours after which a delivery is no longer retried.", 72.0
    ),
    "retry_base_seconds": FieldSetting(
        "The maximum number of seconds before the second attempt. Each further attempt doubles it.", 2.0
    ),
    "retry_cap_seconds": FieldSetting("The maximum number of seconds between two attempts.", 3600.0),
    "guard_minutes": FieldSetting("The time window of the two limits below, in minutes.", 60),
    "max_removals": FieldSetting(
        "The number of deletions and deactivations, and of links that end, that the time window allows. More are held "
        "for approval. Empty: no limit.",
        50,
    ),
    "max_changed_percent": FieldSetting(
        "The percentage of all known records that the time window allows to change. More are held for "
        "approval. Empty: no limit.",
        5.0,
    ),
    "compare_every_hours": FieldSetting(
        "The number of hours after which the identity service and the target are compared again. Empty: never.",
        24,
        rules=("A route that uses the webhook's own data cannot be compared.",),
    ),
    "repairs_differences": FieldSetting(
        "After a comparison by schedule, the records that differ are made equal. Nothing is changed if the "
        "comparison is incomplete, if it found more than `max_repairs`, or while another repair of the target runs.",
        False,
        rules=("It needs `compare_every_hours`.",),
    ),
    "repairs_missing_records": FieldSetting(
        "Missing records are created too.",
        False,
        rules=("It needs `repairs_differences`.",),
    ),
    "max_repairs": FieldSetting(
        "The number of differences up to which they are made equal. If a comparison by schedule finds more, it only "
        "reports them.",
        20,
    ),
}


# The settings of scheduled comparisons. A repair names the person who set them.
SCHEDULE_FIELDS = ("compare_every_hours", "repairs_differences", "repairs_missing_records", "max_repairs")

_ENTITY_TYPE = RegexValidator(
    r"\A[A-Za-z][A-Za-z0-9_.:-]*\Z",
    _("Start with a letter, followed by letters, digits and _ . : - as in the webhooks."),
)


# Of slugs: two slugs and an entity type of at most 64 characters, and a number.
_SLUG_LENGTH = 200


class Route(Pausable):
    """Source and entity type → identity connection, target connection, mapping and policies.

    Its `slug` is its name on the command line and in files: made when it is stored first, and never changed.
    `confirmed_leaving` is not stored: the number of linked entities that the person who saves a condition has entered;
    `asks_for_number`: the form asks for it after the validation.
    """

    confirmed_leaving: int | None = None
    asks_for_number = False

    class Mode(models.TextChoices):
        LIVE = "live", _("deliver")
        OBSERVE = "observe", _("plan and record, change nothing")

    class LeavingPolicy(models.TextChoices):
        LEAVE = "leave", _("do not change the record")
        DEACTIVATE = "deactivate", _("set the fields that mark a record as inactive")
        DELETE = "delete", _("delete the record")
        UNLINK = "unlink", _("end the link")

    class NoMatchPolicy(models.TextChoices):
        CREATE = "create", _("create the record")
        REFUSE = "refuse", _("refuse the change")

    class DeletionPolicy(models.TextChoices):
        DELETE = "delete", _("delete the record")
        DEACTIVATE = "deactivate", _("set the fields below")
        IGNORE = "ignore", _("do not change the record")

    slug = models.SlugField(max_length=_SLUG_LENGTH, unique=True, blank=True, editable=False)
    source = models.ForeignKey(Source, models.PROTECT, related_name="routes", db_index=False)
    entity_type = models.CharField(
        max_length=64,
        validators=[_ENTITY_TYPE],
    )
    identity_entity = models.CharField(
        "entity type in the identity connection",
        max_length=64,
        blank=True,
        default="",
        validators=[_ENTITY_TYPE],
    )
    target_entity = models.CharField(
        "entity type in the target connection",
        max_length=64,
        blank=True,
        default="",
        validators=[_ENTITY_TYPE],
    )
    is_enabled = models.BooleanField(default=True)
    identity = models.ForeignKey(
        Connection, models.PROTECT, related_name="+", limit_choices_to={"side": ConnectionSide.IDENTITY}
    )
    target = models.ForeignKey(
        Connection, models.PROTECT, related_name="+", limit_choices_to={"side": ConnectionSide.TARGET}
    )
    mapping = models.ForeignKey(Mapping, models.PROTECT, related_name="routes")
    matching = models.CharField(
        "if an unlinked record has the same value",
        max_length=8,
        choices=[(policy.value, _MATCHING_LABELS[policy]) for policy in MatchingPolicy],
        default=MatchingPolicy.VERIFIED.value,
    )
    without_match = models.CharField(
        "if no record matches", max_length=12, choices=NoMatchPolicy, default=NoMatchPolicy.CREATE
    )
    when_deleted = models.CharField(
        "when the entity is deleted", max_length=12, choices=DeletionPolicy, default=DeletionPolicy.DEACTIVATE
    )
    deactivation = models.JSONField(
        "fields set when the entity is deleted",
        default=dict,
        blank=True,
    )
    relays = models.BooleanField(
        "use the webhook's own data (no fetch)",
        default=False,
    )
    relays_since = models.DateTimeField(
        null=True, editable=False, help_text="when it was switched from fetching; null if it never was"
    )
    mode = models.CharField(max_length=8, choices=Mode, default=Mode.LIVE, editable=False)
    mode_since = models.DateTimeField(
        null=True, editable=False, help_text="when the mode was set; null: it was live from the beginning"
    )
    condition = models.TextField(blank=True, default="")
    on_leaving = models.CharField(
        "when an entity leaves the scope", max_length=12, choices=LeavingPolicy, default=LeavingPolicy.LEAVE
    )
    reactivation = models.JSONField("fields set when it comes back", null=True, blank=True)
    continues_after_failure = models.BooleanField(
        "keep retrying after reporting a failure",
        null=True,
        blank=True,
    )
    max_attempts = models.PositiveSmallIntegerField(
        default=8,
        validators=[MinValueValidator(1)],
    )
    gives_up_after_hours = models.FloatField(
        default=72.0,
        validators=[MinValueValidator(0.01), MaxValueValidator(876_000)],
    )
    retry_base_seconds = models.FloatField(
        "first pause",
        default=2.0,
        validators=[MinValueValidator(0.1), MaxValueValidator(86_400)],
    )
    retry_cap_seconds = models.FloatField(
        "longest pause",
        default=3600.0,
        validators=[MinValueValidator(1.0), MaxValueValidator(2_592_000)],
    )
    guard_minutes = models.PositiveIntegerField(
        "time window of the limits",
        default=60,
        validators=[MinValueValidator(1), MaxValueValidator(525_600)],
    )
    max_removals = models.PositiveIntegerField(
        "deletions per time window",
        default=50,
        null=True,
        blank=True,
    )
    max_changed_percent = models.FloatField(
        "changed records per time window",
        null=True,
        blank=True,
        validators=[MinValueValidator(0.1), MaxValueValidator(100)],
    )
    compare_every_hours = models.PositiveSmallIntegerField(
        "compare every",
        null=True,
        blank=True,
        validators=[MinValueValidator(1), MaxValueValidator(8_760)],
    )
    # With defaults of the database: processes of 0.1.0 add routes while the database is upgraded.
    repairs_differences = models.BooleanField("make equal by itself", default=False, db_default=False)
    repairs_missing_records = models.BooleanField(
        "also create missing records", default=False, db_default=False
    )
    max_repairs = models.PositiveSmallIntegerField(
        "at most", default=20, db_default=20, validators=[MinValueValidator(1), MaxValueValidator(100)]
    )
    schedule_set_by = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        models.SET_NULL,
        null=True,
        editable=False,
        related_name="+",
        db_index=False,
        help_text="who last changed the four settings above; empty: no person",
    )
    updated_at = models.DateTimeField(auto_now=True)

    class Meta:
        ordering = ["source", "entity_type", "id"]
        constraints = [models.UniqueConstraint("source", "entity_type", "target", name="route_once")]

    def __str__(self) -> str:
        return f"{self.source}: {self.entity_type} → {self.target}"

    def save(self, **options: Any) -> None:
        """Save the route. Give a new one its slug, and note when it is switched from fetching to the webhook's own
        data.
        """
        if not self.slug:
            self.slug = self._free_slug()
        if self.relays and self.pk and Route.objects.filter(pk=self.pk, relays=False).exists():
            self.relays_since = timezone.now()
            if "update_fields" in options:
                options["update_fields"] = {*options["update_fields"], "relays_since"}
        super().save(**options)

    def _free_slug(self) -> str:
        """Return source, type and target as a slug, with a number where another route has it."""
        base = re.sub("[^a-z0-9_]+", "-", f"{self.source.slug}-{self.entity_type}-{self.target.slug}".lower())
        taken = set(Route.objects.filter(slug__startswith=base).values_list("slug", flat=True))
        names = (f"{base}-{number}" if number > 1 else base for number in count(1))
        return next(name for name in names if name not in taken)

    @property
    def stream(self) -> str:
        """Return the stream of the audit log of what it may do: its mode. Its settings have `setting:route:<id>`."""
        return f"route:{self.pk}"

    @property
    def observes(self) -> bool:
        """True if its deliveries are planned and recorded, and nothing is written."""
        return self.mode == self.Mode.OBSERVE

    @property
    def identity_type(self) -> str:
        """Return the entity type by which the identity connection knows the entities of this route."""
        return self.identity_entity or self.entity_type

    @property
    def target_type(self) -> str:
        """Return the entity type by which the target connection knows the records of this route."""
        return self.target_entity or self.entity_type

    @property
    def ignores_deletion(self) -> bool:
        """True if the record of a deleted entity is left alone."""
        return self.when_deleted == self.DeletionPolicy.IGNORE

    @property
    def retries_after_answer(self) -> bool:
        """True if a retryable failure is retried after the source was notified of it.

        A fetched delivery converges whatever the source did meanwhile; a relayed one may not.
        """
        return not self.relays if self.continues_after_failure is None else self.continues_after_failure

    def clean(self) -> None:
        self.entity_type = self.entity_type.upper()
        self.identity_entity, self.target_entity = self.identity_entity.upper(), self.target_entity.upper()
        errors: dict[str, Any] = {}
        if self.relays and self.source_id and not self.source.is_signed:
            errors["relays"] = _("Only webhooks of a signed source can be relayed.")
        # A route that has become impossible can still be disabled.
        elif self.relays and self.is_enabled and self.source_id and not self.source.may_be_relayed:
            errors["relays"] = _(
                "A captured webhook of this source could be sent again and bring old data back: its signature covers "
                "neither a time nor an id, and its webhook format does not read the time of each event "
                "(“occurred_at”) from the body."
            )
        is_trusted = self.matching == MatchingPolicy.TRUSTED
        if is_trusted and self.source_id and not self.source.is_signed:
            errors["matching"] = _("Only a signed source can be trusted.")
        errors |= self._schedule_errors() | self._scope_errors()
        if not ROUTE_SETTINGS["deactivation"].accepts(self.deactivation):
            errors["deactivation"] = _("Enter a JSON object of field names and values.")
        elif self.when_deleted == self.DeletionPolicy.DEACTIVATE and not self.deactivation:
            errors["deactivation"] = _("Enter the fields that mark a record as inactive.")
        for name, side in (("identity", ConnectionSide.IDENTITY), ("target", ConnectionSide.TARGET)):
            if getattr(self, f"{name}_id") and getattr(self, name).side != side:
                names = {"connection": getattr(self, name), "system": side.label}
                errors[name] = _("%(connection)s is not a connection to the %(system)s.") % names
        # A condition that is refused for what it is needs no try.
        errors = find_gate_errors(self) | errors
        if errors:
            raise ValidationError(errors)

    def _scope_errors(self) -> dict[str, Any]:
        """Return the errors of the condition and of what happens to those who leave it and come back, by field."""
        self.condition = self.condition.strip()
        errors: dict[str, Any] = {}
        if self.condition and self.relays:
            errors["condition"] = _(
                "A route that uses the webhook's own data cannot have a condition: the data may be a part of the "
                "entity."
            )
        elif self.condition and (invalid := find_invalid_setting(CONDITION, self.condition)):
            errors["condition"] = invalid.sentence
        if self.reactivation is not None and not ROUTE_SETTINGS["reactivation"].accepts(self.reactivation):
            errors["reactivation"] = _("Enter a JSON object of field names and values.")
        if self.on_leaving == self.LeavingPolicy.DEACTIVATE and self.deactivation:
            if not (self.reactivation or self._writes_in_return()):
                errors.setdefault(
                    "reactivation",
                    _(
                        "Enter the fields that make a record active again: the mapping does not write all fields that "
                        "mark it as inactive."
                    ),
                )
        elif self.on_leaving == self.LeavingPolicy.DEACTIVATE:
            errors["deactivation"] = _("Enter the fields that mark a record as inactive.")
        return errors

    def _writes_in_return(self) -> bool:
        """Return True if the newest version of the mapping writes each field of the deactivation to every record."""
        version = self.mapping.versions.first() if self.mapping_id else None
        if version is None or not isinstance(self.deactivation, dict):
            return False
        try:
            mapping = parse_mapping(version.declaration)
        except InvalidMapping:
            return False
        return writes_in_return(mapping, frozenset(self.deactivation))

    def _schedule_errors(self) -> dict[str, Any]:
        """Return the errors of the settings of scheduled comparisons, by field."""
        errors: dict[str, Any] = {}
        if self.relays and self.compare_every_hours is not None:
            errors["compare_every_hours"] = _(
                "A route that uses the webhook's own data fetches no entities, so there is nothing to compare. "
                "Leave this empty."
            )
        if self.repairs_differences and self.compare_every_hours is None:
            errors["repairs_differences"] = _(
                "Differences can be made equal automatically only if “Compare every” is set."
            )
        if self.repairs_missing_records and not self.repairs_differences:
            errors["repairs_missing_records"] = _(
                "Missing records can be created automatically only if differences are made equal too."
            )
        return errors
