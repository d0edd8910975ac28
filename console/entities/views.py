"""Show the page of one user, group or file, found by its exact type and id."""

from typing import Any
from urllib.parse import urlencode

from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse, HttpResponseNotAllowed
from django.shortcuts import redirect
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils.translation import gettext as _

from console.base.forms import parse_pk
from console.entities.compare_now import CompareForm, compare_context
from console.entities.page import EntityPage, EntityQuery, build_entity_page, known_types
from console.permissions import CONTENTS, MAY_COMPARE
from console.ui.links import audit_log_url, entity_search_term, entity_url
from sync.planning.mapping_declaration import InvalidMapping
from sync.search.event_filter import NEEDS_ATTENTION
from sync.search.time_ranges import InvalidFilter
from webhooks.models import is_erased

_PART_PERMISSIONS = {
    "links": "sync.view_link",
    "change_links": "sync.approve_delivery",
    "deliveries": "sync.view_delivery",
    "attempts": "sync.view_attempt",
    "erasures": "sync.view_erasure",
    "erase": "sync.erase_subject",
    "replay": "webhooks.replay_event",
    "compare": MAY_COMPARE,
    "contents": CONTENTS,
    "requests": "webhooks.view_receipt",
    "replays": "sync.view_personrequest",
    "audit": "audit.view_entry",
}


def entity_view(request: HttpRequest) -> HttpResponse:
    """Show the page for `?type=USER&id=…`. A POST fetches both sides now and shows on the page what differs.

    Without a type, the type under which the id is known is used; without an id, the search box is shown.
    """
    if not request.user.has_perm("webhooks.view_event"):
        raise PermissionDenied
    if request.method not in ("GET", "HEAD", "POST"):
        return HttpResponseNotAllowed(["GET", "HEAD", "POST"])
    query = _parse_query(request)
    if not query.entity_id:
        return redirect("admin:find")
    types = [query.entity_type] if query.entity_type else known_types(query.entity_id)
    if len(types) != 1:
        may_compare = request.user.has_perm(MAY_COMPARE)
        return _render_page(request, query.entity_id, query=query, types=types, may_compare=may_compare)
    if not query.entity_type:
        return redirect(entity_url(types[0], query.entity_id))
    may = {part: request.user.has_perm(permission) for part, permission in _PART_PERMISSIONS.items()}
    try:
        page = build_entity_page(query, may)
    except InvalidFilter:
        messages.warning(request, _("The position in this address is invalid. Showing the newest events."))
        return redirect(entity_url(query.entity_type, query.entity_id))
    urls = _page_urls(page)
    shown = {"page": page, "query": query, "types": types, "may_compare": may["compare"]}
    if request.method == "POST":
        shown |= _compare(request, query, urls["own_url"])
    return _render_page(request, _page_title(page), **urls, **shown)


def _compare(request: HttpRequest, query: EntityQuery, own_url: str) -> dict[str, Any]:
    """Compare the entity in both systems now."""
    values = {**request.POST.dict(), "type": query.entity_type, "id": query.entity_id, "subject": "entity"}
    try:
        form = CompareForm(values)
    except InvalidMapping:
        return {"was_asked": True}
    return {
        "was_asked": True,
        "compare_form": form,
        "compare_url": own_url,
        **compare_context(request, form),
    }


def _parse_query(request: HttpRequest) -> EntityQuery:
    """Return the entity that the address asks for. A value that cannot be an id becomes empty."""
    params = {name: request.GET.get(name, "") for name in ("type", "id", "identity", "before")}
    # PostgreSQL refuses a text with a NUL character.
    entity_id = params["id"] if "\x00" not in params["id"] and len(params["id"]) <= 128 else ""
    entity_type = params["type"].strip().upper()[:64].replace("\x00", "")
    return EntityQuery(entity_type, entity_id, parse_pk(params["identity"]) or 0, params["before"])


def _page_title(page: EntityPage) -> str:
    query = page.query
    if is_erased(query.entity_id):
        return _("%(type)s, erased") % {"type": query.entity_type}
    return f"{query.entity_type} {query.entity_id}"


def _page_urls(page: EntityPage) -> dict[str, Any]:
    """Return the links of the page. Ids are quoted: they can contain any character."""
    kind, entity_id = page.query.entity_type, page.query.entity_id
    narrowed = {"identity": str(page.query.identity)} if page.query.identity else {}
    return {
        "own_url": entity_url(kind, entity_id, **narrowed),
        "all_url": entity_url(kind, entity_id),
        "older_url": entity_url(kind, entity_id, **narrowed, before=page.older) if page.older else "",
        "events_url": f"{reverse('admin:webhooks_event_changelist')}?{urlencode({'entity_id': entity_id})}",
        "needing_url": f"{reverse('admin:webhooks_event_changelist')}?"
        + urlencode({"state": NEEDS_ATTENTION, "entity_type": kind, "entity_id": entity_id}),
        "audit_url": audit_log_url(entity_search_term(kind, entity_id)) if page.may["audit"] else "",
        "subject_urls": [
            (service, entity_url(kind, entity_id, identity=str(service.identity.pk)))
            for service in page.identity_services
        ],
        "earlier": [(name, entity_url(kind, name)) for name in page.pseudonyms],
    }


def _render_page(request: HttpRequest, title: str, **context: Any) -> TemplateResponse:
    shared = admin.site.each_context(request)
    return TemplateResponse(request, "console/entities/detail.html", {**shared, "title": title, **context})
