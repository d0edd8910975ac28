"""Template filters of the reference."""

import json
import re
from typing import Any

from django import template
from django.utils.html import escape, format_html_join
from django.utils.safestring import SafeString

register = template.Library()
# As in Markdown, which docs/reference has: no space inside the asterisks, no letter or asterisk around them.
_NAME = re.compile(r"(?<![\w*])\*(?! )([^*]+)(?<! )\*(?![\w*])")


@register.filter
def inline_code(text: str) -> SafeString:
    """Render text between backticks as code, and outside of code a name between asterisks, such as that of a button,
    emphasized.
    """
    parts = enumerate(text.split("`"))
    return format_html_join(
        "",
        "{}",
        ((_render_code(part) if number % 2 else _render_names(part),) for number, part in parts),
    )


def _render_code(text: str) -> SafeString:
    return SafeString(f"<code>{escape(text)}</code>")


def _render_names(text: str) -> SafeString:
    return SafeString(_NAME.sub(r"<em>\1</em>", escape(text)))


@register.filter
def json_text(value: Any, indent: int | None = None) -> str:
    """Return a value as JSON text."""
    return json.dumps(value, ensure_ascii=False, indent=indent)
