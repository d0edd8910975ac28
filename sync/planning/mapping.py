"""Mappings: rules that turn an entity into the fields of a record. `mapping_declaration` parses them. Pure.

A path is a JMESPath expression (https://jmespath.org/specification.html) over `{"entity": …, "webhook": …}`; those of
`match.previous` and `match.verified.previous` look into the webhook's `previous` field. A value that is not there
becomes null.

`match.verified` says by record field which values the identity service marks as verified: each rule gives one value or
a list of at most 10. Its rules only match. What is written follows `fields`, and may be unverified.
"""

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from enum import StrEnum
from functools import cached_property
from typing import Any

from jmespath.exceptions import JMESPathError

from sync.connectors.contracts.types import Record
from sync.planning.change import Change, plan_existing_entity
from sync.planning.references import Reference, ReferenceLimit, ReferenceLookup, WhenMissing
from webhooks.expressions.expression_budget import (
    MAX_BYTES,
    MAX_STEPS,
    ExpressionBudget,
    OverBudget,
)
from webhooks.expressions.jmespath_paths import (
    Evaluator,
)

# Of one rule of `match.verified`: each value costs a search in the target.
MAX_VERIFIED_VALUES = 10

# For the records of other entities that a record refers to.
DEFAULT_REFERENCE_WAIT = timedelta(minutes=15)

# Of all expressions of a mapping over one entity.
MAX_MAPPING_STEPS = 10 * MAX_STEPS
MAX_MAPPING_BYTES = 16 * MAX_BYTES

# What an expression may raise over an entity that it does not fit: `ceil` of an infinite number, depth, wrong kinds.
_EXPRESSION_ERRORS = (JMESPathError, TypeError, ValueError, AttributeError, ArithmeticError, RecursionError)
_ALWAYS_JSON = frozenset({str, bool, type(None)})


class EntityNotMappable(Exception):
    """The entity cannot be mapped; `field` is the record field that failed."""

    def __init__(self, field_name: str, reason: str) -> None:
        super().__init__(f"{field_name}: {reason}")
        self.field = field_name
        self.reason = reason


class MappingOverBudget(EntityNotMappable):
    """An expression, or all of the mapping together, costs more than its budget. `field` names where it stopped."""

    def __init__(self, field_name: str) -> None:
        super().__init__(field_name, gettext_noop("the expression exceeds 10,000 steps, 256 KiB or 100 ms"))


class TooManyReferences(EntityNotMappable):
    """The entity has more references than a mapping resolves."""

    def __init__(self, field_name: str) -> None:
        super().__init__(field_name, gettext_noop("the entity has more than 1,000 references"))


class ReferenceMissing(EntityNotMappable):
    """Other entities have no record in the target. `is_final`: the wait for them is over."""

    def __init__(self, field_name: str, missing: frozenset[Reference], *, is_final: bool) -> None:
        super().__init__(
            field_name, gettext_noop("an entity that it refers to has no record in this target yet")
        )
        self.missing = missing
        self.is_final = is_final


# Not Django's function, since this package does not import Django.
def gettext_noop(text: str) -> str:
    """Return the text, marked for translation; the console translates it."""
    return text


class WhenAbsent(StrEnum):
    """The value of a record's field for which the entity has none: null, or nothing at all."""

    KEEP = "keep"
    CLEAR = "clear"


@dataclass(frozen=True, slots=True)
class FieldRule:
    """Rule that computes one field of the record.

    `entity_fields` are the fields of the entity that it reads; None if it reads the whole entity. If `when_absent` is
    None, a missing value clears the field for a whole entity, and keeps it for a partial one. `linked` is the type of
    the entities whose record ids the field contains. `reference_types` are all types that it refers to.
    """

    path: Evaluator | None = None
    constant: Any = None
    apply: tuple[Callable[[Any], Any], ...] = ()
    is_required: bool = False
    is_caseless: bool = False
    entity_fields: frozenset[str] | None = None
    is_only_on_create: bool = False
    is_not_compared: bool = False
    when_absent: WhenAbsent | None = None
    linked: str = ""
    when_missing: WhenMissing = WhenMissing.FAIL
    reference_types: frozenset[str] = frozenset()

    def has_input_in(self, part: Mapping[str, Any]) -> bool:
        """Return True if a partial entity has a field that this rule reads. Needed because `entity.locked !=
        `true`` is true of an absent field.
        """
        return not self.entity_fields or not self.entity_fields.isdisjoint(part)

    def compute_value(self, document: Mapping[str, Any], budget: ExpressionBudget) -> Any:
        """Compute the value for `{"entity": …, "webhook": …}`. Raises what an expression may raise, OverBudget, and
        ReferenceLimit.
        """
        value = self.constant if self.path is None else self.path(document, budget)
        for change in self.apply:
            value = change(value)
        if self.linked and budget.find_linked is not None:
            value = budget.find_linked(self.linked, value)
        return value


@dataclass(frozen=True, slots=True)
class MatchValue:
    """A value that a record may be found by. `is_verified`: the identity service marks it as verified."""

    field: str
    value: Any
    is_verified: bool = False


@dataclass(frozen=True, slots=True)
class MatchRule:
    """Rule for finding a record that is not linked yet.

    `verified_previous` and `verified_new` give the values that the identity service marks as verified.
    """

    external_id: str | None = None
    previous: Mapping[str, Evaluator] = field(default_factory=dict)
    new: tuple[str, ...] = ()
    verified_previous: Mapping[str, FieldRule] = field(default_factory=dict)
    verified_new: Mapping[str, FieldRule] = field(default_factory=dict)


@dataclass(frozen=True)
class ParsedMapping:
    """A validated declaration."""

    fields: Mapping[str, FieldRule]
    match: MatchRule
    reference_wait: timedelta = DEFAULT_REFERENCE_WAIT

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
                raise EntityNotMappable(
                    name, gettext_noop("it is required, but the entity has no value for it")
                )
        return fields

    def previous_values(self, documents: Sequence[Mapping[str, Any]]) -> list[MatchValue]:
        """Return the overwritten values from these `previous` fields of webhooks, verified ones first.

        Raises MappingOverBudget.
        """
        budget = _new_budget()
        verified = [
            value
            for previous in documents
            for value in _compute_verified("previous", self.match.verified_previous, previous, budget)
        ]
        others = [
            MatchValue(name, _evaluate_or_none(f"match.previous.{name}", path, previous, budget))
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
        verified = _compute_verified("new", self.match.verified_new, document, _new_budget())
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

    def plan_record(self, target_fields: Mapping[str, Any], record: Record | None) -> Change:
        """Plan the change of a record from the mapped fields. `record` is None for a record to be created."""
        return plan_existing_entity(
            target_fields,
            record,
            self.caseless_fields,
            only_on_create=self.creation_fields,
            not_compared=self.uncompared_fields,
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
    except _EXPRESSION_ERRORS as error:
        raise EntityNotMappable(name, gettext_noop("the expression does not fit this entity")) from error
    return value


def _compute_verified(
    match_part: str, rules: Mapping[str, FieldRule], document: Mapping[str, Any], budget: ExpressionBudget
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
    except _EXPRESSION_ERRORS:
        return None
