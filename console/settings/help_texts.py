"""Help texts of the fields of a form, made from the descriptions of the settings."""

import json
from collections.abc import Mapping
from typing import Any

from django.utils.functional import lazy
from django.utils.safestring import SafeString
from django.utils.translation import gettext

from config_schema.model_fields import FieldSetting
from console.ui.inline_code import inline_code


def help_texts(settings: Mapping[str, FieldSetting]) -> dict[str, Any]:
    """Return the meaning of each setting; that of a JSON list with an example. A JSON object has controls, which need
    none.
    """
    return {name: _lazy_help_text(setting) for name, setting in settings.items()}


def _help_text(setting: FieldSetting) -> SafeString:
    meaning = setting.meaning
    if isinstance(setting.example, list):
        example = json.dumps(setting.example, ensure_ascii=False)
        meaning = gettext("%(meaning)s Example: `%(example)s`") % {"meaning": meaning, "example": example}
    return inline_code(meaning)


_lazy_help_text = lazy(_help_text, SafeString)
