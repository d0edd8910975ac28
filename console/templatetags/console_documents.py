"""Template filters of the controls of documents."""

from collections.abc import Mapping
from textwrap import shorten
from typing import Any
from urllib.parse import quote

from django import template
from django.utils.safestring import SafeString

from config_schema.expressions.expression_kind import ExpressionKind
from console.document_forms.control_parts import Card
from console.document_forms.labels import label_name
from console.document_forms.summaries import summarize
from console.ui.inline_code import inline_code
from webhooks.protocol.formats.webhook_format import ExpressionOrConstantKind

# Characters; longer options are cut by browsers on phones anyway.
_MOST_OF_MEANING = 72

register = template.Library()
register.filter("setting_label", label_name)


@register.filter
def control_id(pointer: str, name: str) -> str:
    """Return the id of the element for a place in the document of a form field."""
    return f"at-{name}{quote(pointer, safe='/~')}"


@register.filter
def option_text(value: str, meaning: str) -> str:
    """Return the text of a choice: itself, and the beginning of what it means if that is known."""
    first = meaning.partition(". ")[0].replace("`", "").removesuffix(".")
    return f"{value} – {shorten(first, _MOST_OF_MEANING, placeholder='…')}" if first else value or "–"


@register.filter
def setting_meaning(setting: Any) -> SafeString:
    """Return the first sentence of what a setting does, and the limits of its values, which are the same for all
    expressions. The other sentences of a choice say what its values mean.
    """
    if setting.kind.choices:
        return inline_code(setting.meaning)
    first, stop, _rest = setting.meaning.partition(". ")
    has_limits = not isinstance(setting.kind, ExpressionKind | ExpressionOrConstantKind)
    limits = setting.kind.limits if has_limits else ""
    return inline_code(f"{first}{stop.rstrip()}" + (f" ({limits})" if limits else ""))


@register.filter
def at_pointer(errors: Mapping[str, str], part: Any) -> str:
    """Return the error of a control or a list of cards; "" if there is none."""
    if part.pointer in errors:
        return errors[part.pointer]
    problem = getattr(part, "problem", None)
    return str(problem.sentence) if problem else ""


@register.filter
def card_sentence(card: Card) -> str:
    return summarize(card.kind, card.value)


@register.filter
def labels_of(names: tuple[str, ...]) -> list[str]:
    """Return the labels of settings."""
    return [label_name(name) for name in names]
