"""The described functions are those that the hub adds to JMESPath, and each example gives its result."""

import json
from typing import Any

import pytest

from config_schema.expressions.expression_budget import ExpressionBudget
from config_schema.expressions.expression_functions import KNOWN_FUNCTIONS, LINKED, STANDARD_FUNCTIONS
from config_schema.expressions.function_descriptions import (
    EXAMPLE_DOCUMENT,
    FUNCTION_DESCRIPTIONS,
    FunctionDescription,
)
from config_schema.expressions.jmespath_paths import compile_expression, functions_called
from tests.support.rows import each_row

pytestmark = pytest.mark.pure


def find_linked(entity_type: str, entity_id: Any) -> str:
    assert (entity_type, entity_id) == ("USER", 42)
    return "4711"


def evaluate(expression: str) -> Any:
    budget = ExpressionBudget(find_linked=find_linked)
    return compile_expression(expression, frozenset({LINKED}))(dict(EXAMPLE_DOCUMENT), budget)


def test_each_function_that_the_hub_adds_is_described() -> None:
    assert FUNCTION_DESCRIPTIONS.keys() == (KNOWN_FUNCTIONS - STANDARD_FUNCTIONS) | {LINKED}


@each_row(FUNCTION_DESCRIPTIONS.items())
def test_an_example_calls_its_function_and_gives_its_result(name: str, function: FunctionDescription) -> None:
    assert f"{name}(" in function.call
    assert functions_called(function.example) == {name}
    # As JSON: true is not 1.
    assert json.dumps(evaluate(function.example)) == json.dumps(function.result)
