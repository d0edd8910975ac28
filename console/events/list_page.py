"""Build the page of the event list: rows, filter chips and tabs."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any
from urllib.parse import urlencode

from django.http import HttpRequest, QueryDict
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from config_schema.codes.codes import is_about_identity
from console.events.columns import ColumnChoice, column_choices
from console.events.list_figures import ListFigures, load_list_figures
from console.events.list_query import (
    COUNT_LIMIT,
    count_newer,
    count_text,
    estimate_text,
    fetch_events,
    has_events,
)
from console.events.list_views import view_tabs
from console.events.row_details import NO_DETAILS, RowDetails, load_row_details
from console.events.saved_views import saved_views
from console.payloads.answer_messages import is_found_by_hub
from console.permissions import CONTENTS
from console.ui.event_filters import EVENT_FILTERS
from console.ui.filter_set import FilteredPage
from console.ui.filters import FilterChip, ViewTab
from console.ui.formatting import long_duration, time_until
from console.ui.keyset import BY_RECEIVED_TIME, Cursor, KeysetPage, PageRequest
from console.ui.outcome_texts import explain_outcome, explain_pause
from sync.models import SUCCESS_STATES
from sync.search.event_filter import EventFilter
from sync.search.time_ranges import InvalidFilter
from webhooks.models import State

# What the newest attempt found is the reason for these. An event that is retried says when.
_ANSWERED_STATES = (State.DEAD, State.HELD)


@dataclass(frozen=True, slots=True)
class EventRow:
    """A row of the list. `name`: of the person, group or file, for people who may see payload contents; empty if it is
    not known. `reason`: why it did not succeed, in the words of the system if they are known; `explanation` is the
    tooltip with all of it.
    """

    event: Any
    reason: str
    next_try: str
    explanation: str = ""
    name: str = ""
    fields: Sequence[str] = ()

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

    count: str
    headline: str
    tabs: Sequence[ViewTab]
    columns: Sequence[ColumnChoice]
    newest: str
    excluding: Sequence[FilterChip]

    @property
    def suffix(self) -> str:
        """Return the query of links to events, by which their pages link back to this list."""
        return "?" + urlencode({"list": self.query[1:]}) if self.params else ""

    @property
    def shown_columns(self) -> Sequence[str]:
        """Return the names of the chosen columns that are shown."""
        return [column.name for column in self.columns if column.is_shown]

    @property
    def own_view(self) -> ViewTab | None:
        return next((tab for tab in self.tabs if tab.is_current and tab.key), None)


def build_event_list(request: HttpRequest) -> EventList:
    asked, now = EVENT_FILTERS.read_request(request.GET), timezone.now()
    page = fetch_events(asked.resolved, asked.page_request)
    details = load_row_details(page.rows, with_contents=request.user.has_perm(CONTENTS))
    figures = load_list_figures(asked.params, asked.resolved)
    fields = asked.page_fields(page, figures.values)
    return EventList(
        **fields,
        rows=[_event_row(event, details.get(event.pk, NO_DETAILS), now) for event in page.rows],
        count=_count_label(asked.resolved, page, figures),
        headline=_headline(figures, now),
        tabs=view_tabs(fields["query"], _tab_counts(figures), saved_views(request.user)),
        columns=column_choices(request),
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


def _count_label(event_filter: EventFilter, page: KeysetPage, figures: ListFigures) -> str:
    """Return the number of events as text: exact for a single page, an estimate without filters; empty if it is not
    known.
    """
    if page.older_cursor is None and page.newer_cursor is None:
        return count_text(len(page.rows))
    if not event_filter.is_restricted:
        return estimate_text(figures.oldest_key, figures.newest_key)
    return "" if figures.listed is None else count_text(figures.listed)


def _headline(figures: ListFigures, now: datetime) -> str:
    """Return the sentence that matters most about all events."""
    if not figures.needing_attention or figures.oldest is None:
        return _("Nothing needs attention.") if figures.newest_key else ""
    text = ngettext(
        "%(count)s event needs attention, oldest %(age)s.",
        "%(count)s events need attention, oldest %(age)s.",
        figures.needing_attention,
    )
    age = long_duration((now - figures.oldest).total_seconds())
    return text % {"count": _bounded_count(figures.needing_attention), "age": age}


def _tab_counts(figures: ListFigures) -> dict[str, str]:
    return {
        "attention": _bounded_count(figures.needing_attention),
        "retrying": _bounded_count(figures.by_state[State.RETRYING]),
    }


def _bounded_count(count: int) -> str:
    return f"{COUNT_LIMIT:,}+" if count > COUNT_LIMIT else f"{count:,}" if count else ""


def _event_row(event: Any, details: RowDetails, now: datetime) -> EventRow:
    system = (event.identity if is_about_identity(event.code) else event.target) or ""
    words = explain_pause() if event.is_paused else explain_outcome(event.state, event.code, system)
    is_ahead = event.state == State.RETRYING and event.next_at is not None
    row = EventRow(
        event=event,
        reason="" if event.state in SUCCESS_STATES else words.title,
        next_try=time_until(event.next_at, now) if is_ahead else "",
        name=details.name,
        fields=details.fields,
    )
    if not row.reason or event.is_paused or event.state not in _ANSWERED_STATES or not details.messages:
        return replace(row, explanation=row.reason and f"{row.reason}. {words.detail}")
    return replace(
        row,
        reason=_stated_reason(event.code, system, details),
        explanation=" ".join((f"{words.title}:", *map(str, details.messages))),
    )


def _stated_reason(code: str, system: str, details: RowDetails) -> str:
    """Return the first message about an event, with the system that said it. The column before names the field."""
    message = details.messages[0].sentence
    if is_found_by_hub(code):
        message = message.removeprefix(f"{details.fields[0]}: ") if details.fields else message
        return message[:1].upper() + message[1:]
    return f"{system}: {message}" if system else message
