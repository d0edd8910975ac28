"""Compile JMESPath expressions (https://jmespath.org/specification.html). Pure.

Most are plain paths such as `entity.emails[0].address`. Those are evaluated here, with the same result as the
library at a tenth of the cost. All others run under a budget (`expression_budget`).
"""

import re
from collections.abc import Iterator
from functools import lru_cache
from typing import Any, Protocol

import jmespath
from jmespath.exceptions import JMESPathError

from config_schema.expressions.expression_budget import ExpressionBudget, evaluate_node
from config_schema.expressions.expression_functions import KNOWN_FUNCTIONS, LINKED

MAX_LENGTH = 1_000
MAX_DEPTH = 50
MAX_NODES = 2_000
# Of an entity type that `linked()` names.
MAX_TYPE_LENGTH = 64

_PLAIN_PATH = re.compile(r"[A-Za-z_]\w*(?:\.[A-Za-z_]\w*|\[(?:0|-?[1-9][0-9]{0,6})\])*", re.ASCII)
_PATH_STEP = re.compile(r"(\w+)|\[(-?[0-9]+)\]", re.ASCII)


class Evaluator(Protocol):
    """A compiled expression."""

    def __call__(self, document: Any, budget: ExpressionBudget | None = None, /) -> Any:
        """Evaluate the expression within its own limits, and within a budget that other expressions share.

        Raises OverBudget if it costs too much, and JMESPathError if the document does not fit the expression.
        """


# Nodes whose result consists of parts of the document, each at most once. The condition of a filter and the sides of a
# comparison give no part of the result.
_SELECTING_NODE_TYPES = frozenset(
    {"and_expression", "comparator", "current", "field", "filter_projection", "flatten", "identity", "index"}
    | {"index_expression", "not_expression", "or_expression", "pipe", "projection", "slice", "subexpression"}
    | {"value_projection"}
)


class ExpressionRefused(JMESPathError):  # type: ignore[misc]
    """A well-formed expression that is not allowed. The message completes a sentence about it."""


class ExpressionTooLarge(ExpressionRefused):
    """An expression is too long, too large or nested too deeply."""

    def __init__(self) -> None:
        super().__init__(
            f"is longer than {MAX_LENGTH:,} characters, nested more than {MAX_DEPTH} deep, or has more than "
            f"{MAX_NODES:,} nodes."
        )


class UnknownFunction(ExpressionRefused):
    """An expression calls an unknown function."""

    def __init__(self, name: str, known: frozenset[str]) -> None:
        names = ", ".join(sorted(known))
        super().__init__(f"calls {name[:40]}(). Known functions: {names}.")


class NegatedPath(ExpressionRefused):
    """An expression reads a part of a negation, which has none: `!a.b` means `(!a).b`."""

    def __init__(self, operand: str, part: str) -> None:
        super().__init__(
            f"reads a part of a negation, which is always null: JMESPath reads !{operand}.{part} as "
            f"(!{operand}).{part}. Write !({operand}.{part})."
        )


# Nodes that read a part of the value of their first child.
NODE_TYPES_WITH_BASE = frozenset(
    {"filter_projection", "flatten", "index_expression", "projection", "subexpression", "value_projection"}
)


@lru_cache(maxsize=2048)
def compile_expression(text: str, more_functions: frozenset[str] = frozenset()) -> Evaluator:
    """Compile an expression. `more_functions`: those it may call besides `KNOWN_FUNCTIONS`.

    Raises JMESPathError if it is invalid, and ExpressionRefused.
    """
    # Parsed in any case, so that invalid expressions are refused.
    root = parse_expression(text)
    known = KNOWN_FUNCTIONS | more_functions
    for call in _function_calls(root):
        if call["value"] not in known:
            raise UnknownFunction(call["value"], known)
    _refuse_negated_paths(root)
    if text == "@":
        return _evaluate_current_document
    if not is_plain_expression(text):
        return compile_node(root)
    return _compile_path([int(index) if index else name for name, index in _PATH_STEP.findall(text)])


def is_plain_expression(text: str) -> bool:
    """Return True if a valid expression is a plain path. Its evaluator needs no budget and fits every document: it
    returns None where there is no value.
    """
    return text == "@" or _PLAIN_PATH.fullmatch(text) is not None


