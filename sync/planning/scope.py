"""The scope of a route: the entities for which its condition is true. Pure.

A condition is a JMESPath expression over `{"entity": …}` whose result is true or false. Whatever else it gives says
nothing of the entity: it is neither inside nor outside.
"""

from collections.abc import Mapping
from typing import Any

from config_schema.expressions.expression_budget import ExpressionBudget, OverBudget
from config_schema.expressions.expression_kind import CompiledExpressionKind
from config_schema.expressions.jmespath_paths import compile_expression
from sync.planning.mapping import EXPRESSION_ERRORS, EntityNotMappable, gettext_noop

CONDITION_FIELD = "condition"
CONDITION = CompiledExpressionKind(frozenset({"entity"}))


class ConditionFailed(EntityNotMappable):
    """The condition is neither true nor false for an entity, or exceeds its budget."""

    def __init__(self, reason: str) -> None:
        super().__init__(CONDITION_FIELD, reason)


class ConditionOverBudget(ConditionFailed):
    """The condition exceeds its budget for an entity, and may do so for every entity."""

    def __init__(self) -> None:
        super().__init__(gettext_noop("the condition exceeds 10,000 steps, 256 KiB or 100 ms"))


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
        raise ConditionFailed(gettext_noop("the condition does not fit this entity")) from error
    if value is None:
        raise ConditionFailed(gettext_noop("the condition gives null, neither true nor false"))
    if not isinstance(value, bool):
        raise ConditionFailed(gettext_noop("the condition gives another value than true or false"))
    return value
