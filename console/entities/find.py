"""Find a person, group or file by what a caller says: the search box of every page, and its results."""

from dataclasses import dataclass
from functools import cache
from itertools import chain
from math import ceil
from typing import Any

from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.db import transaction
from django.http import HttpRequest, HttpResponse, HttpResponseNotAllowed
from django.shortcuts import redirect
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils.formats import date_format
from django.utils.translation import gettext as _

from console.base.audit_trail import record_action, require_staff_user
from console.entities.timeline import find_names
from console.permissions import CONTENTS, MAY_COMPARE, may_find_by_value
from console.ui.links import entity_url
from database.statement import Statement
from sync.search.person_search import (
    MAX_TERM_LENGTH,
    FoundBy,
    Hit,
    Hits,
    find_by_identifier,
    find_by_value,
    may_be_value,
    merge_hits,
)
from sync.search.search_digests import can_search_values
from webhooks.models import Event
from webhooks.models.rate_limit import RateLimit, RateLimitExceeded, RateLimitState

ACTION = "people.searched"
# Of one person: a list of addresses must not be tried one by one.
VALUE_SEARCHES = RateLimit(per_second=20 / 60, burst=20)
_NEWEST_EVENT = """SELECT id FROM (SELECT id FROM webhooks_event WHERE entity_type = %s AND entity_id = %s
    ORDER BY received_at DESC, id DESC LIMIT 1) newest{}"""
_EVENT_COLUMNS = ("entity_type", "entity_id", "state", "code", "received_at")


@dataclass(frozen=True, slots=True)
class HitRow:
    """A hit with the newest event of its entity, and its address. `name`: of the person, group or file, for those who
    may see payload contents; empty if the newest event has none.
    """

    hit: Hit
    url: str
    newest: Event | None
    name: str

    @property
    def found_by(self) -> str:
        """Return what led to the entity, as a phrase."""
        return {
            FoundBy.EVENT: _("event"),
            FoundBy.ENTITY: _("entity id"),
            FoundBy.RECORD: _("record id"),
            FoundBy.VALUE: _("search field"),
        }[self.hit.found_by]


def find_view(request: HttpRequest) -> HttpResponse:
    """Show the search box; a POST searches. Its one hit is opened, several are listed.

    The term is never in an address, which browsers and proxies store. A search by value is on the audit log, without
    the value.
    """
    if not request.user.has_perm("webhooks.view_event"):
        raise PermissionDenied
    if request.method not in ("GET", "HEAD", "POST"):
        return HttpResponseNotAllowed(["GET", "HEAD", "POST"])
    term = request.POST.get("term", "").strip()[:MAX_TERM_LENGTH]
    if not term:
        return _render(request)
    try:
        hits = _search(request, term)
    except RateLimitExceeded as error:
        response = _render(request, term=term, wait=ceil(error.seconds))
        response.status_code = 429
        response["Retry-After"] = str(ceil(error.seconds))
        return response
    return _open_only_hit(request, hits) or _render(
        request, term=term, hits=hits, rows=_hit_rows(request, hits)
    )


def _search(request: HttpRequest, term: str) -> Hits:
    """Search by identifiers, then by value if the person may. Raises RateLimitExceeded."""
    found = find_by_identifier(term, with_links=request.user.has_perm("sync.view_link"))
    if not may_find_by_value(request.user) or not may_be_value(term, found):
        return found
    RateLimitState.spend(f"search:{require_staff_user(request).pk}", 1, VALUE_SEARCHES, 0)
    people = find_by_value(term)
    with transaction.atomic():
        stream = f"person:{require_staff_user(request).pk}"
        record_action(request, stream, ACTION, {"hits": len(people.hits)})
    return merge_hits(found, people)


def _open_only_hit(request: HttpRequest, hits: Hits) -> HttpResponse | None:
    if hits.receipt is not None:
        return redirect("admin:webhooks_receipt_change", hits.receipt.pk)
    if len(hits.hits) != 1:
        return None
    hit = hits.hits[0]
    if hit.former_since is not None:
        sentence = _("The value that you searched for is a former one: it was replaced by %(date)s.")
        messages.info(request, sentence % {"date": date_format(hit.former_since, "Y-m-d")})
    return redirect(_hit_url(hit))


def _hit_url(hit: Hit) -> str:
    if hit.event is not None:
        return reverse("admin:webhooks_event_change", args=[hit.event.pk])
    return entity_url(hit.entity_type, hit.entity_id)


def _hit_rows(request: HttpRequest, hits: Hits) -> list[HitRow]:
    newest = _newest_events(hits)
    events = [hit.event or newest.get((hit.entity_type, hit.entity_id)) for hit in hits.hits]
    known = list(filter(None, events))
    names = find_names(known) if request.user.has_perm(CONTENTS) and known else {}
    return [
        HitRow(hit, _hit_url(hit), event, names.get(event.pk, "") if event else "")
        for hit, event in zip(hits.hits, events, strict=True)
    ]


def _newest_events(hits: Hits) -> dict[tuple[str, str], Event]:
    """Return the newest event of each entity, by two statements."""
    entities = [(hit.entity_type, hit.entity_id) for hit in hits.hits if hit.event is None]
    if not entities:
        return {}
    rows = _newest_statement(len(entities)).fetch_all(*chain.from_iterable(entities))
    found = Event.objects.only(*_EVENT_COLUMNS).in_bulk([key for (key,) in rows])
    return {(event.entity_type, event.entity_id): event for event in found.values()}


@cache
def _newest_statement(number: int) -> Statement:
    """Return the statement that reads the key of the newest event of so many entities. Each part has a plan of its own,
    by the index of entities: with one condition for all, PostgreSQL reads the whole table.
    """
    return Statement(" UNION ALL ".join(_NEWEST_EVENT.format(part) for part in range(number)))


def _render(request: HttpRequest, **context: Any) -> TemplateResponse:
    shown = {
        **admin.site.each_context(request),
        "title": _("Find a person"),
        "may_find_by_value": may_find_by_value(request.user),
        "is_value_search_off": not can_search_values(),
        "may_compare": request.user.has_perm(MAY_COMPARE),
        **context,
    }
    return TemplateResponse(request, "console/entities/find.html", shown)