def compile_node(root: Any) -> Evaluator:
    """Return the evaluator of a parsed expression."""
    can_exceed_document = _can_exceed_document(root)

    def evaluate(document: Any, budget: ExpressionBudget | None = None, /) -> Any:
        return evaluate_node(
            root, document, budget or ExpressionBudget(), can_exceed_document=can_exceed_document
        )

    return evaluate


def parse_expression(text: str) -> Any:
    """Parse an expression into the library's nodes. Raises ExpressionTooLarge, and JMESPathError if it is invalid."""
    if len(text) > MAX_LENGTH:
        raise ExpressionTooLarge
    try:
        root = jmespath.compile(text).parsed
    except RecursionError:
        raise ExpressionTooLarge from None
    level, nodes_left = [root], MAX_NODES
    # A node holds its children in a list: two levels of containers.
    for _ in range(2 * MAX_DEPTH):
        nodes_left -= sum(isinstance(node, dict) and "type" in node for node in level)
        level = [child for node in level for child in _list_child_nodes(node)]
        if nodes_left < 0:
            break
        if not level:
            return root
    raise ExpressionTooLarge


def _list_child_nodes(node: Any) -> list[Any]:
    """Return the children of a node, or the values in a literal. Raises JMESPathError for a text that is not valid
    Unicode, because no database stores it and no request sends it.
    """
    if isinstance(node, str):
        if "\0" in node or any("\ud800" <= character <= "\udfff" for character in node):
            raise JMESPathError("A text of an expression holds U+0000 or half of a surrogate pair.")
        return []
    if isinstance(node, dict):
        return [*node, *node.values()]
    return node if isinstance(node, list) else []


def _iterate_nodes(root: Any) -> Iterator[Any]:
    pending_nodes = [root]
    while pending_nodes:
        node = pending_nodes.pop()
        yield node
        # A slice has numbers as children.
        pending_nodes += [child for child in node["children"] if isinstance(child, dict)]


def _function_calls(root: Any) -> Iterator[Any]:
    return (node for node in _iterate_nodes(root) if node["type"] == "function_expression")


def _refuse_negated_paths(root: Any) -> None:
    """Raise NegatedPath if an expression reads a part of a negation, which is true or false and has no parts."""
    for node in _iterate_nodes(root):
        first, *rest = node["children"] or [None]
        if node["type"] in NODE_TYPES_WITH_BASE and first is not None and first["type"] == "not_expression":
            operand, part = (_format_path(nodes) for nodes in (first["children"], rest))
            raise NegatedPath(*((operand, part) if operand and part else ("a", "b")))


def _format_path(nodes: list[Any]) -> str:
    """Return the path of field names that the nodes form; "" if one of them is not a field."""
    try:
        return ".".join(name for node in nodes for name in _field_names(node))[:100]
    except ValueError:
        return ""


@lru_cache(maxsize=2048)
def functions_called(text: str) -> frozenset[str]:
    """Return the names of the functions that an expression calls. Raises JMESPathError."""
    return frozenset(call["value"] for call in _function_calls(parse_expression(text)))


@lru_cache(maxsize=2048)
def linked_types(text: str) -> frozenset[str]:
    """Return the entity types that an expression passes to `linked()`. Raises ExpressionRefused if one is not a literal
    text, and JMESPathError.
    """
    types = set()
    for call in _function_calls(parse_expression(text)):
        if call["value"] == LINKED:
            first = call["children"][0] if len(call["children"]) == 2 else {}
            name = first.get("value") if first.get("type") == "literal" else None
            if not isinstance(name, str) or not 0 < len(name) <= MAX_TYPE_LENGTH:
                raise ExpressionRefused("must name the entity type: linked('USER', entity.ownerId).")
            types.add(name)
    return frozenset(types)


def _can_exceed_document(root: Any) -> bool:
    """Return True if the result of an expression can be larger than the document."""
    pending_nodes = [root]
    while pending_nodes:
        node = pending_nodes.pop()
        kind = node["type"]
        # `[body]` gives each part once, as long as it has one item.
        is_list_of_one = kind == "multi_select_list" and len(node["children"]) == 1
        if kind not in _SELECTING_NODE_TYPES and not is_list_of_one:
            return True
        # A slice has numbers as children, and the last child of a filter is its condition.
        if kind not in ("slice", "comparator"):
            pending_nodes += node["children"][:2] if kind == "filter_projection" else node["children"]
    return False


