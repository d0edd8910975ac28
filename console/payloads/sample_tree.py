"""The fields of a sample as a tree, each with the expression that gives its value. Pure."""

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from console.payloads.masking import mask_value

MAX_NODES = 70
MAX_DEPTH = 6
MAX_ITEMS = 2
MAX_TEXT = 60
# Of a field's name: longer ones are no names.
_MAX_NAME = 100
_PLAIN_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


@dataclass(frozen=True, slots=True)
class SampleNode:
    """A value of a sample. `path` is its expression, `text` what is shown of it, empty for an object."""

    name: str
    path: str
    text: str = ""
    children: tuple["SampleNode", ...] = ()


@dataclass(frozen=True, slots=True)
class SampleTree:
    """The nodes of a sample. `is_cut`: it has more of them than are shown."""

    nodes: tuple[SampleNode, ...]
    is_cut: bool = False


def build_sample_tree(roots: Mapping[str, Any], *, is_masked: bool = False) -> SampleTree:
    """Return the tree of a sample by the names of its roots, at most MAX_NODES nodes, MAX_DEPTH deep, with the first
    MAX_ITEMS items of each list. `is_masked` hides the values, never the names.
    """
    builder = _TreeBuilder(is_masked=is_masked)
    nodes = tuple(builder.build(name, name, value, 0) for name, value in roots.items() if value)
    return SampleTree(nodes, builder.is_cut)


def append_name(path: str, name: str) -> str:
    """Return the expression of a field of the value of another one."""
    return f"{path}.{name if _PLAIN_NAME.fullmatch(name) else _quote_name(name)}"


def _quote_name(name: str) -> str:
    return json.dumps(name, ensure_ascii=False)


class _TreeBuilder:
    def __init__(self, *, is_masked: bool) -> None:
        self.is_masked = is_masked
        self.is_cut = False
        self._nodes_left = MAX_NODES

    def build(self, name: str, path: str, value: Any, depth: int) -> SampleNode:
        self._nodes_left -= 1
        return SampleNode(name, path, self._text_of(value), tuple(self._children(path, value, depth)))

    def _children(self, path: str, value: Any, depth: int) -> Iterator[SampleNode]:
        for name, below, child in _parts_of(path, value):
            if self._nodes_left <= 0 or depth >= MAX_DEPTH:
                self.is_cut = True
                return
            yield self.build(name, below, child, depth + 1)

    def _text_of(self, value: Any) -> str:
        if isinstance(value, dict):
            return ""
        if isinstance(value, list):
            return f"[{len(value)}]"
        shown = mask_value(value) if self.is_masked else value
        text = shown if isinstance(shown, str) else json.dumps(shown, ensure_ascii=False)
        # What JSON can spell and UTF-8 cannot is written as an escape.
        text = text.encode("utf-8", "backslashreplace").decode()
        return text if len(text) <= MAX_TEXT else f"{text[:MAX_TEXT]}…"


def _parts_of(path: str, value: Any) -> Iterator[tuple[str, str, Any]]:
    """Yield name, expression and value of each part of an object, and of the first items of a list."""
    if isinstance(value, dict):
        for name, child in value.items():
            if 0 < len(name) <= _MAX_NAME and _is_storable(name):
                yield name, append_name(path, name), child
    elif isinstance(value, list):
        for number, item in enumerate(value[:MAX_ITEMS]):
            yield f"[{number}]", f"{path}[{number}]", item


def _is_storable(name: str) -> bool:
    return "\0" not in name and not any("\ud800" <= letter <= "\udfff" for letter in name)
