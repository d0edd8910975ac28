"""Mappings: rules that turn an entity into the fields of a record. `mapping_declaration` parses them. Pure.

A path is a JMESPath expression (https://jmespath.org/specification.html) over `{"entity": …, "webhook": …}`; those of
`match.previous` and `match.verified.previous` look into the webhook's `previous` field. A value that is not there
becomes null.

`match.verified` says by record field which values the identity service marks as verified: each rule gives one value or
a list of at most 10. Its rules only match. What is written follows `fields`, and may be unverified.
"""

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from functools import cached_property
from typing import Any, Self

from jmespath.exceptions import JMESPathError

from config_schema.declared import Declared, setting
from config_schema.expressions.expression_budget import (
    MAX_BYTES,
    MAX_STEPS,
    OVER_BUDGET_REASON,
    ExpressionBudget,
    OverBudget,
)
from config_schema.kinds import Duration, WholeNumber
from config_schema.objects import MapOf
from config_schema.rules import CodeRule, Fault, NamedValues
from connectors.contracts.types import Record
from sync.planning.change import Change, UnreadFields, plan_existing_entity
from sync.planning.mapping_rules import (
    MAX_FIELDS,
    MAX_VERIFIED_VALUES,
    FieldRule,
    MatchRule,
    VerifiedRule,
    WhenAbsent,
)
from sync.planning.references import Reference, ReferenceLimit, ReferenceLookup

MAX_REFERENCE_WAIT_MINUTES = 3 * 24 * 60

# Of all expressions of a mapping over one entity.
MAX_MAPPING_STEPS = 10 * MAX_STEPS
MAX_MAPPING_BYTES = 16 * MAX_BYTES

# What an expression may raise over an entity that it does not fit: `ceil` of an infinite number, depth, wrong kinds.
EXPRESSION_ERRORS = (JMESPathError, TypeError, ValueError, AttributeError, ArithmeticError, RecursionError)
_ALWAYS_JSON = frozenset({str, bool, type(None)})


# Of a required field. The console recognises them.
REQUIRED_BUT_MISSING = "required, but `%(path)s` matched nothing"
REQUIRED_BUT_EMPTY = "required, but `%(path)s` matched an empty value"


class EntityNotMappable(Exception):
    """The entity cannot be mapped; `field` is the record field that failed."""

    def __init__(self, field_name: str, reason: str) -> None:
        super().__init__(f"{field_name}: {reason}")
        self.field = field_name
        self.reason = reason


class MappingOverBudget(EntityNotMappable):
    """An expression, or all of the mapping together, costs more than its budget. `field` names where it stopped."""

    def __init__(self, field_name: str) -> None:
        super().__init__(field_name, OVER_BUDGET_REASON)


class TooManyReferences(EntityNotMappable):
    """The entity has more references than a mapping resolves."""

    def __init__(self, field_name: str) -> None:
        super().__init__(field_name, "the entity has more than 1,000 references")


class ReferenceMissing(EntityNotMappable):
    """Other entities have no record in the target. `is_final`: the wait for them is over."""

    def __init__(self, field_name: str, missing: frozenset[Reference], *, is_final: bool) -> None:
        super().__init__(field_name, "an entity that it refers to has no record in this target yet")
        self.missing = missing
        self.is_final = is_final


@dataclass(frozen=True, slots=True)
class MatchValue:
    """A value that a record may be found by. `is_verified`: the identity service marks it as verified."""

    field: str
    value: Any
    is_verified: bool = False


def _find_unknown_field(values: NamedValues) -> Fault | None:
    is_known = all(name in values["fields"] for name in values["match"].new)
    return None if is_known else (("match", "new"), "This must be a list of fields of this mapping.")


