"""Template filters of the reference."""

import json
from typing import Any

from django import template

from console.ui.inline_code import inline_code

register = template.Library()
register.filter(inline_code)


@register.filter
def json_text(value: Any, indent: int | None = None) -> str:
    return json.dumps(value, ensure_ascii=False, indent=indent)
