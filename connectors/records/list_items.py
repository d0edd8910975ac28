"""Values in one item of a list: read from a record, and written so that all other items stay as they are. Pure."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from connectors.record_versions import merge_at_path
from connectors.settings.list_items import ListItem, ListItems
from connectors.settings.record_version import FieldPath
from connectors.values.exact_numbers import dump_json

_SCIM_NAME = re.compile(r"[A-Za-z][A-Za-z0-9$_-]*", re.ASCII)


class ListUnreadable(Exception):
    """The target returned another value where its settings name a list. The message is the path of the value."""


@dataclass(frozen=True, slots=True)
class WrittenFields:
    """Fields as a target takes them: `lists` in place of the values of their items, by the name at the top of each.

    `others` are the fields that are in no list. `scim_operations` change the lists as RFC 7644, 3.5.2, one item each.
    """

    others: Mapping[str, Any]
    lists: Mapping[str, Any] = field(default_factory=dict)
    scim_operations: tuple[Mapping[str, Any], ...] = ()

    @property
    def sent(self) -> dict[str, Any]:
        """Return all fields to send."""
        return {**self.others, **self.lists}


def add_item_values(list_items: ListItems, fields: Mapping[str, Any]) -> dict[str, Any]:
    """Return the fields of a record with the values in items of its lists. Where a list is not among the fields, a
    field that has the value itself stays.
    """
    values = {
        name: _read_value(item, fields)
        for name, item in list_items.items()
        if item.path[0] in fields or name not in fields
    }
    return {**fields, **values}


def write_items(list_items: ListItems, fields: Mapping[str, Any], record: Mapping[str, Any]) -> WrittenFields:
    """Put values into the items of the lists of a record, in the order of `list_items`. Every other item stays, and
    every other attribute of an item. `record`: the whole record as the target has it now. Raises ListUnreadable.
    """
    others = {name: value for name, value in fields.items() if name not in list_items}
    current: dict[str, Any] = {**record, **others}
    names: dict[str, None] = {}
    operations: list[Mapping[str, Any]] = []
    for name, item in list_items.items():
        if name in fields:
            before = _require_list(item.path, current)
            after, operation = _write_value(item, before, fields[name])
            if operation is not None:
                current = merge_at_path(current, item.path, after)
                names[item.path[0]] = None
                operations.append(operation)
    return WrittenFields(others, {name: current[name] for name in names}, tuple(operations))


def _read_value(item: ListItem, fields: Mapping[str, Any]) -> Any:
    items = _value_at(item.path, fields)
    matches, _ = _find_matches(item, items if isinstance(items, list) else [])
    return _value_at(item.value, items[matches[0]]) if matches else None


def _require_list(path: FieldPath, record: Mapping[str, Any]) -> list[Any]:
    items = _value_at(path, record)
    if items is not None and not isinstance(items, list):
        raise ListUnreadable(".".join(path))
    return items or []


def _value_at(path: FieldPath, value: Any) -> Any:
    for name in path:
        value = value.get(name) if isinstance(value, Mapping) else None
    return value


def _find_matches(item: ListItem, items: list[Any]) -> tuple[list[int], Mapping[str, Any]]:
    """Return the positions of the items that match, and by which attributes: the first ones that any item has."""
    for selector in item.selectors:
        if matches := [number for number, one in enumerate(items) if _is_selected(selector, one)]:
            return matches, selector
    return [], item.selectors[0]


def _is_selected(selector: Mapping[str, Any], one: Any) -> bool:
    return isinstance(one, Mapping) and all(
        _is_same(one.get(name), value) for name, value in selector.items()
    )


def _is_same(own: Any, wanted: Any) -> bool:
    if isinstance(own, str) and isinstance(wanted, str):
        return own.casefold() == wanted.casefold()
    return isinstance(own, bool) == isinstance(wanted, bool) and bool(own == wanted)


def _write_value(item: ListItem, items: list[Any], value: Any) -> tuple[list[Any], Mapping[str, Any] | None]:
    """Return the list with the value, and the SCIM operation for it; None if the list stays as it is."""
    if value is None:
        return _clear_value(item, items)
    matches, selector = _find_matches(item, items)
    if not matches:
        attributes = {name: wanted for name, wanted in selector.items() if wanted is not None}
        added = merge_at_path(attributes, item.value, value)
        return [*items, added], {"op": "add", "path": _scim_path(item.path), "value": [added]}
    written = _replace_at(items, matches[:1], item.value, value)
    target = _scim_target(item, matches, selector)
    if target is None or len(item.value) > 1:
        return written, _replace_list(item, written)
    return written, {"op": "replace", "path": f"{target}.{item.value[0]}", "value": value}


def _clear_value(item: ListItem, items: list[Any]) -> tuple[list[Any], Mapping[str, Any] | None]:
    """Return the list in which no item that any of the selectors matches has a value."""
    matches = [
        number
        for number, one in enumerate(items)
        if any(_is_selected(selector, one) for selector in item.selectors)
        and not (item.keeps_cleared_items and _value_at(item.value, one) is None)
    ]
    if not matches:
        return items, None
    if item.keeps_cleared_items:
        cleared, part = _replace_at(items, matches, item.value, None), f".{item.value[0]}"
    else:
        cleared, part = [one for number, one in enumerate(items) if number not in matches], ""
    selected, selector = _find_matches(item, items)
    target = _scim_target(item, selected, selector) if selected == matches else None
    if target is None or (part and len(item.value) > 1):
        return cleared, _replace_list(item, cleared)
    return cleared, {"op": "remove", "path": target + part}


def _replace_at(items: list[Any], numbers: list[int], path: FieldPath, value: Any) -> list[Any]:
    return [merge_at_path(one, path, value) if number in numbers else one for number, one in enumerate(items)]


def _replace_list(item: ListItem, items: list[Any]) -> Mapping[str, Any]:
    path = _scim_path(item.path)
    return {"op": "replace", "path": path, "value": items} if items else {"op": "remove", "path": path}


def _scim_target(item: ListItem, matches: list[int], selector: Mapping[str, Any]) -> str | None:
    """Return the path of the only item that matches; None if its filter compares more than texts, which many services
    do not support.
    """
    is_simple = all(_SCIM_NAME.fullmatch(name) and isinstance(value, str) for name, value in selector.items())
    if len(matches) != 1 or not is_simple:
        return None
    condition = " and ".join(f"{name} eq {dump_json(value)}" for name, value in selector.items())
    return f"{_scim_path(item.path)}[{condition}]"


def _scim_path(path: FieldPath) -> str:
    """Return the path of an attribute. The URN of a schema extension ends with a colon in it."""
    if path[0].lower().startswith("urn:") and len(path) > 1:
        return f"{path[0]}:{'.'.join(path[1:])}"
    return ".".join(path)
