"""Widget of a document of settings: controls made from the declaration of its kind, or the document as JSON."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

from django import forms
from django.template.loader import render_to_string
from django.utils.safestring import SafeString, mark_safe
from django.utils.translation import gettext as _

from config_schema.errors import format_pointer, parse_pointer
from config_schema.kinds import ValueKind
from console.base.json_text import JsonTextError, parse_json_text
from console.document_forms.card_buttons import EditedDocument
from console.document_forms.control_parts import MORE, Part, iterate_controls
from console.document_forms.control_tree import TreeBuilder
from console.document_forms.submitted_edits import SubmittedControls, apply_controls
from console.ui.form_renderer import without_indentation

Kind = ValueKind[Any] | None
# Django refuses a form with more than 1,000 fields; a page may have several documents.
MOST_CONTROLS = 600
AS_JSON, AS_FORM = "json", "form"


@dataclass(frozen=True)
class PostedDocument:
    """A document as a page sends it: its text, and the controls that edit it if they were shown."""

    text: str
    mode: str
    controls: SubmittedControls

    @property
    def is_form(self) -> bool:
        """True if its controls were shown."""
        return self.mode == AS_FORM


@dataclass
class ShownDocument:
    """What the page shows: the document, its open cards, and the texts that are not part of it."""

    edited: EditedDocument
    mode: str = AS_FORM
    text: str = ""
    remarks: list[str] = field(default_factory=list)


def is_button_pressed(data: Mapping[str, Any], name: str) -> bool:
    """Return True if a button of the document in the form field `name` was pressed."""
    return f"{name}:do" in data


class DocumentWidget(forms.Widget):
    """The controls of a document, or its JSON. `kind` and `label` are set by the form; `errors`: sentences by the
    pointers of their controls. `renders_again`: each choice changes what else the page shows.
    """

    kind: Kind = None
    label = ""
    remarks: "list[str] | tuple[str, ...]" = ()
    renders_again = False
    reference = ""

    class Media:
        css: ClassVar = {"all": ["console/document_forms/forms.css"]}
        js: ClassVar = ["console/document_forms/forms.js"]

    def __init__(self, attrs: Any = None) -> None:
        super().__init__(attrs)
        self.errors: dict[str, str] = {}

    def id_for_label(self, id_: str) -> str:
        return f"document-{id_.removeprefix('id_')}"

    def value_from_datadict(self, data: Any, files: Any, name: str) -> Any:
        if name not in data:
            return None
        mode = data.get(f"{name}:mode", AS_JSON)
        action, _space, pointer = data.get(f"{name}:do", "").partition(" ")
        parts: dict[str, dict[str, list[str]]] = {}
        for key in data:
            own, _colon, rest = key.partition(":")
            part, _colon, at = rest.partition(":")
            if own == name:
                parts.setdefault(part, {})[at] = _list_values(data, key)
        last = {
            part: {at: texts[-1] for at, texts in found.items() if texts} for part, found in parts.items()
        }
        controls = SubmittedControls(
            last.get("v", {}),
            parts.get("n", {}),
            parts.get("r", {}),
            last.get("null", {}),
            last.get("constant", {}),
            last.get("key", {}),
            frozenset(parts.get("open", {}).get("", [])),
            action,
            pointer,
        )
        return PostedDocument(data[name], mode, controls)

    def use_required_attribute(self, initial: Any) -> bool:
        return False

    def render(self, name: str, value: Any, attrs: Any = None, renderer: Any = None) -> SafeString:
        shown = self.find_shown(value)
        opened = shown.edited.opened | {place for at in self.errors for place in _outer_pointers(at)}
        tree = self._build(shown, opened)
        if tree is not None and sum(1 for _one in iterate_controls(tree)) > MOST_CONTROLS:
            shown.remarks.append(_("Too many cards are open at once. All were closed; nothing was lost."))
            opened = frozenset()
            tree = self._build(shown, opened)
        is_too_large = tree is not None and sum(1 for _one in iterate_controls(tree)) > MOST_CONTROLS
        if tree is None or is_too_large:
            shown.mode = AS_JSON
        context = {
            "name": name,
            "label": self.label,
            "tree": None if shown.mode == AS_JSON else tree,
            "may_be_form": (tree is not None and not is_too_large) or shown.text != "",
            "text": shown.text or json.dumps(shown.edited.document, ensure_ascii=False, indent=2),
            "document": _hidden_text(shown.edited.document),
            "opened": sorted(opened),
            "errors": self.errors,
            "remarks": [*shown.remarks, *self.remarks],
            "again": self.renders_again,
            "reference": self.reference,
        }
        return without_indentation(render_to_string("console/document_forms/document.html", context))

    def _build(self, shown: ShownDocument, opened: frozenset[str]) -> Part | None:
        if self.kind is None or shown.text:
            return None
        return TreeBuilder(shown.edited.document, opened, shown.edited.problems).build(self.kind)

    def find_shown(self, value: Any) -> ShownDocument:
        """Return what the page shows of a value, after the button that was pressed."""
        text = value.text if isinstance(value, PostedDocument) else value
        try:
            document = parse_json_text(text) if isinstance(text, str) and text.strip() else {}
        except JsonTextError as error:
            return ShownDocument(EditedDocument({}), AS_JSON, str(text), [str(error)])
        if not isinstance(value, PostedDocument):
            return ShownDocument(EditedDocument(document))
        action = value.controls.action
        if value.mode == AS_JSON:
            # An empty document was shown as JSON because its kind was not chosen yet.
            is_form = action == AS_FORM or (not document and action != AS_JSON and self.kind is not None)
            return ShownDocument(
                EditedDocument(document), AS_FORM if is_form else AS_JSON, "" if is_form else value.text
            )
        if self.kind is None:
            return ShownDocument(EditedDocument(document))
        edited = apply_controls(self.kind, document, value.controls, parse_json_text)
        is_json = action == AS_JSON and not edited.problems
        return ShownDocument(edited, AS_JSON if is_json else AS_FORM)


def _list_values(data: Any, key: str) -> list[str]:
    if hasattr(data, "getlist"):
        return list(data.getlist(key))
    value = data[key]
    return list(value) if isinstance(value, list | tuple) else [str(value)]


def _outer_pointers(pointer: str) -> list[str]:
    steps = parse_pointer(pointer)
    outer = [steps[:count] for count in range(len(steps) + 1)]
    return [format_pointer(place) for one in outer for place in (one, (*one, MORE))]


def _hidden_text(document: Any) -> SafeString:
    """Return a document as the content of a text area. Quotes need no escaping there, and there are many."""
    text = json.dumps(document, ensure_ascii=False, separators=(",", ":"))
    return mark_safe(text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;"))  # noqa: S308
