"""Fields and forms that several pages use: reason, JSON text, primary key of an address."""

import json
from typing import Any
from uuid import UUID

from django import forms
from django.core.exceptions import ValidationError
from django.db import models
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

_MAX_BIGINT = 2**63 - 1


def parse_pk(text: str) -> int | None:
    """Parse the primary key in an address or a form. Returns None unless it is ASCII digits that fit a BIGINT."""
    # `int` alone also takes signs, spaces and digits of other scripts, and a key beyond a BIGINT is a database error.
    if not (text.isascii() and text.isdecimal() and len(text) <= len(str(_MAX_BIGINT))):
        return None
    number = int(text)
    return number if number <= _MAX_BIGINT else None


def parse_uuid_or_none(text: str) -> UUID | None:
    """Parse a UUID of a form. Returns None if the text is none."""
    try:
        return UUID(text)
    except ValueError:
        return None


class JSONTextField(forms.JSONField):
    """Form field for JSON as indented text. An empty text means the default. If that is an object or a list, the value
    must be one too.
    """

    widget = forms.Textarea(attrs={"rows": 12, "cols": 90, "spellcheck": "false"})

    def prepare_value(self, value: Any) -> Any:
        # Invalid input is shown again unchanged.
        is_text = isinstance(value, str)
        return value if is_text else json.dumps(value, indent=2, ensure_ascii=False)

    def to_python(self, value: Any) -> Any:
        # An empty text is None here; NULL is not allowed in these columns.
        parsed = super().to_python(value)
        default = self.initial() if callable(self.initial) else self.initial
        if parsed is None:
            return default
        if default is not None and not isinstance(parsed, type(default)):
            raise ValidationError(_("Enter a JSON object.") if default == {} else _("Enter a JSON list."))
        return parsed


# For a ModelAdmin's `formfield_overrides`.
JSON_AS_TEXT: dict[type[Any], dict[str, Any]] = {models.JSONField: {"form_class": JSONTextField}}


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
