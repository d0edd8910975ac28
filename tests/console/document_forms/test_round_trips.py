"""Generated documents, valid and invalid, go through the form: what nobody changed stays byte for byte."""

import json
from collections.abc import Iterator
from dataclasses import replace
from random import Random
from typing import Any

import pytest

from config_schema.errors import SettingPath
from console.document_forms.control_families import Family
from console.document_forms.control_parts import Control, iterate_controls
from console.document_forms.control_tree import TreeBuilder
from console.document_forms.pointers import remove_value
from console.document_forms.submitted_edits import apply_controls
from console.reference.json_schemas import DOCUMENTS
from tests.config_documents.right_documents import right_documents
from tests.config_documents.schema_coverage import changed_documents
from tests.support.shown_controls import open_all, submit_shown

pytestmark = pytest.mark.pure

NEW_TEXTS = {
    Family.TEXT: "changed",
    Family.LONG_TEXT: "changed\r\nline",
    Family.EXPRESSION: "changed.value",
    Family.CONSTANT: "changed.value",
    Family.NUMBER: "4711",
    Family.STATUSES: "418",
    Family.PLAIN: "changed",
    Family.JSON: '{"changed": [1]}',
    Family.LINES: "1\r\n2",
}


def documents(number: int) -> Iterator[tuple[str, Any]]:
    yield from right_documents()
    for changed in changed_documents(number, seed=1):
        yield changed.name, changed.document


def as_text(document: Any) -> str:
    return json.dumps(document, ensure_ascii=False)


def new_text(control: Control) -> str | None:
    """Return another text for a control; None if it has rows, or no other value to choose."""
    if control.family is Family.SWITCH:
        return "off" if control.text == "on" else "on"
    if control.family is Family.CHOICE:
        return next((one for one in control.kind.choices if one != control.text), None)
    return NEW_TEXTS.get(control.family)


def without(document: Any, place: SettingPath) -> str:
    """Return the text of a document whose value at a place does not count, nor whether it has one."""
    return as_text(remove_value(document, place) if place else None)


@pytest.mark.parametrize("number", [150, pytest.param(10_000, marks=pytest.mark.nightly)])
def test_a_form_sent_back_unchanged_leaves_any_document_and_one_edit_changes_one_place(number: int) -> None:
    random, edits = Random(1), 0
    for name, document in documents(number):
        kind, before = DOCUMENTS[name][1], as_text(document)
        opened = open_all(kind, document)
        shown = submit_shown(kind, document, opened)
        edited = apply_controls(kind, document, shown)
        assert (as_text(edited.document), edited.problems) == (before, {}), (name, before)
        controls = list(iterate_controls(TreeBuilder(document, opened).build(kind)))
        if not controls:
            continue
        control = random.choice(controls)
        if (text := new_text(control)) is None:
            continue
        values = {**shown.values, control.pointer: text}
        changed = apply_controls(kind, document, replace(shown, values=values))
        if changed.problems:
            # What is no value of its kind stays beside the document.
            assert (list(changed.problems), as_text(changed.document)) == ([control.pointer], before)
            continue
        assert without(changed.document, control.place) == without(document, control.place), (name, before)
        edits += as_text(changed.document) != before
    assert edits > number // 2
