"""Show the fields of a settings page to people who cannot change it."""

import json
from collections.abc import Callable, Sequence
from typing import Any

from django.db import models
from django.utils.html import format_html
from django.utils.safestring import SafeString


def with_readable_json(model: type[models.Model], fieldsets: Sequence[Any]) -> list[Any]:
    """Return the fieldsets with each JSON field shown as an indented document. Django shows it on one line."""
    return [
        (title, {**options, "fields": tuple(_readable_field(model, name) for name in options["fields"])})
        for title, options in fieldsets
    ]


def _readable_field(model: type[models.Model], name: Any) -> Any:
    field = next((field for field in model._meta.concrete_fields if field.name == name), None)
    return _document_of(field) if isinstance(field, models.JSONField) else name


def _document_of(field: models.JSONField) -> Callable[[models.Model], SafeString | str]:
    def document(row: models.Model) -> SafeString | str:
        value = field.value_from_object(row)
        if value in (None, {}, ""):
            return "-"
        return format_html('<pre class="code">{}</pre>', json.dumps(value, indent=2, ensure_ascii=False))

    # Django finds the label and the help text of the form by this name.
    document.__name__ = field.name
    document.short_description = field.verbose_name  # type: ignore[attr-defined]
    return document
