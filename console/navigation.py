"""The console's menu: pages by what people come for, each shown only to those who may open it."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from http import HTTPStatus
from urllib.parse import quote, unquote, urlsplit

from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.urls import reverse
from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

from console.overview import badges

Text = str | Promise
_LIST_COOKIE = "list"
# Browsers store cookies of up to 4 KB.
_MAX_QUERY = 2000


@dataclass(frozen=True, slots=True)
class MenuEntry:
    """One line of the menu. `permission`: who sees it; empty: all staff."""

    name: Text
    url_name: str
    permission: str = ""


@dataclass(frozen=True, slots=True)
class MenuPage:
    """An entry as one person sees it on one page. `badge`: how much of it needs this person, and `badge_text` what."""

    name: Text
    url: str
    is_current: bool
    badge: int = 0
    badge_text: Text = ""


@dataclass(frozen=True, slots=True)
class MenuGroup:
    """Entries under one heading; the first group has none."""

    name: Text
    pages: Sequence[MenuPage]


MENU: Sequence[tuple[Text, Sequence[MenuEntry]]] = (
    (
        "",
        (
            MenuEntry(_("Overview"), "admin:index"),
            MenuEntry(_("Events"), "admin:webhooks_event_changelist", "webhooks.view_event"),
            MenuEntry(_("Failures"), "admin:sync_failuregroup_changelist", "sync.view_failuregroup"),
            MenuEntry(_("Held for approval"), "admin:sync_delivery_changelist", "sync.view_delivery"),
            MenuEntry(_("Comparisons"), "admin:sync_comparison_changelist", "sync.view_differences"),
            MenuEntry(_("Replays"), "admin:sync_personrequest_changelist", "sync.view_personrequest"),
            MenuEntry(_("Requests"), "admin:webhooks_receipt_changelist", "webhooks.view_receipt"),
            MenuEntry(_("Alarms"), "admin:sync_alarm_changelist", "sync.view_alarm"),
        ),
    ),
    (
        _("Configure"),
        (
            MenuEntry(_("Connect systems"), "admin:pairs", "sync.add_route"),
            MenuEntry(_("Sources"), "admin:webhooks_source_changelist", "webhooks.view_source"),
            MenuEntry(_("Connections"), "admin:sync_connection_changelist", "sync.view_connection"),
            MenuEntry(_("Routes"), "admin:sync_route_changelist", "sync.view_route"),
            MenuEntry(_("Mappings"), "admin:sync_mapping_changelist", "sync.view_mapping"),
            MenuEntry(_("Reference"), "admin:reference"),
        ),
    ),
    (
        _("Audit and access"),
        (
            MenuEntry(_("Audit log"), "admin:audit_entry_changelist", "audit.view_entry"),
            MenuEntry(_("Exports"), "admin:exports_export_changelist", "exports.view_export"),
            MenuEntry(_("Erasures"), "admin:sync_erasure_changelist", "sync.view_erasure"),
            MenuEntry(_("People"), "admin:auth_user_changelist", "auth.view_user"),
            MenuEntry(_("Roles"), "admin:auth_group_changelist", "auth.view_group"),
            MenuEntry(_("Access requests"), "admin:logins_accessrequest_changelist", "auth.change_user"),
        ),
    ),
)


_BADGE_TEXTS: Mapping[str, Text] = {
    badges.FAILURES: _("Open failures"),
    badges.HELD: _("Held for approval"),
    badges.ALARMS: _("Active alarms"),
}


def visible_menu_groups(request: HttpRequest) -> Iterator[MenuGroup]:
    """Yield the groups of the person's menu on the page of this request, without groups that have no page."""
    counts, path, user = badges.badges_of(request), request.path, request.user
    for name, entries in MENU:
        pages = [
            MenuPage(
                entry.name,
                url := reverse(entry.url_name),
                _is_current(url, path),
                counts.get(entry.url_name, 0),
                _BADGE_TEXTS.get(entry.url_name, _("Requests that await your decision")),
            )
            for entry in entries
            if not entry.permission or user.has_perm(entry.permission)
        ]
        if pages:
            yield MenuGroup(name, pages)


def page_name(url_name: str) -> Text:
    """Return the name of a page in the menu, or an empty text if the menu does not have it."""
    entries = (entry for _name, entries in MENU for entry in entries)
    return next((entry.name for entry in entries if entry.url_name == url_name), "")


def link_to_list(request: HttpRequest, url_name: str, query: str = "", name: Text = "") -> tuple[str, Text]:
    """Return address and name of the list for a back link: the one that the browser came from, if it is in the menu.

    Browsers name the page before in `Referer`; only its query is taken. After a form of the page was sent, that is the
    page itself: then the list from which the browser opened it (see `remember_list`). Otherwise the list `url_name`,
    with `query`.
    """
    list_name, list_query = _list_before(request) or _remembered_list(request) or ("", "")
    if not list_name:
        return reverse(url_name) + query, name or page_name(url_name)
    return reverse(list_name) + list_query, page_name(list_name)


def remember_list(request: HttpRequest, response: HttpResponse) -> None:
    """Let the browser remember the list from which it opened this page, in a cookie that it sends to this page only:
    a query may name a person, so the hub does not store it.
    """
    found = _list_before(request)
    if found and request.method == "GET" and response.status_code == HTTPStatus.OK:
        response.set_cookie(
            _LIST_COOKIE,
            quote("".join(found)),
            path=request.path,
            httponly=True,
            secure=bool(settings.SESSION_COOKIE_SECURE),
            samesite="Lax",
        )


def _list_before(request: HttpRequest) -> tuple[str, str] | None:
    """Return URL name and query of the list in the menu that the browser came from; None for any other page."""
    try:
        before = urlsplit(request.headers.get("Referer", ""))
    except ValueError:
        return None
    if before.netloc != request.get_host() or before.path == request.path:
        return None
    for url_name in _list_names():
        if before.path == reverse(url_name):
            return url_name, f"?{before.query}"[:_MAX_QUERY] if before.query else ""
    return None


def _remembered_list(request: HttpRequest) -> tuple[str, str] | None:
    url_name, _mark, query = unquote(request.COOKIES.get(_LIST_COOKIE, "")).partition("?")
    return (url_name, f"?{query}" if query else "") if url_name in _list_names() else None


def _list_names() -> list[str]:
    entries = (entry for _name, entries in MENU for entry in entries)
    return [entry.url_name for entry in entries if entry.url_name.endswith("_changelist")]


def _is_current(url: str, path: str) -> bool:
    # The address of the overview is the beginning of all others.
    return path == url if url == reverse("admin:index") else path.startswith(url)
