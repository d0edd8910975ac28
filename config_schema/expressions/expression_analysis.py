"""Analyse expressions without evaluating them: the fields that they read, and the values that they can give. Pure."""

from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from config_schema.expressions.jmespath_paths import (
    NODE_TYPES_WITH_BASE,
    ExpressionRefused,
    parse_expression,
)


class UnknownRoot(ExpressionRefused):
    """An expression begins with a field that its document never has, so that it finds nothing."""

    def __init__(self, name: str, known: frozenset[str]) -> None:
        names = ", ".join(sorted(known))
        super().__init__(f"begins with {name[:40]}. It must begin with one of: {names}.")


@lru_cache(maxsize=2048)
def list_root_paths(text: str) -> tuple[tuple[str, str], ...]:
    """Return the fields of its document that an expression reads, each with the name of the field that it reads of its
    value, "" for another part or all of it. Raises JMESPathError.
    """
    paths: list[tuple[str, str]] = []
    _collect_root_paths(parse_expression(text), paths, is_document=True)
    return tuple(paths)


def require_known_roots(text: str, known: frozenset[str]) -> None:
    """Raise UnknownRoot if an expression reads a field of its document that is not `known`, and JMESPathError."""
    for name, _part in list_root_paths(text):
        if name not in known:
            raise UnknownRoot(name, known)


def _collect_root_paths(
    node: Any, paths: list[tuple[str, str]], *, is_document: bool, part: str = ""
) -> bool:
    """Add the paths that a node reads. `is_document`: it sees the document, not a part of it. `part`: the name of the
    field that is read of its result. Returns True if the result is the document itself.
    """
    kind, children = node["type"], node["children"]
    if kind in ("current", "identity"):
        return is_document
    if kind == "field" and is_document:
        paths.append((node["value"], part))
    elif kind in ("subexpression", "pipe"):
        names = [child["value"] if child["type"] == "field" else "" for child in children[1:]]
        for child, name in zip(children, [*names, part], strict=True):
            is_document = _collect_root_paths(child, paths, is_document=is_document, part=name)
        return is_document
    elif kind in NODE_TYPES_WITH_BASE:
        # Only the first child sees what the node sees, the others an item of its result. A slice has numbers.
        _collect_root_paths(children[0], paths, is_document=is_document)
    elif kind != "expref":
        for child in children:
            if isinstance(child, dict):
                _collect_root_paths(child, paths, is_document=is_document)
    return False


# Nodes and functions whose result is true or false, a list or an object, and never a text or a number.
_NODE_TYPES_WITHOUT_SCALAR = frozenset(
    {
        "comparator",
        "not_expression",
        "multi_select_list",
        "multi_select_dict",
        "projection",
        "value_projection",
    }
    | {"filter_projection", "flatten", "expref", "slice"}
)
_FUNCTIONS_WITHOUT_SCALAR = frozenset(
    {"contains", "difference", "ends_with", "items", "keys", "map", "merge", "sort", "sort_by", "split"}
    | {"starts_with", "to_array", "values", "zip"}
)


@lru_cache(maxsize=2048)
def can_give_scalar(text: str) -> bool:
    """Return False if an expression is null, true or false, a list or an object whatever its document is. Raises
    JMESPathError.
    """
    return _can_give_scalar(parse_expression(text))


def _can_give_scalar(node: Any) -> bool:
    kind = node["type"]
    if kind == "literal":
        return isinstance(node["value"], str | int | float) and not isinstance(node["value"], bool)
    if kind == "function_expression":
        return node["value"] not in _FUNCTIONS_WITHOUT_SCALAR
    if kind in ("and_expression", "or_expression", "pipe", "subexpression"):
        # Of `a || b`, too: with a last part that finds nothing, it finds nothing where the first one does.
        return _can_give_scalar(node["children"][-1])
    return kind not in _NODE_TYPES_WITHOUT_SCALAR


@lru_cache(maxsize=2048)
def parse_plain_path(text: str) -> tuple[str | int, ...] | None:
    """Return the steps of an expression that consists of names, quoted or not, and numbers in brackets; None for any
    other. Raises JMESPathError.
    """
    return _plain_steps(parse_expression(text))


def _plain_steps(node: Any) -> tuple[str | int, ...] | None:
    kind = node["type"]
    if kind in ("field", "index"):
        return (node["value"],)
    if kind not in ("subexpression", "index_expression"):
        return None
    parts = [_plain_steps(child) for child in node["children"]]
    return None if None in parts else tuple(step for part in parts if part for step in part)


ABSENT = object()


def find_at_path(document: Any, steps: tuple[str | int, ...]) -> Any:
    """Return the value at a plain path, and ABSENT if the document does not have the path: null is a value."""
    for step in steps:
        if isinstance(step, str):
            document = document.get(step, ABSENT) if isinstance(document, Mapping) else ABSENT
        else:
            is_there = isinstance(document, list) and -len(document) <= step < len(document)
            document = document[step] if is_there else ABSENT
    return document
