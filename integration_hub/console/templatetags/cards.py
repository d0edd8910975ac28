"""Rows of Django's lists as cards on a phone: each cell says what it is."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from django import template
from django.utils.html import format_html
from django.utils.safestring import SafeString, mark_safe
from django.utils.text import capfirst

register = template.Library()


@register.filter
def labelled(cells: Iterable[SafeString], headers: Iterable[Mapping[str, Any]]) -> Iterator[SafeString]:
    """The cells of a row, each with the words of its column; Django wrote them, and has escaped what they hold."""
    for cell, header in zip(cells, headers, strict=True):
        label = format_html('<td data-label="{}" class="field-', capfirst(header["text"]))
        yield mark_safe(cell.replace('<td class="field-', label, 1))  # noqa: S308
