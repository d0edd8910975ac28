"""Texts of declarations as HTML: code between backticks."""

import re

from django.utils.html import escape, format_html_join
from django.utils.safestring import SafeString

# As in Markdown, which docs/reference has: no space inside the asterisks, no letter or asterisk around them.
_NAME = re.compile(r"(?<![\w*])\*(?! )([^*]+)(?<! )\*(?![\w*])")


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
