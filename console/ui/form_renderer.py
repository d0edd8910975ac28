"""How the console renders forms: a field with `{{ field.as_field_group }}`, and all without indentation."""

import re

from django.forms.renderers import TemplatesSetting
from django.utils.safestring import SafeString

_KEPT = re.compile(r"(<(?:textarea|pre)\b[\s\S]*?</(?:textarea|pre)>)")
_INDENTATION = re.compile(r"\s*\n\s*")


class ConsoleFormRenderer(TemplatesSetting):
    """Renders a field with the template of the console, and widgets with Django's."""

    field_template_name = "console/base/field.html"


def without_indentation(html: str) -> SafeString:
    """Return HTML without the white space between its lines, which would be a quarter of a page of settings. That of
    text areas and preformatted texts stays.
    """
    parts = _KEPT.split(html)
    return SafeString(
        "".join(part if place % 2 else _INDENTATION.sub(" ", part) for place, part in enumerate(parts))
    )
