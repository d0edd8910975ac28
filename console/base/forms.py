"""Fields and forms that several pages use: a reason, JSON that is shown with indents, the key of a row."""

import json
from typing import Any

from django import forms
from django.core.exceptions import ValidationError
from django.db import models
from django.utils.translation import gettext_lazy

_LARGEST_KEY = 2**63 - 1  # of a BIGINT
REASON_AREA = forms.Textarea(attrs={"rows": 2, "cols": 60})


def parse_pk(text: str) -> int | None:
    """Read the key of a row from an address or a form. Returns None for what no row can have as its key: anything but
    ASCII digits, or a number that the database's column does not hold.
    """
    if not (text.isascii() and text.isdecimal() and len(text) <= len(str(_LARGEST_KEY))):
        return None
    number = int(text)
    return number if number <= _LARGEST_KEY else None


class JSONText(forms.JSONField):
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
JSON_AS_TEXT: dict[type[Any], dict[str, Any]] = {models.JSONField: {"form_class": JSONText}}


class ReasonForm(forms.Form):
    """Why; kept on the audit log."""

    reason = forms.CharField(
        label=gettext_lazy("Reason, kept in the audit log"), max_length=500, widget=REASON_AREA
    )

    def clean_reason(self) -> str:
        return " ".join(str(self.cleaned_data["reason"]).split())
