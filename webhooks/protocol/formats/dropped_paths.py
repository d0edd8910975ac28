"""Paths of values that are removed from a body before it is stored, such as a password in clear text. Pure.

A path is written as `payload.password`; `items[].password` removes the field from each item of a list. Some senders
leave the list out around a single item, and others add one: both are removed too. A name with other characters than
letters, digits, `_`, `-` and `$` is written in quotation marks.
"""

import re
from dataclasses import dataclass
from typing import Any

from config_schema.errors import SettingPath, SettingsInvalid
from config_schema.kinds import JsonSchema, ValueKind, anchor_pattern
from config_schema.translatable import translatable

MAX_PATHS = 50
# A quoted name is not that of the step into a list.
_NAME = r'(?:[A-Za-z_$][\w$-]{0,99}|"(?!\[\]")[^"\\\x00-\x1f]{1,200}")'
_STEPS = re.compile(rf"{_NAME}|\[\]", re.ASCII)
_PATH = re.compile(rf"(?:{_NAME}(?:\[\])?\.){{0,19}}{_NAME}", re.ASCII)
_EVERY_ITEM = "[]"


@dataclass(frozen=True)
class DroppedPathList(ValueKind[tuple[tuple[str, ...], ...]]):
    """Kind of a list of paths to remove. Reading splits each into steps; `[]` stands for every item of a list."""

    label: str = translatable("list of paths")
    limits: str = translatable(
        'at most %(most)s paths of field names, such as `payload.password`, `items[].password` or `"data[pw]"`',
        most=MAX_PATHS,
    )

    def read(self, value: Any, place: SettingPath) -> tuple[tuple[str, ...], ...]:
        if not isinstance(value, list | tuple) or len(value) > MAX_PATHS:
            raise SettingsInvalid(
                place, translatable("This must be a list of at most %(most)s paths.", most=MAX_PATHS)
            )
        return tuple(_split_path(path, (*place, index)) for index, path in enumerate(value))

    def to_schema(self) -> JsonSchema:
        item = {"type": "string", "pattern": anchor_pattern(_PATH.pattern)}
        return {"type": "array", "maxItems": MAX_PATHS, "items": item}


def _split_path(path: Any, place: SettingPath) -> tuple[str, ...]:
    if not isinstance(path, str) or not _PATH.fullmatch(path):
        raise SettingsInvalid(place, "This must be a path of field names, such as payload.password.")
    return tuple(step.strip('"') for step in _STEPS.findall(path))


def drop_paths(document: Any, paths: tuple[tuple[str, ...], ...]) -> bool:
    """Remove the values at these paths from a document in place. Returns True if at least one was found."""
    found = [_drop_path(document, path) for path in paths]
    return any(found)


def _drop_path(document: Any, path: tuple[str, ...]) -> bool:
    holders = _flatten(document)
    for step in path[:-1]:
        if step != _EVERY_ITEM:
            found_values = [holder[step] for holder in holders if step in holder]
            holders = [item for value in found_values for item in _flatten(value)]
    found = False
    for holder in holders:
        if path[-1] in holder:
            del holder[path[-1]]
            found = True
    return found


def _flatten(value: Any) -> list[dict[str, Any]]:
    """Return the objects in a value that is one, or a list of them at any depth."""
    found, pending_values = [], [value]
    while pending_values:
        part = pending_values.pop()
        if isinstance(part, dict):
            found.append(part)
        elif isinstance(part, list):
            pending_values += part
    return found
