"""Form field for a document of settings, which its controls or its JSON edit."""

from collections.abc import Callable
from typing import Any

from django.core.exceptions import ValidationError

from config_schema.errors import SettingPath, format_pointer, parse_pointer
from config_schema.kinds import ValueKind
from console.base.forms import JSONTextField
from console.base.json_text import parse_json_text
from console.document_forms.labels import label_place
from console.document_forms.submitted_edits import apply_controls, leave_out_other_variants
from console.document_forms.widgets import (
    AS_FORM,
    AS_JSON,
    DocumentWidget,
    Kind,
    PostedDocument,
    ShownDocument,
)


class DocumentField(JSONTextField):
    """Form field for a document of settings, which is the value of a `JSONField`.

    `kind`: that of the document, or a function that returns it for the form, for a kind that depends on another field;
    None of it means that only the JSON is shown. `renders_again`: a choice in the document changes what else the page
    shows. `reference`: the name of the page of the reference, or a function like that. The form must be a
    `DocumentForm`.
    """

    widget: Any = DocumentWidget

    def __init__(
        self,
        *,
        kind: ValueKind[Any] | Callable[[Any], Kind],
        renders_again: bool = False,
        reference: str | Callable[[Any], str] = "",
        **options: Any,
    ) -> None:
        options.setdefault("required", False)
        options.setdefault("initial", dict)
        super().__init__(**options)
        self._kind, self._reference = kind, reference
        self.widget.renders_again = renders_again

    def bind(self, form: Any) -> None:
        """Find the kind of the document for a form, which is bound or not."""
        self.widget.kind = self._kind if isinstance(self._kind, ValueKind) else self._kind(form)
        reference = self._reference
        self.widget.reference = reference if isinstance(reference, str) else reference(form)
        self.widget.label = str(self.label or "")
        # Copies of a form share what its widgets hold.
        self.widget.errors = {}

    def prepare_value(self, value: Any) -> Any:
        return value if isinstance(value, PostedDocument) else super().prepare_value(value)

    def to_python(self, value: Any) -> Any:
        if not isinstance(value, PostedDocument):
            return super().to_python(value)
        document = super().to_python(value.text)
        kind = self.widget.kind
        if value.mode == AS_JSON or kind is None:
            return document
        edited = apply_controls(kind, document, value.controls, parse_json_text)
        if edited.problems:
            raise ValidationError(
                [
                    f"{label_place(parse_pointer(at))}: {problem.sentence}"
                    for at, problem in edited.problems.items()
                ]
            )
        return leave_out_other_variants(kind, edited.document)

    def locate(self, value: Any, place: SettingPath, sentence: str) -> str | None:
        """Show the error of a setting beside its control. Returns its text for the list of errors; None if the document
        is shown as JSON.
        """
        is_form = isinstance(value, PostedDocument) and value.mode == AS_FORM and self.widget.kind is not None
        if not is_form:
            return None
        self.widget.errors[format_pointer(place)] = sentence
        return f"{label_place(place)}: {sentence}" if place else sentence

    def current_document(self, value: Any) -> Any:
        """Return the document that the page shows now; None if its JSON cannot be read."""
        shown: ShownDocument = self.widget.find_shown(value)
        return None if shown.text and shown.remarks else _parse_or_none(shown)


def _parse_or_none(shown: ShownDocument) -> Any:
    return parse_json_text(shown.text) if shown.text else shown.edited.document