class ParsedMapping(Declared):
    """A validated declaration."""

    fields: Mapping[str, FieldRule] = setting(
        MapOf(FieldRule.kind, "FIELD", 1, MAX_FIELDS, noun="fields"),
        "Where the value of each field of the record comes from, by the field's name in the target. Other fields "
        "are never written.",
        example={"email": {"path": "entity.email", "apply": ["lower"], "required": True}},
    )
    match: MatchRule = setting(
        MatchRule.kind,
        "How to find a record that is not linked yet: by `external_id`, then by a previous value, and by a new "
        "value only before a record is created.",
        default={},
        example={"external_id": "external_id", "previous": {"email": "email"}, "new": ["email"]},
    )
    reference_wait: timedelta = setting(
        Duration(WholeNumber(0, MAX_REFERENCE_WAIT_MINUTES), timedelta(minutes=1)),
        "How long a delivery waits for the records that its record refers to, counted from the webhook or the last "
        "replay, and at most as long as its route retries. Afterwards `when_missing` decides.",
        name="reference_wait_minutes",
        default=15,
        example=60,
    )

    rules = (
        CodeRule(
            sentence="`match.new` names only fields that are in `fields`.",
            find_fault=_find_unknown_field,
        ),
    )

    @cached_property
    def reference_types(self) -> frozenset[str]:
        """Return the types of the entities that the record may refer to; empty for a mapping without references."""
        return frozenset(name for rule in self.fields.values() for name in rule.reference_types)

    def map_entity(
        self, entity: Mapping[str, Any], webhook: Mapping[str, Any], lookup: ReferenceLookup | None = None
    ) -> dict[str, Any]:
        """Map an entity to the fields of a record. Leaves out fields that keep their value in the record because the
        entity has none. Without a `lookup`, references are replaced by their names. Raises EntityNotMappable for a
        required field without a value.
        """
        fields = self._map_fields(self.fields, entity, webhook, (None, "", []), lookup)
        return self._without_unset_fields(fields, WhenAbsent.CLEAR)

    def map_partial_entity(
        self, part: Mapping[str, Any], webhook: Mapping[str, Any], lookup: ReferenceLookup | None = None
    ) -> dict[str, Any]:
        """Map the attributes of a partial entity to record fields. Rules whose input is absent are left out, and null
        values too unless they clear the field. Raises EntityNotMappable as `map_entity` does, and if a required field
        would become empty.
        """
        rules = {name: rule for name, rule in self.fields.items() if rule.has_input_in(part)}
        fields = self._map_fields(rules, part, webhook, ("", []), lookup)
        return self._without_unset_fields(fields, WhenAbsent.KEEP)

    def _without_unset_fields(self, fields: dict[str, Any], default: WhenAbsent) -> dict[str, Any]:
        """Return the fields without null ones that leave the record's value as it is."""
        return {
            name: value
            for name, value in fields.items()
            if value is not None or (self.fields[name].when_absent or default) is WhenAbsent.CLEAR
        }

    def _map_fields(
        self,
        rules: Mapping[str, FieldRule],
        entity: Mapping[str, Any],
        webhook: Mapping[str, Any],
        empty_values: tuple[Any, ...],
        lookup: ReferenceLookup | None,
    ) -> dict[str, Any]:
        document = {"entity": entity, "webhook": webhook}
        lookup = lookup or ReferenceLookup()
        budget = ExpressionBudget(MAX_MAPPING_STEPS, MAX_MAPPING_BYTES, lookup.find_linked)
        fields = {}
        for name, rule in rules.items():
            lookup.field = name
            fields[name] = _compute_field(name, rule, document, budget)
        for name, rule in rules.items():
            if rule.is_required and fields[name] in empty_values:
                reason = REQUIRED_BUT_MISSING if fields[name] is None else REQUIRED_BUT_EMPTY
                raise EntityNotMappable(name, reason % {"path": rule.path.text if rule.path else name})
        return fields

    def previous_values(self, documents: Sequence[Mapping[str, Any]]) -> list[MatchValue]:
        """Return the overwritten values from these `previous` fields of webhooks, verified ones first.

        Raises MappingOverBudget.
        """
        budget = _new_budget()
        verified = [
            value
            for previous in documents
            for value in _compute_verified("previous", self.match.verified.previous, previous, budget)
        ]
        others = [
            MatchValue(name, _evaluate_or_none(f"match.previous.{name}", path.evaluate, previous, budget))
            for previous in documents
            for name, path in self.match.previous.items()
        ]
        return self._without_duplicates([*verified, *others])

    def new_values(
        self, entity: Mapping[str, Any], webhook: Mapping[str, Any], target_fields: Mapping[str, Any]
    ) -> list[MatchValue]:
        """Return each new value that a record may be found by, verified ones first. `target_fields`: the mapped fields.

        Raises MappingOverBudget.
        """
        document = {"entity": entity, "webhook": webhook}
        verified = _compute_verified("new", self.match.verified.new, document, _new_budget())
        return self._without_duplicates(
            [*verified, *(MatchValue(name, target_fields.get(name)) for name in self.match.new)]
        )

    def _without_duplicates(self, values: Iterable[MatchValue]) -> list[MatchValue]:
        """Drop empty values, which would match records that have none, and each value that an earlier one equals."""
        unique: dict[tuple[str, str], MatchValue] = {}
        for value in values:
            if isinstance(value.value, str | int) and value.value != "":
                text = str(value.value)
                is_caseless = value.field in self.caseless_fields
                unique.setdefault((value.field, text.casefold() if is_caseless else text), value)
        return list(unique.values())

    @cached_property
    def caseless_fields(self) -> frozenset[str]:
        """Return the fields that are compared without regard to case."""
        return frozenset(name for name, rule in self.fields.items() if rule.is_caseless)

    @cached_property
    def creation_fields(self) -> frozenset[str]:
        """Return the fields that are written only when a record is created."""
        return frozenset(name for name, rule in self.fields.items() if rule.is_only_on_create)

    @cached_property
    def uncompared_fields(self) -> frozenset[str]:
        """Return the fields that are sent with other changes, and cause none."""
        return frozenset(name for name, rule in self.fields.items() if rule.is_not_compared)

    @cached_property
    def compared_fields(self) -> frozenset[str]:
        """Return the fields whose value causes an update of a record."""
        return frozenset(self.fields) - self.creation_fields - self.uncompared_fields

    @cached_property
    def webhook_fields(self) -> frozenset[str]:
        """Return the fields whose value depends on the webhook."""
        return frozenset(name for name, rule in self.fields.items() if rule.reads_webhook)

    @cached_property
    def searchable_rules(self) -> tuple[FieldRule, ...]:
        """Return the rules of the fields by whose value people are found."""
        return tuple(rule for rule in self.fields.values() if rule.is_searchable)

    @cached_property
    def of_entity(self) -> Self:
        """Return the mapping without the fields whose value depends on the webhook."""
        if not self.webhook_fields:
            return self
        kept = {name: rule for name, rule in self.fields.items() if name not in self.webhook_fields}
        return replace(self, fields=kept)

    def plan_record(
        self, target_fields: Mapping[str, Any], record: Record | None, unread: UnreadFields | None = None
    ) -> Change:
        """Plan the change of a record from the mapped fields. `record` is None for a record to be created. `unread`:
        the fields that the target does not return.
        """
        return plan_existing_entity(
            target_fields,
            record,
            self.caseless_fields,
            only_on_create=self.creation_fields,
            not_compared=self.uncompared_fields,
            unread=unread,
        )


