"""Read and change one place of a JSON document. Pure."""

from collections.abc import Mapping
from typing import Any

from config_schema.errors import SettingPath, parse_pointer

_MISSING = object()


def find_value(document: Any, place: SettingPath, default: Any = None) -> Any:
    """Return the value at a place, or `default` if there is none."""
    for step in place:
        if isinstance(document, Mapping):
            document = document.get(step, _MISSING)
        elif isinstance(document, list) and isinstance(step, int) and step < len(document):
            document = document[step]
        else:
            return default
        if document is _MISSING:
            return default
    return document


def has_place(document: Any, place: SettingPath) -> bool:
    """Return True if the document has a value at a place, which may be null."""
    return find_value(document, place, _MISSING) is not _MISSING


def resolve_pointer(document: Any, pointer: str) -> SettingPath:
    """Convert a JSON Pointer into a path of this document, in which the steps into lists are numbers."""
    place: SettingPath = ()
    for step in map(str, parse_pointer(pointer)):
        is_index = isinstance(document, list) and step.isascii() and step.isdecimal() and len(step) < 9
        place = (*place, int(step) if is_index else step)
        document = find_value(document, place[-1:])
    return place


def set_value(document: Any, place: SettingPath, value: Any) -> Any:
    """Return a document with a value at a place. A new name comes last in its object; missing objects on the way are
    added. Whatever lies beside the place is shared with the old document.
    """
    if not place:
        return value
    step, rest = place[0], place[1:]
    if isinstance(document, list):
        if not isinstance(step, int) or step > len(document):
            return document
        old = document[step : step + 1]
        return [*document[:step], set_value(old[0] if old else {}, rest, value), *document[step + 1 :]]
    values = dict(document) if isinstance(document, Mapping) else {}
    values[str(step)] = set_value(values.get(str(step), {}), rest, value)
    return values


def remove_value(document: Any, place: SettingPath) -> Any:
    """Return a document without the value at a place."""
    if not has_place(document, place) or not place:
        return document
    parent, step = find_value(document, place[:-1]), place[-1]
    if isinstance(parent, list):
        kept: Any = [item for index, item in enumerate(parent) if index != step]
    else:
        kept = {name: value for name, value in parent.items() if name != step}
    return set_value(document, place[:-1], kept)


def swap_items(document: Any, place: SettingPath, other: int) -> Any:
    """Return a document in which the item of a list at a place has changed places with another of that list."""
    items = find_value(document, place[:-1])
    index = place[-1] if place else None
    if not (isinstance(items, list) and isinstance(index, int) and 0 <= other < len(items) > index):
        return document
    items = list(items)
    items[index], items[other] = items[other], items[index]
    return set_value(document, place[:-1], items)


def rename_key(document: Any, place: SettingPath, name: str) -> Any:
    """Return a document in which the last name of a place is another, at the same position. Nothing changes if the
    object has that name already.
    """
    values = find_value(document, place[:-1]) if place else None
    if not isinstance(values, Mapping) or place[-1] not in values or name in values:
        return document
    renamed = {name if key == place[-1] else key: value for key, value in values.items()}
    return set_value(document, place[:-1], renamed)
