"""Fields and forms that several pages use: reason, JSON text, primary key of an address."""

import json
from typing import Any
from uuid import UUID

from django import forms
from django.core.exceptions import NON_FIELD_ERRORS, ValidationError
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from config_schema.errors import SettingsInvalid
from console.base.json_text import JsonTextError, line_number_of, parse_json_text

_MAX_BIGINT = 2**63 - 1


def parse_pk(text: str) -> int | None:
    """Parse the primary key in an address or a form. Returns None unless it is ASCII digits that fit a BIGINT."""
    # `int` alone also takes signs, spaces and digits of other scripts, and a key beyond a BIGINT is a database error.
    if not (text.isascii() and text.isdecimal() and len(text) <= len(str(_MAX_BIGINT))):
        return None
    number = int(text)
    return number if number <= _MAX_BIGINT else None


def parse_uuid_or_none(text: str) -> UUID | None:
    """Parse a UUID of a form. Returns None for any other text."""
    try:
        return UUID(text)
    except ValueError:
        return None


class JSONTextField(forms.JSONField):
    """Form field for JSON as indented text. An empty text means the default. If that is an object or a list, the value
    must be one too.
    """

    def bound_data(self, data: Any, initial: Any) -> Any:
        # Refused input is shown again as it was typed.
        return initial if self.disabled else data

    def prepare_value(self, value: Any) -> Any:
        if value is None:
            # A field that may be empty.
            return ""
        is_text = isinstance(value, str)
        return value if is_text else json.dumps(value, indent=2, ensure_ascii=False)

    def to_python(self, value: Any) -> Any:
        # An empty text is None here; NULL is not allowed in these columns.
        parsed = self._parse_field(value) if isinstance(value, str) and value else super().to_python(value)
        default = self.initial() if callable(self.initial) else self.initial
        if parsed is None:
            return default
        if default is not None and not isinstance(parsed, type(default)):
            raise ValidationError(_("Enter a JSON object.") if default == {} else _("Enter a JSON list."))
        return parsed

    def _parse_field(self, text: str) -> Any:
        try:
            return parse_json_text(text)
        except JsonTextError as error:
            raise ValidationError(str(error)) from error


class SettingsForm(forms.ModelForm):  # type: ignore[type-arg]
    """Form with JSON fields. An invalid setting of theirs is named by its path and by its line in what was typed.

    The model raises a ValidationError with a SettingsInvalid as its parameter `setting`.
    """

    # True if a button only shows the form again: nothing was validated.
    is_shown_again = False

    def add_error(self, field: str | None, error: Any) -> None:
        raised = error if isinstance(error, ValidationError) else ValidationError(error)
        by_field = raised.error_dict if hasattr(raised, "error_dict") else {field: raised.error_list}
        for name, errors in by_field.items():
            # A text that cannot be parsed is not in the instance, which the model has checked without it.
            if name in self.errors and isinstance(self.fields.get(name or ""), JSONTextField):
                continue
            located = ValidationError([self._locate_error(name, one) for one in errors])
            super().add_error(None if name == NON_FIELD_ERRORS else name, located)

    def typed_text(self, name: str) -> str:
        """Return the text of a JSON field as it was typed; "" if it was not."""
        text = self[name].data
        return text if isinstance(text, str) else ""

    def _locate_error(self, name: str | None, error: ValidationError) -> ValidationError:
        """Return an error with the path of its setting, and its line in the text that was typed."""
        setting = invalid_setting(error)
        if setting is None or name not in self.fields:
            return error
        text = self.typed_text(name)
        line = line_number_of(text, setting.place) if setting.place and text else 0
        return ValidationError(str(JsonTextError(setting.sentence, line, setting.path)))


def invalid_setting(error: ValidationError) -> SettingsInvalid | None:
    """Return the invalid setting that an error is about, if any."""
    setting = (error.params or {}).get("setting")
    return setting if isinstance(setting, SettingsInvalid) else None


class ReasonField(forms.CharField):
    """Form field for a reason on one line. Runs of white space become one space before the length limits apply."""

    def __init__(self, *, max_length: int = 500, rows: int = 2, **options: Any) -> None:
        options.setdefault("label", gettext_lazy("Reason (recorded in the audit log)"))
        options["widget"] = forms.Textarea(attrs={"rows": rows, "cols": 60})
        super().__init__(max_length=max_length, **options)

    def to_python(self, value: Any) -> str:
        return " ".join(str(super().to_python(value)).split())


class ReasonForm(forms.Form):
    """Form for a reason, which the audit log stores. `field` replaces the label or the limits."""

    reason = ReasonField()

    def __init__(self, *args: Any, field: ReasonField | None = None, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if field is not None:
            self.fields["reason"] = field
