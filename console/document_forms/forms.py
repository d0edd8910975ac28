"""Form with documents of settings: their kinds, their errors, and the buttons that only show the page again."""

from typing import Any

from django.core.exceptions import ValidationError
from django.forms.utils import ErrorDict

from console.base.forms import SettingsForm, invalid_setting
from console.document_forms.fields import DocumentField
from console.document_forms.widgets import PostedDocument, is_button_pressed


class DocumentForm(SettingsForm):
    """Form some of whose fields are a `DocumentField`. A button of a document shows the form again, with what was
    entered and without errors; then it is never valid.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        documents = {name: one for name, one in self.fields.items() if isinstance(one, DocumentField)}
        for document in documents.values():
            document.bind(self)
        self.is_shown_again = self.is_bound and any(
            is_button_pressed(self.data, self.add_prefix(name)) for name in documents
        )

    def full_clean(self) -> None:
        if not self.is_shown_again:
            super().full_clean()
            return
        self._errors = ErrorDict()
        self.cleaned_data = {}

    def is_valid(self) -> bool:
        return not self.is_shown_again and super().is_valid()

    def shown_document(self, name: str) -> Any:
        """Return the document of a field as the page shows it now; None if it cannot be read."""
        field = self.fields[name]
        return field.current_document(self[name].value()) if isinstance(field, DocumentField) else None

    def typed_text(self, name: str) -> str:
        data = self[name].data
        return data.text if isinstance(data, PostedDocument) else super().typed_text(name)

    def is_sent_as_form(self, name: str) -> bool:
        """Return True if the document of a field was sent by its controls, not as JSON."""
        sent = self[name].data
        return isinstance(sent, PostedDocument) and sent.is_form

    def _locate_error(self, name: str | None, error: ValidationError) -> ValidationError:
        field, setting = self.fields.get(name or ""), invalid_setting(error)
        if name is not None and isinstance(field, DocumentField) and setting is not None:
            text = field.locate(self[name].data, setting.place, setting.sentence)
            if text is not None:
                return ValidationError(text)
        return super()._locate_error(name, error)
