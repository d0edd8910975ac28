"""Template tags of the parts that every page is made of: cells, facts, fields and notices.

A tag strips white space around its contents: templates are wrapped, and style sheets hide what is empty.
"""

from typing import Any

from django import template
from django.forms.utils import flatatt
from django.utils.html import format_html
from django.utils.safestring import SafeString

from console.ui.form_renderer import without_indentation

register = template.Library()


@register.simple_block_tag
def element(content: str, name: str, **attributes: Any) -> SafeString:
    """Render an element that style sheets treat differently while it is empty. `data_poll` sets `data-poll`."""
    attributes = {attribute.replace("_", "-"): value for attribute, value in attributes.items()}
    # A template rendered the contents, and has escaped them.
    return format_html("<{0}{1}>{2}</{0}>", name, flatatt(attributes), SafeString(content.strip()))


@register.simple_block_tag
def column(content: str, label: str, **attributes: Any) -> SafeString:
    """Render a cell of a table. The card layout of a phone shows `label`, the header of the column, before a cell
    that is not empty.
    """
    return element(content, "td", data_label=label, **attributes)


@register.simple_block_tag
def fact(content: str, label: str, **attributes: Any) -> SafeString:
    """Render a row of a list of facts. `attributes` are those of its value."""
    return format_html("<div><dt>{}</dt>{}</div>", label, element(content, "dd", **attributes))


@register.simple_block_tag
def notice(content: str, style: str = "", title: str = "", **attributes: Any) -> SafeString:
    """Render a notice. `style` is `good`, `quiet`, `warn` or `bad`; `title` is its first paragraph."""
    classes = f"notice notice-{style}" if style else "notice"
    heading = format_html("<p><strong>{}</strong></p>", title) if title else ""
    return format_html("<div{}>{}{}</div>", flatatt({"class": classes, **attributes}), heading, content)


@register.simple_block_tag
def unindented(content: str) -> SafeString:
    """Render contents without the white space between their lines."""
    return without_indentation(content)


@register.simple_block_tag
def field(content: str, control: str, label: str) -> SafeString:
    """Render a labelled control that is no field of a Django form. `control` is its id."""
    return format_html('<div class="field"><label for="{}">{}</label>{}</div>', control, label, content)