def _new_budget() -> ExpressionBudget:
    return ExpressionBudget(MAX_MAPPING_STEPS, MAX_MAPPING_BYTES)


def _compute_field(name: str, rule: FieldRule, document: Mapping[str, Any], budget: ExpressionBudget) -> Any:
    try:
        value = rule.compute_value(document, budget)
        # An expression can also give what JSON cannot hold: `&name`, infinity, a number too long to be written.
        if type(value) not in _ALWAYS_JSON:
            json.dumps(value, allow_nan=False)
    except OverBudget:
        raise MappingOverBudget(name) from None
    except ReferenceLimit:
        raise TooManyReferences(name) from None
    except EXPRESSION_ERRORS as error:
        raise EntityNotMappable(name, "the expression does not fit this entity") from error
    return value


def _compute_verified(
    match_part: str, rules: Mapping[str, VerifiedRule], document: Mapping[str, Any], budget: ExpressionBudget
) -> list[MatchValue]:
    values = []
    for name, rule in rules.items():
        result = _evaluate_or_none(
            f"match.verified.{match_part}.{name}", rule.compute_value, document, budget
        )
        items = result if isinstance(result, list) else [result]
        values += [MatchValue(name, value, is_verified=True) for value in items[:MAX_VERIFIED_VALUES]]
    return values


def _evaluate_or_none(
    name: str,
    path: Callable[[Any, ExpressionBudget], Any],
    document: Mapping[str, Any],
    budget: ExpressionBudget,
) -> Any:
    try:
        return path(document, budget)
    except OverBudget:
        raise MappingOverBudget(name) from None
    except EXPRESSION_ERRORS:
        return None
