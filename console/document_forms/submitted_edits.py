"""What a person entered in the controls of a document, applied to it as edits of single places. Pure.

A control whose text is the one that was shown edits nothing, so that everything that nobody changed stays as it is.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from django.utils.translation import gettext as _

from config_schema.errors import SettingPath, parse_pointer
from config_schema.kinds import ValueKind
from config_schema.objects import ListOf, MapOf, Object, OneOrMore, VariantObject
from console.document_forms.card_buttons import (
    EditedDocument,
    press_card_button,
    press_list_button,
    rename_card,
)
from console.document_forms.control_families import Family
from console.document_forms.control_parts import CardList, Control, Problem, iterate_controls, iterate_parts
from console.document_forms.control_texts import JsonParser, Unreadable, read_rows, read_text, same_lines
from console.document_forms.control_tree import TreeBuilder
from console.document_forms.pointers import find_value, remove_value, set_value

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
            result = press_list_button(result, part, submitted.action)
    result = press_card_button(result, submitted.pointer, submitted.action)
    for pointer, key in submitted.keys.items():
        if key and parse_pointer(pointer)[-1:] not in ((), (key,)):
            result = rename_card(result, pointer, key)
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
            raise Unreadable(_("Enter either rows or JSON."))
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
    rows = _submitted_rows(pointer, submitted)
    return Problem(str(error), submitted.values.get(pointer, ""), rows)
