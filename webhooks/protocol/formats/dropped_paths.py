"""Paths of values that are removed from a body before it is stored, such as a password in clear text. Pure.

A path is written as `payload.password`; `items[].password` removes the field from each item of a list. Some senders
leave the list out around a single item, and others add one: both are removed too. A name with other characters than
letters, digits, `_`, `-` and `$` is written in quotation marks.
"""

import re
from collections.abc import Iterable
from functools import lru_cache
from typing import Any

from config_schema.kinds import ConvertedText
from config_schema.objects import SetOf

MAX_PATHS = 50
# A quoted name does not mean the step into a list.
_NAME = r'(?:[A-Za-z_$][\w$-]{0,99}|"(?!\[\]")[^"\\\x00-\x1f]{1,200}")'
_STEPS = re.compile(rf"{_NAME}|\[\]", re.ASCII)
_PATH = re.compile(rf"(?:{_NAME}(?:\[\])?\.){{0,19}}{_NAME}", re.ASCII)
_EVERY_ITEM = "[]"
# What follows each step; None where the value is removed.
_StepTree = dict[str, "_StepTree | None"]


def _split_path(path: str) -> tuple[str, ...]:
    """Return the steps of a path; `[]` stands for every item of a list."""
    return tuple(step.strip('"') for step in _STEPS.findall(path))


def _join_steps(steps: Iterable[str]) -> str:
    return ".".join(step if _STEPS.fullmatch(step) else f'"{step}"' for step in steps).replace(".[]", "[]")


DROPPED_PATHS = SetOf(
    ConvertedText(
        _PATH,
        'a path of field names, such as `payload.password`, `items[].password` or `"data[pw]"`',
        "This must be a path of field names, such as payload.password.",
        convert=_split_path,
        write=_join_steps,
    ),
    MAX_PATHS,
    label="list of paths",
    noun="paths",
    least=0,
)


def drop_paths(document: Any, paths: frozenset[tuple[str, ...]]) -> bool:
    """Remove the values at these paths from a document in place. Returns True if at least one was found."""
    found = False
    # All paths at once: a body may have hundreds of thousands of objects, and each is visited at most once.
    pending: list[tuple[Any, _StepTree]] = [(document, _build_tree(paths))]
    while pending:
        part, steps = pending.pop()
        if isinstance(part, list):
            pending += [(item, steps) for item in part if isinstance(item, dict | list)]
        elif isinstance(part, dict):
            for step in steps.keys() & part.keys():
                further_steps = steps[step]
                if further_steps is None:
                    del part[step]
                    found = True
                else:
                    pending.append((part[step], further_steps))
    return found


@lru_cache(maxsize=256)
def _build_tree(paths: frozenset[tuple[str, ...]]) -> _StepTree:
    """Return the paths as a tree of their steps, without those into a list."""
    tree: _StepTree = {}
    # A longer path does not matter where a shorter one removes the whole value.
    names = (tuple(step for step in path if step != _EVERY_ITEM) for path in paths)
    for *steps, last in sorted(names, key=len, reverse=True):
        node = tree
        for step in steps:
            further_steps = node.setdefault(step, {})
            assert further_steps is not None, "longer paths come first"
            node = further_steps
        node[last] = None
    return tree
