"""Template tags of the frame around every page: menu, environment badge, time zone, rows as cards."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from django import template
from django.conf import settings
from django.contrib.admin.templatetags.admin_urls import admin_urlname, admin_urlquote
from django.db import DatabaseError
from django.urls import reverse
from django.utils import timezone
from django.utils.html import format_html
from django.utils.safestring import SafeString, mark_safe
from django.utils.text import capfirst
from django.utils.translation import gettext as _

from console.navigation import link_to_list, page_name, visible_menu_groups
from console.overview.badges import badges_of
from console.permissions import may_find_by_value
from database.move_marker import read_move
from sync.search.person_search import MAX_TERM_LENGTH

register = template.Library()


@register.filter
def label_cells(cells: Iterable[SafeString], headers: Iterable[Mapping[str, Any]]) -> Iterator[SafeString]:
    """Add the column header to each cell of a row as `data-label`, for the card layout."""
    for cell, header in zip(cells, headers, strict=True):
        label = format_html('<td data-label="{}" class="field-', capfirst(header["text"]))
        # The cell is Django's own markup, and `format_html` has escaped the label.
        yield mark_safe(cell.replace('<td class="field-', label, 1))  # noqa: S308


@register.inclusion_tag("console/base/_navigation.html", takes_context=True)
def navigation(context: Any) -> dict[str, Any]:
    return {"groups": list(visible_menu_groups(context["request"]))}


@register.simple_tag(takes_context=True)
def attention_count(context: Any) -> str:
    """Return the sum of the badges of the menu for the title of the page, as `(12) `; empty for none."""
    request = context.get("request")
    user = getattr(request, "user", None)
    if user is None or not (user.is_active and user.is_staff):
        return ""
    number = sum(badges_of(request).values())
    return f"({number:,}) " if number else ""


@register.simple_tag
def list_headline(changelist: Any) -> str:
    """Return the sentence above a list of Django's admin; empty for an empty list, and for one of which the page shows
    only a part: the sentence is about all rows.
    """
    is_part = changelist.multi_page or changelist.has_active_filters or bool(changelist.query)
    rows = [] if is_part else list(changelist.result_list)
    headline: str = changelist.model_admin.list_headline(rows) if rows else ""
    return headline


@register.simple_tag(takes_context=True)
def find_box(context: Any) -> SafeString:
    """Render the search box of the header, which sends its term in a form: an address would be stored elsewhere.

    `term` of the context: what was searched for.
    """
    can_find_people = may_find_by_value(context["request"].user)
    return format_html(
        '<form method="post" action="{}" role="search" class="find">'
        '<input type="hidden" name="csrfmiddlewaretoken" value="{}">'
        '<input type="search" name="term" maxlength="{}" autocomplete="off" spellcheck="false" data-search '
        'aria-label="{}" aria-keyshortcuts="Control+K /" placeholder="{}" value="{}">'
        '<button class="visually-hidden">{}</button></form>',
        reverse("admin:find"),
        context["csrf_token"],
        MAX_TERM_LENGTH,
        _("Find a person or an event"),
        _("Name, e-mail, id or reference") if can_find_people else _("Id or reference"),
        context.get("term", ""),
        _("Search"),
    )


@register.simple_tag(takes_context=True)
def back_to_list(context: Any, opts: Any) -> SafeString:
    """Render the link from the page of one row to the list that the person came from, named as in the menu."""
    url_name, name = admin_urlname(opts, SafeString("changelist")), capfirst(opts.verbose_name_plural)
    return _render_back_link(*link_to_list(context["request"], url_name, name=page_name(url_name) or name))


@register.simple_tag(takes_context=True)
def back_link(context: Any, url_name: str, query: str = "") -> SafeString:
    """Render the link from a page of details to the list that the person came from, or to this one."""
    url, name = link_to_list(context["request"], url_name, query)
    return format_html('<a href="{}">← {}</a>', url, name)


@register.simple_tag
def back_to_row(opts: Any, row: Any) -> SafeString:
    """Render the link from a page about a row to the page of the row."""
    return _render_back_link(
        reverse(admin_urlname(opts, SafeString("change")), args=[admin_urlquote(row.pk)]), row
    )


def _render_back_link(url: str, name: Any) -> SafeString:
    return format_html(
        '<nav class="crumbs" aria-label="{}"><a href="{}">← {}</a></nav>', _("Back"), url, name
    )


@register.simple_tag
def environment_badge() -> str | SafeString:
    """Render the name of the environment; empty if none is set."""
    name = settings.ENVIRONMENT
    return format_html('<span class="badge environment">{}</span>', name) if name else ""


@register.inclusion_tag("console/base/_move.html")
def move_notice() -> dict[str, Any]:
    """Render that the hub is being moved to another database, or was, and since when; nothing otherwise."""
    try:
        return {"move": read_move()}
    except DatabaseError:
        return {"move": None}


@register.simple_tag
def zone_name() -> str:
    """Return the name of the time zone that times on this page are in."""
    return timezone.get_current_timezone_name()
