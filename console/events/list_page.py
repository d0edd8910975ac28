"""The page of the list of events: what was asked for, the rows, the chips and tabs around them."""

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

from console.events.list_filters import FILTER_BAR, filter_chips, search_sentence, view_tabs
from console.events.list_query import COUNT_LIMIT, count_newer, fetch_events, has_events, page_count_label
from console.events.saved_views import saved_views
from console.ui.chips import FilterChip, ViewTab
from console.ui.formatting import time_until
from console.ui.keyset import BY_RECEIVED_TIME, Cursor, KeysetPage, PageLinks, PageRequest
from console.ui.outcome_texts import explain_outcome, explain_pause
from sync.search.event_filter import EventFilter, resolve
from sync.search.periods import NoSuchFilter
from webhooks.catalogue.codes import is_about_identity
from webhooks.models import Event, Source, State

_PAGE_PARAMS = ("before", "after", "order", "newer")
_IGNORED_PARAMS = ("e", "_changelist_filters")


@dataclass(frozen=True, slots=True)
class EventRow:
    """One event in the words of the list."""

    event: Any
    reason: str
    next_try: str

    @property
    def short_reference(self) -> str:
        """The end of its reference: enough to tell two rows apart."""
        return str(self.event.reference)[-6:]


@dataclass(frozen=True, slots=True)
class EventList:
    """What the template shows. `cl` of Django's own lists has no part in it.

    `excluding`: of a list without a row the filters of which each alone leaves nothing.
    """

    event_filter: EventFilter
    words: Mapping[str, str]
    rows: Sequence[EventRow]
    count: str
    chips: Sequence[FilterChip]
    tabs: Sequence[ViewTab]
    query: str
    turning: PageLinks
    newest: str
    excluding: Sequence[FilterChip] = ()
    problem: str = ""

    @property
    def search_sentence(self) -> str:
        """What the searched term was taken for."""
        return search_sentence(self.event_filter.found)

    @property
    def is_filtered(self) -> bool:
        return bool(self.words)

    @property
    def suffix(self) -> str:
        """What the address of an event's page carries, so that it leads back to this list."""
        return "?" + urlencode({"list": self.query[1:]}) if self.words else ""

    @property
    def own_view(self) -> ViewTab | None:
        """The saved view that is open."""
        return next((tab for tab in self.tabs if tab.is_current and tab.key), None)


def unknown_params(query: QueryDict) -> list[str]:
    """Parameters that mean nothing in this list."""
    return FILTER_BAR.unknown_params(query, *_PAGE_PARAMS, *_IGNORED_PARAMS)


def build_event_list(request: HttpRequest) -> EventList:
    """Filters that cannot be used are said so, and leave everything in."""
    words, problem = FILTER_BAR.read_params(request.GET), ""
    now = timezone.now()
    try:
        meant, place = resolve(words, now), PageRequest.from_query(request.GET)
    except NoSuchFilter:
        problem = _("The filters of this address cannot be used; everything is listed.")
        words, meant, place = {}, EventFilter(), PageRequest()
    found = fetch_events(meant, place)
    here, bar = FILTER_BAR.build_query(words), filter_chips(words, source_options())
    return EventList(
        event_filter=meant,
        words=words,
        rows=[_event_row(event, now) for event in found.rows],
        count=page_count_label(meant, found),
        chips=bar,
        tabs=view_tabs(words, _tab_counts(), saved_views(request.user)),
        query=here,
        turning=PageLinks.for_page(here, found, place),
        newest=_newer_query(found, place, here),
        excluding=() if found.rows or problem else _excluding_chips(bar, now),
        problem=problem,
    )


def _excluding_chips(bar: Sequence[FilterChip], now: datetime) -> list[FilterChip]:
    """The set filters without which there would be events. Only an empty list asks."""
    set_ones = [chip for chip in bar if chip.value]
    return [chip for chip in set_ones if has_events(resolve(dict(parse_qsl(chip.clear_query[1:])), now))]


def count_newer_events(request: HttpRequest) -> int:
    """For a page that is open: how many events came since; 0 for an address that makes no sense."""
    try:
        meant = resolve(FILTER_BAR.read_params(request.GET), timezone.now())
        return count_newer(meant, Cursor.parse_cursor(request.GET.get("newer", "")))
    except NoSuchFilter:
        return 0


def listed_events(request: HttpRequest) -> QuerySet[Event]:
    """Everything that this address means, in the list's order. `NoSuchFilter`."""
    if unknown := unknown_params(request.GET):
        raise NoSuchFilter(f"{unknown[0][:40]} is no filter of events")
    return resolve(FILTER_BAR.read_params(request.GET), timezone.now()).narrow(
        Event.objects.select_related("source").order_by("-received_at", "-pk")
    )


def _newer_query(found: KeysetPage, place: PageRequest, here: str) -> str:
    """Where a page that begins with the newest event asks whether there are newer ones."""
    if place != PageRequest() or not found.rows:
        return ""
    return f"{here}&newer={BY_RECEIVED_TIME.cursor_of(found.rows[0])}"


def source_options() -> list[tuple[str, str]]:
    return list(Source.objects.values_list("slug", "name")[:100])


def _tab_counts() -> dict[str, str]:
    """Of the tabs, each bounded, in one statement."""
    dead, held, retrying = _count_states(State.DEAD, State.HELD, State.RETRYING)
    return {"attention": _bounded_count(dead + held), "retrying": _bounded_count(retrying)}


def _count_states(*states: str) -> Sequence[int]:
    """How many events are in each of these states, as far as anybody counts."""
    part = "(SELECT count(*) FROM (SELECT 1 FROM webhooks_event WHERE state = %s LIMIT %s) AS counted)"
    with connection.cursor() as cursor:
        cursor.execute(
            f"SELECT {', '.join([part] * len(states))}",
            [value for state in states for value in (state, COUNT_LIMIT + 1)],
        )
        found: Sequence[int] = cursor.fetchone()
    return found


def _bounded_count(count: int) -> str:
    return f"{COUNT_LIMIT:,}+" if count > COUNT_LIMIT else f"{count:,}" if count else ""


def _event_row(event: Any, now: Any) -> EventRow:
    ended_well = event.state in (State.SUCCEEDED, State.UNCHANGED)
    system = event.identity if is_about_identity(event.code) else event.commercial
    words = explain_pause() if event.is_paused else explain_outcome(event.state, event.code, system or "")
    is_ahead = event.state == State.RETRYING and event.next_at is not None
    return EventRow(
        event=event,
        reason="" if ended_well else words.title,
        next_try=time_until(event.next_at, now) if is_ahead else "",
    )
