"""The scope of a route: the entities for which its condition is true. Pure.

A condition is a JMESPath expression over `{"entity": …}` whose result is true or false. Whatever else it gives says
nothing of the entity: it is neither inside nor outside.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from config_schema.expressions.expression_budget import ExpressionBudget, OverBudget
from config_schema.expressions.expression_kind import CompiledExpressionKind
from config_schema.expressions.jmespath_paths import compile_expression
from connectors.contracts.types import Record
from sync.planning.change import Change, ScopeMove, UnreadFields, plan_existing_entity
from sync.planning.mapping import EXPRESSION_ERRORS, EntityNotMappable, ParsedMapping
from sync.planning.mapping_rules import WhenAbsent

CONDITION_FIELD = "condition"
CONDITION = CompiledExpressionKind(frozenset({"entity"}))


class ConditionFailed(EntityNotMappable):
    """The condition is neither true nor false for an entity, or exceeds its budget."""

    def __init__(self, reason: str) -> None:
        super().__init__(CONDITION_FIELD, reason)


class ConditionOverBudget(ConditionFailed):
    """The condition exceeds its budget for an entity, and may do so for every entity."""

    def __init__(self) -> None:
        super().__init__("the condition exceeds 10,000 steps, 256 KiB or 100 ms")


def in_scope(condition: str, entity: Mapping[str, Any], budget: ExpressionBudget | None = None) -> bool:
    """Return whether an entity, given as a whole by its attributes, fulfils a condition; an empty one is fulfilled by
    all. Without a `budget` it has that of one expression. Raises ConditionFailed if it is neither true nor false.
    """
    if not condition:
        return True
    try:
        value = compile_expression(condition)({"entity": entity}, budget)
    except OverBudget:
        raise ConditionOverBudget from None
    except EXPRESSION_ERRORS as error:
        raise ConditionFailed("the condition does not fit this entity") from error
    if value is None:
        raise ConditionFailed("the condition gives null, neither true nor false")
    if not isinstance(value, bool):
        raise ConditionFailed("the condition gives another value than true or false")
    return value


def digest_condition(condition: str) -> str:
    """Return the first 24 hexadecimal digits of the SHA-256 of a condition, by which the audit log names it."""
    return hashlib.sha256(condition.encode()).hexdigest()[:24]


def plan_returned_entity(
    mapping: ParsedMapping,
    fields: Mapping[str, Any],
    reactivation: Mapping[str, Any],
    record: Record | None,
    unread: UnreadFields | None = None,
) -> Change:
    """Plan the change for an entity that fulfils the condition again: the mapped fields, and those of `reactivation`
    that the mapping does not write to this record.
    """
    kept = mapping.compared_fields if record is not None else mapping.fields.keys()
    further = {name: value for name, value in reactivation.items() if name not in fields or name not in kept}
    change = plan_existing_entity(
        {**fields, **further},
        record,
        mapping.caseless_fields,
        only_on_create=mapping.creation_fields - further.keys(),
        not_compared=mapping.uncompared_fields - further.keys(),
        unread=unread,
    )
    return replace(change, scope=ScopeMove.RETURNED)


def writes_in_return(mapping: ParsedMapping, names: frozenset[str]) -> bool:
    """Return True if a mapping writes each of these fields to the record of every entity."""
    written = mapping.compared_fields - mapping.webhook_fields
    return all(name in written and mapping.fields[name].when_absent is not WhenAbsent.KEEP for name in names)
