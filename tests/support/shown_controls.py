"""The controls of a document as a browser shows them, and sends them back."""

from typing import Any

from config_schema.kinds import ValueKind
from console.document_forms.control_families import Family
from console.document_forms.control_parts import card_pointers, iterate_controls
from console.document_forms.control_tree import TreeBuilder
from console.document_forms.submitted_edits import SubmittedControls


def open_all(kind: ValueKind[Any], document: Any) -> frozenset[str]:
    """Return the pointers of all cards of a document."""
    opened: frozenset[str] = frozenset()
    while found := frozenset(card_pointers(TreeBuilder(document, opened).build(kind))) - opened:
        opened |= found
    return opened


def submit_shown(
    kind: ValueKind[Any], document: Any, opened: frozenset[str], **others: Any
) -> SubmittedControls:
    """Return what a browser sends for the controls of a document that nobody changed."""
    controls = list(iterate_controls(TreeBuilder(document, opened).build(kind)))
    rows = [control for control in controls if control.family is Family.ROWS]
    return SubmittedControls(
        values={
            control.pointer: control.text.replace("\n", "\r\n") for control in controls if control not in rows
        },
        names={control.pointer: [*(name for name, _ in control.rows), ""] for control in rows},
        row_values={control.pointer: [*(value for _, value in control.rows), ""] for control in rows},
        nulls={
            control.pointer: "on" if control.is_null else "off" for control in controls if control.may_be_null
        },
        constants={control.pointer: "on" if control.is_constant else "off" for control in controls},
        opened=opened,
        **others,
    )
