"""Find out whether an expression lost all items of a list because none has the path that it reads. Pure.

JMESPath leaves null out of a projection: `results[].propertees` gives an empty list where each result has `properties`.
So a wrong path looks as if nothing was found.
"""

from collections.abc import Iterator
from functools import lru_cache
from typing import Any

from config_schema.expressions.expression_budget import ExpressionBudget
from config_schema.expressions.jmespath_paths import Evaluator, compile_node, parse_expression

_PROJECTIONS = frozenset({"filter_projection", "projection", "value_projection"})
# Nodes whose first child gives the list that they read.
_READING_NODES = _PROJECTIONS | {"flatten", "index_expression", "pipe"}


def loses_all_items(text: str, document: Any, budget: ExpressionBudget | None = None) -> bool:
    """Return True if one of the projections that an expression consists of finds nothing in any item of a list with
    items. What a filter `[?…]` leaves out is no item. Raises OverBudget, and JMESPathError.
    """
    return any(
        _has_items(find_list(document, budget)) and find_result(document, budget) == []
        for find_list, find_result in _projections(text)
    )


def _has_items(found: Any) -> bool:
    items = found.values() if isinstance(found, dict) else found if isinstance(found, list) else ()
    return any(item is not None for item in items)


@lru_cache(maxsize=2048)
def _projections(text: str) -> tuple[tuple[Evaluator, Evaluator], ...]:
    """Return for each projection what finds the list that it reads, and what finds its result."""
    nodes = _projection_nodes(parse_expression(text), ())
    return tuple((compile_node(lists), compile_node(result)) for lists, result in nodes)


def _projection_nodes(node: Any, path: tuple[Any, ...]) -> Iterator[tuple[Any, Any]]:
    """Yield the nodes of the list and of the result of each projection. `path`: the steps before the node."""
    kind, children = node["type"], node["children"]
    if kind == "subexpression":
        for number, child in enumerate(children):
            yield from _projection_nodes(child, (*path, *children[:number]))
    elif kind in _READING_NODES:
        if kind in _PROJECTIONS:
            yield _after(path, _list_node(node)), _after(path, node)
        yield from _projection_nodes(children[0], path)


def _after(path: tuple[Any, ...], node: Any) -> Any:
    return {"type": "subexpression", "children": [*path, node]}


def _list_node(projection: Any) -> Any:
    if projection["type"] != "filter_projection":
        return projection["children"][0]
    base, _, condition = projection["children"]
    return {**projection, "children": [base, {"type": "identity", "children": []}, condition]}
