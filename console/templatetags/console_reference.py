"""Template filters of the reference."""

import json
from typing import Any

from django import template
from django.utils.html import escape, format_html_join
from django.utils.safestring import SafeString

register = template.Library()


@register.filter
def inline_code(text: str) -> SafeString:
    """Render what stands between backticks as code."""
    parts = enumerate(text.split("`"))
    return format_html_join(
        "",
        "{}",
        ((SafeString(f"<code>{escape(part)}</code>") if number % 2 else part,) for number, part in parts),
    )


@register.filter
def json_text(value: Any, indent: int | None = None) -> str:
    """Return a value as JSON text."""
    return json.dumps(value, ensure_ascii=False, indent=indent)
