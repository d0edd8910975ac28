"""Build the page of the event list: rows, filter chips and tabs."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from urllib.parse import parse_qsl, urlencode

from django.db import connection
from django.db.models import QuerySet
from django.http import HttpRequest, QueryDict
from django.utils import timezone
from django.utils.translation import gettext as _

from console.base.damaged_rows import DamagedRow
from console.events.list_filters import FILTER_BAR, filter_chips, search_sentence, view_tabs
from console.events.list_query import COUNT_LIMIT, count_newer, fetch_events, has_events, page_count_label
from console.events.saved_views import saved_views
from console.ui.chips import FilterChip, ViewTab
from console.ui.formatting import time_until
from console.ui.keyset import BY_RECEIVED_TIME, Cursor, KeysetPage, PageLinks, PageRequest
from console.ui.outcome_texts import explain_outcome, explain_pause
from sync.models import SUCCESS_STATES
from sync.search.event_filter import EventFilter, resolve_filter
from sync.search.time_ranges import InvalidFilter
from webhooks.catalogue.codes import is_about_identity
from webhooks.models import Event, Source, State

_PAGE_PARAMS = ("before", "after", "order", "newer")
_IGNORED_PARAMS = ("e", "_changelist_filters")


@dataclass(frozen=True, slots=True)
class EventRow:
    """One event as the list shows it."""

    event: Any
    reason: str
    next_try: str

    @property
    def short_reference(self) -> str:
        """Return the end of its reference: enough to tell two rows apart."""
        return str(self.event.reference)[-6:]


@dataclass(frozen=True, slots=True)
class EventList:
    """The content of the list's page.

    `excluding`: for an empty list, the set filters without each of which there would be events.
    """

    event_filter: EventFilter
    params: Mapping[str, str]
    rows: Sequence[EventRow | DamagedRow]
    count: str
    chips: Sequence[FilterChip]
    tabs: Sequence[ViewTab]
    query: str
    page_links: PageLinks
    newest: str
    excluding: Sequence[FilterChip] = ()
    problem: str = ""

    @property
    def search_sentence(self) -> str:
        """Return how the search term was understood."""
        return search_sentence(self.event_filter.search_match)

    @property
    def is_filtered(self) -> bool:
        return bool(self.params)

    @property
    def suffix(self) -> str:
        """Return the query of links to events, by which their pages link back to this list."""
        return "?" + urlencode({"list": self.query[1:]}) if self.params else ""

    @property
    def own_view(self) -> ViewTab | None:
        """Return the saved view that is open."""
        return next((tab for tab in self.tabs if tab.is_current and tab.key), None)


def unknown_params(query: QueryDict) -> list[str]:
    """Return query parameters that this list does not know."""
    return FILTER_BAR.unknown_params(query, *_PAGE_PARAMS, *_IGNORED_PARAMS)


def build_event_list(request: HttpRequest) -> EventList:
    """Load the page that the request asks for. Filters that cannot be used give a message and an unfiltered list."""
    params, problem = FILTER_BAR.read_params(request.GET), ""
    now = timezone.now()
    try:
        event_filter, page_request = resolve_filter(params, now), PageRequest.from_query(request.GET)
    except InvalidFilter:
        problem = _("The filters in this address are invalid. Showing everything.")
        params, event_filter, page_request = {}, EventFilter(), PageRequest()
    page = fetch_events(event_filter, page_request)
    query, bar = FILTER_BAR.build_query(params), filter_chips(params, source_options())
    return EventList(
        event_filter=event_filter,
        params=params,
        rows=[event if isinstance(event, DamagedRow) else _event_row(event, now) for event in page.rows],
        count=page_count_label(event_filter, page),
        chips=bar,
        tabs=view_tabs(params, _tab_counts(), saved_views(request.user)),
        query=query,
        page_links=PageLinks.for_page(query, page, page_request),
        newest=_newer_query(page, page_request, query),
        excluding=() if page.rows or problem else _excluding_chips(bar, now),
        problem=problem,
    )


def _excluding_chips(bar: Sequence[FilterChip], now: datetime) -> list[FilterChip]:
    """Return the set filters without which there would be events. Called for an empty list only."""
    set_ones = [chip for chip in bar if chip.value]
    return [
        chip for chip in set_ones if has_events(resolve_filter(dict(parse_qsl(chip.clear_query[1:])), now))
    ]


def count_newer_events(request: HttpRequest) -> int:
    """Count the events received since an open page was loaded; 0 for an address that cannot be used."""
    try:
        event_filter = resolve_filter(FILTER_BAR.read_params(request.GET), timezone.now())
        return count_newer(event_filter, Cursor.parse_cursor(request.GET.get("newer", "")))
    except InvalidFilter:
        return 0


def listed_events(request: HttpRequest) -> QuerySet[Event]:
    """Return all events that match the address, in the order of the list. Raises InvalidFilter."""
    if unknown := unknown_params(request.GET):
        raise InvalidFilter(f"{unknown[0][:40]} is not a filter of events")
    return resolve_filter(FILTER_BAR.read_params(request.GET), timezone.now()).apply_to(
        Event.objects.select_related("source").order_by("-received_at", "-pk")
    )


def _newer_query(page: KeysetPage, page_request: PageRequest, query: str) -> str:
    """Return the query with which the first page asks for newer events; empty for other pages."""
    cursors = map(BY_RECEIVED_TIME.cursor_of, page.rows) if page_request == PageRequest() else ()
    newest = next(filter(None, cursors), None)
    return f"{query}&newer={newest}" if newest else ""


def source_options() -> list[tuple[str, str]]:
    return list(Source.objects.values_list("slug", "name")[:100])


def _tab_counts() -> dict[str, str]:
    """Return the bounded counts of the tabs, by one statement."""
    dead, held, retrying = _count_states(State.DEAD, State.HELD, State.RETRYING)
    return {"attention": _bounded_count(dead + held), "retrying": _bounded_count(retrying)}


def _count_states(*states: str) -> Sequence[int]:
    """Count the events in each of these states, up to the limit."""
    # The LIMIT in each part bounds the count: it never reads more index entries than it can show.
    part = "(SELECT count(*) FROM (SELECT 1 FROM webhooks_event WHERE state = %s LIMIT %s) AS counted)"
    with connection.cursor() as cursor:
        cursor.execute(
            f"SELECT {', '.join([part] * len(states))}",
            [value for state in states for value in (state, COUNT_LIMIT + 1)],
        )
        counts: Sequence[int] = cursor.fetchone()
    return counts


def _bounded_count(count: int) -> str:
    return f"{COUNT_LIMIT:,}+" if count > COUNT_LIMIT else f"{count:,}" if count else ""


def _event_row(event: Any, now: Any) -> EventRow:
    system = event.identity if is_about_identity(event.code) else event.target
    words = explain_pause() if event.is_paused else explain_outcome(event.state, event.code, system or "")
    is_ahead = event.state == State.RETRYING and event.next_at is not None
    return EventRow(
        event=event,
        reason="" if event.state in SUCCESS_STATES else words.title,
        next_try=time_until(event.next_at, now) if is_ahead else "",
    )
