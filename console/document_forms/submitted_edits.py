"""What a person entered in the controls of a document, applied to it as edits of single places. Pure.

A control whose text is the one that was shown edits nothing, so that everything that nobody changed stays as it is.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from config_schema.errors import SettingPath, format_pointer, parse_pointer
from config_schema.kinds import ValueKind
from config_schema.objects import ListOf, MapOf, Object, OneOrMore, VariantObject
from config_schema.translatable import translatable
from console.document_forms.control_families import Family
from console.document_forms.control_texts import JsonParser, Unreadable, read_rows, read_text, same_lines
from console.document_forms.control_tree import (
    MORE,
    CardList,
    Control,
    Problem,
    TreeBuilder,
    iterate_controls,
    iterate_parts,
)
from console.document_forms.pointers import (
    find_value,
    has_place,
    remove_value,
    rename_key,
    resolve_pointer,
    set_value,
    swap_items,
)

_SELECTED = "on"


@dataclass(frozen=True)
class SubmittedControls:
    """What was submitted, by the pointers of the controls.

    `values`: texts of single controls. `names` and `row_values`: of rows, in the same order. `nulls` and `constants`:
    check boxes beside controls. `keys`: new names of open cards in maps. `opened`: pointers of the cards that were
    open. `action` and `pointer`: the button that was pressed, and what it is about.
    """

    values: Mapping[str, str] = field(default_factory=dict)
    names: Mapping[str, list[str]] = field(default_factory=dict)
    row_values: Mapping[str, list[str]] = field(default_factory=dict)
    nulls: Mapping[str, str] = field(default_factory=dict)
    constants: Mapping[str, str] = field(default_factory=dict)
    keys: Mapping[str, str] = field(default_factory=dict)
    opened: frozenset[str] = frozenset()
    action: str = ""
    pointer: str = ""


@dataclass(frozen=True)
class EditedDocument:
    """A document after edits, the pointers of its open cards, and what was entered and cannot be part of it."""

    document: Any
    opened: frozenset[str] = frozenset()
    problems: Mapping[str, Problem] = field(default_factory=dict)


def apply_controls(
    kind: ValueKind[Any], document: Any, submitted: SubmittedControls, parse_json: JsonParser = json.loads
) -> EditedDocument:
    """Apply what was entered to the document whose controls were shown, then the button, then new names of cards."""
    tree = TreeBuilder(document, submitted.opened).build(kind)
    edited, problems = document, {}
    for control in iterate_controls(tree):
        try:
            edited = _apply_control(edited, control, submitted, parse_json)
        except ValueError as error:
            problems[control.pointer] = _describe_problem(error, control.pointer, submitted)
    result = EditedDocument(edited, submitted.opened, problems)
    for part in iterate_parts(tree):
        if isinstance(part, CardList) and part.pointer == submitted.pointer:
            result = _press_list_button(result, part, submitted.action)
    result = _press_card_button(result, submitted)
    for pointer, key in submitted.keys.items():
        if key and parse_pointer(pointer)[-1:] not in ((), (key,)):
            result = _rename_card(result, pointer, key)
    return result


def leave_out_other_variants(kind: ValueKind[Any], document: Any) -> Any:
    """Return a document without the fields that belong to variants which its selectors did not choose."""
    if isinstance(kind, VariantObject) and isinstance(document, Mapping):
        chosen = document.get(kind.selector.name, kind.selector.default)
        if not isinstance(chosen, str) or chosen not in kind.variants:
            return document
        settings = {one.name: one for one in kind.settings_of(chosen)}
        foreign = {
            one.name for name in kind.variants for one in kind.variants[name].settings
        } - settings.keys()
        document = {name: value for name, value in document.items() if name not in foreign}
    elif isinstance(kind, Object) and isinstance(document, Mapping):
        settings = {one.name: one for one in kind.settings}
    elif isinstance(kind, MapOf) and isinstance(document, Mapping):
        return {name: leave_out_other_variants(kind.values, value) for name, value in document.items()}
    elif isinstance(kind, OneOrMore) and isinstance(document, Mapping):
        return leave_out_other_variants(kind.items, document)
    elif isinstance(kind, ListOf) and isinstance(document, list):
        return [leave_out_other_variants(kind.items, item) for item in document]
    else:
        return document
    return {
        name: leave_out_other_variants(settings[name].kind, value) if name in settings else value
        for name, value in document.items()
    }


def _apply_control(
    document: Any, control: Control, submitted: SubmittedControls, parse_json: JsonParser
) -> Any:
    """Return the document with what was entered in one control. Raises ValueError if that is no value of its kind."""
    pointer, place = control.pointer, control.place
    if control.may_be_null and pointer in submitted.nulls:
        is_null = submitted.nulls[pointer] == _SELECTED
        if is_null:
            return document if control.is_null else set_value(document, place, None)
        if control.is_null:
            document = remove_value(document, place)
    if control.family is Family.ROWS:
        return _apply_rows(document, control, submitted, parse_json)
    if pointer not in submitted.values:
        return document
    text = same_lines(submitted.values[pointer])
    was_constant, is_fixed = control.is_constant, submitted.constants.get(pointer) == _SELECTED
    if text == same_lines(control.text) and (
        control.family is not Family.CONSTANT or was_constant == is_fixed
    ):
        return document
    if _means_absence(control, text):
        return _clear(document, place)
    value = read_text(control.family, control.kind, text, find_value(document, place), parse_json)
    if control.family is Family.SWITCH:
        value = text == _SELECTED
    elif control.family is Family.CONSTANT and is_fixed:
        value = {"constant": text}
    return set_value(document, place, value)


def _means_absence(control: Control, text: str) -> bool:
    """Return True if a text is that of an absent setting: an empty one, or the default of a switch or a choice."""
    if control.family in (Family.SWITCH, Family.CHOICE) and control.setting is not None:
        return not text or (not control.is_required and text == control.default_text)
    return not text.strip() if control.family is not Family.TEXT else not text


def _apply_rows(document: Any, control: Control, submitted: SubmittedControls, parse_json: JsonParser) -> Any:
    pointer, place = control.pointer, control.place
    if pointer not in submitted.names:
        return document
    rows = _submitted_rows(pointer, submitted)
    if control.has_json_box and (text := submitted.values.get(pointer, "").strip()):
        if rows:
            raise Unreadable(translatable("Enter either rows or JSON."))
        return set_value(document, place, parse_json(same_lines(text)))
    if rows == control.rows:
        return document
    if not rows and control.setting is not None and not control.is_required:
        return _clear(document, place)
    return set_value(document, place, read_rows(control.kind, rows, find_value(document, place), parse_json))


def _submitted_rows(pointer: str, submitted: SubmittedControls) -> tuple[tuple[str, str], ...]:
    """Return the rows of names and values that are not empty. The button of a row takes it away."""
    rows = list(zip(submitted.names.get(pointer, []), submitted.row_values.get(pointer, []), strict=False))
    verb, _colon, number = submitted.action.partition(":")
    if verb == "drop" and submitted.pointer == pointer and number.isdecimal() and int(number) < len(rows):
        del rows[int(number)]
    return tuple((name, value) for name, value in rows if name or value)


def _clear(document: Any, place: SettingPath) -> Any:
    """Return the document without a value that was emptied. The item of a list becomes empty: others would move. If the
    value is the whole document, that is empty then.
    """
    if not place:
        return type(document)()
    if isinstance(find_value(document, place[:-1]), list):
        return set_value(document, place, "")
    return remove_value(document, place)


def _describe_problem(error: ValueError, pointer: str, submitted: SubmittedControls) -> Problem:
    sentence = error.sentence if isinstance(error, Unreadable) else str(error)
    rows = _submitted_rows(pointer, submitted)
    return Problem(sentence, submitted.values.get(pointer, ""), rows)


def _press_list_button(edited: EditedDocument, part: CardList, action: str) -> EditedDocument:
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


def _press_card_button(edited: EditedDocument, submitted: SubmittedControls) -> EditedDocument:
    """Open, close, remove or move a card."""
    pointer, action = submitted.pointer, submitted.action
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


def _rename_card(edited: EditedDocument, pointer: str, key: str) -> EditedDocument:
    """Give an open card of a map another name. A name that is taken is a problem of the map."""
    place = resolve_pointer(edited.document, pointer)
    if not has_place(edited.document, place):
        return edited
    own = (*place[:-1], key)
    if has_place(edited.document, own):
        sentence = translatable("“%(name)s” appears twice here. Remove one.", name=key[:100])
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