def parse_field_path(text: str) -> tuple[str, ...]:
    """Return the field names of an expression that is nothing but a path of them, such as `meta."@etag"`.

    Raises ValueError for any other expression, and JMESPathError if it is invalid.
    """
    return _field_names(parse_expression(text))


def _field_names(node: Any) -> tuple[str, ...]:
    if node["type"] == "subexpression":
        return tuple(name for child in node["children"] for name in _field_names(child))
    if node["type"] != "field":
        raise ValueError("only field names are allowed")
    return (str(node["value"]),)


@lru_cache(maxsize=2048)
def fields_read(text: str, name: str) -> frozenset[str] | None:
    """Return the fields of the document's field `name` that an expression reads; None if it reads all of it.

    Raises JMESPathError.
    """
    names: set[str] = set()
    return frozenset(names) if _collect_fields(parse_expression(text), name, names) else None


def _collect_fields(node: Any, name: str, names: set[str]) -> bool:
    kind = node["type"]
    # A slice has numbers as children.
    children = [child for child in node["children"] if isinstance(child, dict)]
    if kind == "subexpression" and _is_field_node(children[0], name):
        field_node = children[1]
        while field_node["type"] == "index_expression":
            field_node = field_node["children"][0]
        if field_node["type"] != "field":
            return False
        names.add(field_node["value"])
        return True
    return not _is_field_node(node, name) and all(_collect_fields(child, name, names) for child in children)


# The child that builds what an expression gives: the last step of a path, what is done with each item, or what follows
# a condition. A path of fields is one node, with a child for each step; the third child of a filter is its condition.
_BUILDING_CHILDREN = {
    "subexpression": -1,
    "pipe": -1,
    "projection": 1,
    "value_projection": 1,
    "filter_projection": 1,
    "and_expression": 1,
    "map": 0,
    "expref": 0,
}


@lru_cache(maxsize=2048)
def fields_built(text: str) -> frozenset[str] | None:
    """Return the names of the fields of the objects that an expression builds, such as `{id: id, name: name}`; None if
    it may give an object of the document as it is.

    Raises JMESPathError.
    """
    return _built_fields(parse_expression(text))


def _built_fields(node: Any) -> frozenset[str] | None:
    kind, children = node["type"], node["children"]
    if kind == "multi_select_dict":
        return frozenset(child["value"] for child in children)
    if kind == "literal":
        # Null and an empty list, which stand for nothing, have no fields.
        return None if isinstance(node["value"], dict) or node["value"] else frozenset()
    name = node["value"] if kind == "function_expression" else kind
    if name in _BUILDING_CHILDREN:
        return _built_fields(children[_BUILDING_CHILDREN[name]])
    if name not in ("or_expression", "merge"):
        return None
    built = [_built_fields(child) for child in children]
    return None if None in built else frozenset[str]().union(*(names for names in built if names is not None))


def _is_field_node(node: Any, name: str) -> bool:
    return bool(node["type"] == "field" and node["value"] == name)


def _evaluate_current_document(document: Any, _budget: ExpressionBudget | None = None, /) -> Any:
    return document


def _compile_path(steps: list[str | int]) -> Evaluator:
    first = steps[0]
    if len(steps) == 1 and isinstance(first, str):

        def find_field(document: Any, _budget: ExpressionBudget | None = None, /) -> Any:
            return _get_field(document, first)

        return find_field

    def find_value(document: Any, _budget: ExpressionBudget | None = None, /) -> Any:
        for step in steps:
            document = _get_field(document, step) if isinstance(step, str) else _get_item(document, step)
            if document is None:
                return None
        return document

    return find_value


def _get_field(value: Any, name: str) -> Any:
    try:
        return value.get(name)
    except AttributeError:
        return None


def _get_item(value: Any, index: int) -> Any:
    if not isinstance(value, list):
        return None
    try:
        return value[index]
    except IndexError:
        return None
