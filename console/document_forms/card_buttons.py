"""Buttons and names of cards, applied to a document whose other edits are done."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from django.utils.translation import gettext as _

from config_schema.errors import SettingPath, format_pointer
from config_schema.objects import ListOf, MapOf, Object, OneOrMore, VariantObject
from console.document_forms.control_parts import MORE, CardList, Problem
from console.document_forms.pointers import (
    find_value,
    has_place,
    remove_value,
    rename_key,
    resolve_pointer,
    set_value,
    swap_items,
)


@dataclass(frozen=True)
class EditedDocument:
    """A document after edits, the pointers of its open cards, and what was entered and cannot be part of it."""

    document: Any
    opened: frozenset[str] = frozenset()
    problems: Mapping[str, Problem] = field(default_factory=dict)


def press_list_button(edited: EditedDocument, part: CardList, action: str) -> EditedDocument:
    """Add an object to a list, to a map or as the only one of a setting."""
    place = part.place
    document, opened = edited.document, edited.opened
    if action == "add" and part.may_be_added:
        document, own = _add_object(document, part)
        if isinstance(part.kind, OneOrMore):
            # The only object has become the first of a list.
            opened = _moved(opened, place, (*place, 0)) if part.cards else opened
        return EditedDocument(document, opened | {format_pointer(own)}, edited.problems)
    return edited


def _add_object(document: Any, part: CardList) -> tuple[Any, SettingPath]:
    """Return the document with a new object, and its place."""
    place, kind, value = part.place, part.kind, find_value(document, part.place)
    if isinstance(kind, MapOf):
        taken = value if isinstance(value, Mapping) else {}
        names = [kind.placeholder, *(f"{kind.placeholder}{number}" for number in range(2, len(taken) + 3))]
        own: SettingPath = (*place, next(name for name in names if name not in taken))
        return set_value(document, own, {}), own
    if isinstance(kind, ListOf):
        if isinstance(value, Mapping):
            document, value = set_value(document, place, [value]), [value]
        elif not isinstance(value, list):
            is_only_one = isinstance(kind, OneOrMore)
            empty: Any = {} if is_only_one else [_empty_item(kind)]
            return set_value(document, place, empty), place if is_only_one else (*place, 0)
        own = (*place, len(value))
        return set_value(document, place, [*value, _empty_item(kind)]), own
    return set_value(document, place, {}), place


def _empty_item(kind: ListOf[Any]) -> Any:
    return {} if isinstance(kind.items, Object | VariantObject | MapOf) else ""


def press_card_button(edited: EditedDocument, pointer: str, action: str) -> EditedDocument:
    """Open, close, remove or move a card."""
    place = resolve_pointer(edited.document, pointer)
    document, opened = edited.document, edited.opened
    if action == "open" and (has_place(document, place) or place[-1:] == (MORE,)):
        return EditedDocument(document, opened | {pointer}, edited.problems)
    if action == "close":
        return EditedDocument(document, opened - {pointer}, edited.problems)
    if action == "remove" and place and has_place(document, place):
        opened = _without(opened, place, is_item=isinstance(find_value(document, place[:-1]), list))
        return EditedDocument(remove_value(document, place), opened, edited.problems)
    if action in ("up", "down") and place and isinstance(place[-1], int):
        other = place[-1] + (1 if action == "down" else -1)
        swapped = swap_items(document, place, other)
        if swapped is not document:
            opened = _swapped(opened, place, (*place[:-1], other))
        return EditedDocument(swapped, opened, edited.problems)
    return edited


def rename_card(edited: EditedDocument, pointer: str, key: str) -> EditedDocument:
    """Give an open card of a map another name. A name that is taken is a problem of the map."""
    place = resolve_pointer(edited.document, pointer)
    if not has_place(edited.document, place):
        return edited
    own = (*place[:-1], key)
    if has_place(edited.document, own):
        sentence = _("“%(name)s” appears twice here. Remove one.") % {"name": key[:100]}
        problems = {**edited.problems, format_pointer(place[:-1]): Problem(sentence)}
        return EditedDocument(edited.document, edited.opened, problems)
    problems = {_move_pointer(at, place, own): problem for at, problem in edited.problems.items()}
    return EditedDocument(
        rename_key(edited.document, place, key), _moved(edited.opened, place, own), problems
    )


def _is_inside(pointer: str, outer: str) -> bool:
    return pointer == outer or pointer.startswith(f"{outer}/")


def _move_pointer(pointer: str, place: SettingPath, to: SettingPath) -> str:
    """Return a pointer after the value at a place, and everything in it, was moved to another."""
    outer = format_pointer(place)
    return format_pointer(to) + pointer[len(outer) :] if _is_inside(pointer, outer) else pointer


def _moved(pointers: frozenset[str], place: SettingPath, to: SettingPath) -> frozenset[str]:
    return frozenset(_move_pointer(pointer, place, to) for pointer in pointers)


def _swapped(pointers: frozenset[str], place: SettingPath, other: SettingPath) -> frozenset[str]:
    one, two = format_pointer(place), format_pointer(other)
    return frozenset(
        _move_pointer(pointer, place, other)
        if _is_inside(pointer, one)
        else _move_pointer(pointer, other, place)
        if _is_inside(pointer, two)
        else pointer
        for pointer in pointers
    )


def _without(pointers: frozenset[str], place: SettingPath, *, is_item: bool) -> frozenset[str]:
    """Return the pointers after the value at a place was removed; the later items of a list move up by one."""
    outer = format_pointer(place)
    kept = (pointer for pointer in pointers if not _is_inside(pointer, outer))
    if not is_item:
        return frozenset(kept)
    parent = format_pointer(place[:-1])
    return frozenset(_one_earlier(pointer, parent, int(place[-1])) for pointer in kept)


def _one_earlier(pointer: str, parent: str, removed: int) -> str:
    step, slash, rest = pointer[len(parent) + 1 :].partition("/")
    if not pointer.startswith(f"{parent}/") or not step.isdecimal() or int(step) < removed:
        return pointer
    return f"{parent}/{int(step) - 1}{slash}{rest}"
