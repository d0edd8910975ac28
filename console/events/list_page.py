"""Build the page of the event list: rows, filter chips and tabs."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

from django.db import connection
from django.http import HttpRequest, QueryDict
from django.utils import timezone

from config_schema.codes.codes import is_about_identity
from console.events.list_query import COUNT_LIMIT, count_newer, fetch_events, has_events, page_count_label
from console.events.list_views import search_sentence, view_tabs
from console.events.saved_views import saved_views
from console.ui.event_filters import EVENT_FILTERS
from console.ui.filter_set import FilteredPage
from console.ui.filters import FilterChip, ViewTab
from console.ui.formatting import time_until
from console.ui.keyset import BY_RECEIVED_TIME, Cursor, KeysetPage, PageRequest
from console.ui.outcome_texts import explain_outcome, explain_pause
from sync.models import SUCCESS_STATES
from sync.search.event_filter import EventFilter
from sync.search.time_ranges import InvalidFilter
from webhooks.models import State


@dataclass(frozen=True, slots=True)
class EventRow:
    event: Any
    reason: str
    next_try: str

    @property
    def short_reference(self) -> str:
        """Return the end of its reference: enough to tell two rows apart."""
        return str(self.event.reference)[-6:]


@dataclass(frozen=True, slots=True, kw_only=True)
class EventList(FilteredPage):
    """The content of the list's page.

    `newest`: the query by which the first page asks for newer events. `excluding`: for an empty list, the set filters
    without each of which there would be events.
    """

    event_filter: EventFilter
    count: str
    tabs: Sequence[ViewTab]
    newest: str
    excluding: Sequence[FilterChip]

    @property
    def search_sentence(self) -> str:
        return search_sentence(self.event_filter.search_match)

    @property
    def suffix(self) -> str:
        """Return the query of links to events, by which their pages link back to this list."""
        return "?" + urlencode({"list": self.query[1:]}) if self.params else ""

    @property
    def own_view(self) -> ViewTab | None:
        return next((tab for tab in self.tabs if tab.is_current and tab.key), None)


def build_event_list(request: HttpRequest) -> EventList:
    asked, now = EVENT_FILTERS.read_request(request.GET), timezone.now()
    page = fetch_events(asked.resolved, asked.page_request)
    fields = asked.page_fields(page)
    return EventList(
        **fields,
        event_filter=asked.resolved,
        rows=[_event_row(event, now) for event in page.rows],
        count=page_count_label(asked.resolved, page),
        tabs=view_tabs(fields["query"], _tab_counts(), saved_views(request.user)),
        newest=_newer_query(page, asked.page_request, fields["query"]),
        excluding=() if page.rows or asked.problem else _excluding_chips(fields["chips"]),
    )


def _excluding_chips(chips: Sequence[FilterChip]) -> list[FilterChip]:
    """Return the set filters without which there would be events. Called for an empty list only."""
    without = ((chip, QueryDict(chip.clear_query[1:])) for chip in chips if chip.value)
    return [chip for chip, query in without if has_events(EVENT_FILTERS.resolve_query(query))]


def count_newer_events(query: QueryDict) -> int:
    """Count the events received since an open page was loaded; 0 for an address that cannot be used."""
    try:
        return count_newer(EVENT_FILTERS.resolve_query(query), Cursor.parse_cursor(query.get("newer", "")))
    except InvalidFilter:
        return 0


def _newer_query(page: KeysetPage, page_request: PageRequest, query: str) -> str:
    """Return the query with which the first page asks for newer events; empty for other pages."""
    cursors = map(BY_RECEIVED_TIME.cursor_of, page.rows) if page_request == PageRequest() else ()
    newest = next(filter(None, cursors), None)
    return f"{query}&newer={newest}" if newest else ""


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
