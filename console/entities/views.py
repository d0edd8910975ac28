"""The page of one user, group or file: found by type and id, exactly."""

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
from console.entities.page import EntityPage, Wanted, entity_page, types_of
from console.ui.links import audit_log_url, entity_search_term, entity_url
from sync.search.event_filter import NEEDS_SOMEBODY
from sync.search.periods import NoSuchFilter
from webhooks.models import is_erased

_NEEDED = {
    "links": "sync.view_link",
    "deliveries": "sync.view_delivery",
    "attempts": "sync.view_attempt",
    "erasures": "sync.view_erasure",
    "erase": "sync.erase_subject",
    "replay": "webhooks.replay_event",
    "audit": "audit.view_entry",
}


def entity_view(request: HttpRequest) -> HttpResponse:
    """`?type=USER&id=…`; without a type the one under which the id is known; without an id a form."""
    if not request.user.has_perm("webhooks.view_event"):
        raise PermissionDenied
    if request.method not in ("GET", "HEAD"):
        return HttpResponseNotAllowed(["GET", "HEAD"])
    wanted = _wanted(request)
    types = (
        [wanted.entity_type] if wanted.entity_type else types_of(wanted.entity_id) if wanted.entity_id else []
    )
    if len(types) != 1 or not wanted.entity_id:
        return _page(request, _("Find an entity"), wanted=wanted, types=types)
    if not wanted.entity_type:
        return redirect(entity_url(types[0], wanted.entity_id))
    may = {part: request.user.has_perm(permission) for part, permission in _NEEDED.items()}
    try:
        page = entity_page(wanted, may)
    except NoSuchFilter:
        messages.warning(
            request, _("This address names no place in the timeline: the newest events are shown.")
        )
        return redirect(entity_url(wanted.entity_type, wanted.entity_id))
    return _page(request, _title(page), **_addresses(page), page=page, wanted=wanted, types=types)


def _wanted(request: HttpRequest) -> Wanted:
    """What cannot be an id is looked for nowhere: a database could not even be asked for it."""
    given = {name: request.GET.get(name, "") for name in ("type", "id", "identity", "before")}
    entity_id = given["id"] if "\x00" not in given["id"] and len(given["id"]) <= 128 else ""
    entity_type = given["type"].strip().upper()[:64].replace("\x00", "")
    return Wanted(entity_type, entity_id, parse_pk(given["identity"]) or 0, given["before"])


def _title(page: EntityPage) -> str:
    wanted = page.wanted
    if is_erased(wanted.entity_id):
        return _("%(type)s, erased") % {"type": wanted.entity_type}
    return f"{wanted.entity_type} {wanted.entity_id}"


def _addresses(page: EntityPage) -> dict[str, Any]:
    """Every id in an address is quoted: it can hold any character."""
    kind, entity_id = page.wanted.entity_type, page.wanted.entity_id
    narrowed = {"identity": str(page.wanted.identity)} if page.wanted.identity else {}
    return {
        "own_url": entity_url(kind, entity_id, **narrowed),
        "all_url": entity_url(kind, entity_id),
        "older_url": entity_url(kind, entity_id, **narrowed, before=page.older) if page.older else "",
        "events_url": f"{reverse('admin:webhooks_event_changelist')}?{urlencode({'entity_id': entity_id})}",
        "needing_url": f"{reverse('admin:webhooks_event_changelist')}?"
        + urlencode({"state": NEEDS_SOMEBODY, "entity_type": kind, "entity_id": entity_id}),
        "audit_url": audit_log_url(entity_search_term(kind, entity_id)) if page.may["audit"] else "",
        "subject_urls": [
            (each, entity_url(kind, entity_id, identity=str(each.identity.pk))) for each in page.subjects
        ],
        "earlier": [(name, entity_url(kind, name)) for name in page.pseudonyms],
    }


def _page(request: HttpRequest, title: str, **context: Any) -> TemplateResponse:
    shared = admin.site.each_context(request)
    return TemplateResponse(request, "console/entities/detail.html", {**shared, "title": title, **context})
