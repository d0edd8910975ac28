"""Fields and forms that several pages use: a reason, JSON that is shown with indents, the key of a row."""

import json
from typing import Any

from django import forms
from django.core.exceptions import ValidationError
from django.db import models
from django.utils.translation import gettext_lazy

_MAX_BIGINT = 2**63 - 1  # of a BIGINT


def parse_pk(text: str) -> int | None:
    """Read the key of a row from an address or a form. Returns None for what no row can have as its key: anything but
    ASCII digits, or a number that the database's column does not hold.
    """
    if not (text.isascii() and text.isdecimal() and len(text) <= len(str(_MAX_BIGINT))):
        return None
    number = int(text)
    return number if number <= _MAX_BIGINT else None


class JSONTextField(forms.JSONField):
    """A JSON text. An empty one means the default; where that is an object or a list, so must this be."""

    widget = forms.Textarea(attrs={"rows": 12, "cols": 90, "spellcheck": "false"})

    def prepare_value(self, value: Any) -> Any:
        is_text = isinstance(value, str)  # what was typed stays as it was typed
        return value if is_text else json.dumps(value, indent=2, ensure_ascii=False)

    def to_python(self, value: Any) -> Any:
        parsed = super().to_python(value)
        default = self.initial() if callable(self.initial) else self.initial
        if parsed is None:
            return default
        if default is not None and not isinstance(parsed, type(default)):
            raise ValidationError("An object is expected." if default == {} else "A list is expected.")
        return parsed


# For a ModelAdmin's `formfield_overrides`.
JSON_AS_TEXT: dict[type[Any], dict[str, Any]] = {models.JSONField: {"form_class": JSONTextField}}


class ReasonField(forms.CharField):
    """Why something is done, as one line: each run of white space is one space, and the limits count what is left."""

    def __init__(self, *, max_length: int = 500, rows: int = 2, **options: Any) -> None:
        options.setdefault("label", gettext_lazy("Reason, kept in the audit log"))
        options["widget"] = forms.Textarea(attrs={"rows": rows, "cols": 60})
        super().__init__(max_length=max_length, **options)

    def to_python(self, value: Any) -> str:
        return " ".join(str(super().to_python(value)).split())


class ReasonForm(forms.Form):
    """Why; kept on the audit log. `field` is the reason with another label or other limits."""

    reason = ReasonField()

    def __init__(self, *args: Any, field: ReasonField | None = None, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if field is not None:
            self.fields["reason"] = field
