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

from console.events.list_filters import BAR, chips, found_sentence, tabs
from console.events.list_query import COUNTED, count_newer, count_rows, has_any, read_rows
from console.events.saved_views import saved_views
from console.ui.chips import FilterChip, ViewTab
from console.ui.formatting import time_until
from console.ui.keyset import BY_RECEIVED_TIME, Cursor, KeysetPage, PageLinks, PageRequest
from console.ui.outcome_texts import explain_outcome, explain_pause
from sync.search.event_filter import EventFilter, resolve
from sync.search.periods import NoSuchFilter
from webhooks.catalogue.codes import is_about_identity
from webhooks.models import Event, Source, State

_PLACE = ("before", "after", "order", "newer")
_NOISE = ("e", "_changelist_filters")


@dataclass(frozen=True, slots=True)
class Row:
    """One event in the words of the list."""

    event: Any
    reason: str
    next_try: str

    @property
    def ending(self) -> str:
        """The end of its reference: enough to tell two rows apart."""
        return str(self.event.reference)[-6:]


@dataclass(frozen=True, slots=True)
class ListPage:
    """What the template shows. `cl` of Django's own lists has no part in it.

    `excluding`: of a list without a row the filters of which each alone leaves nothing.
    """

    meant: EventFilter
    words: Mapping[str, str]
    rows: Sequence[Row]
    count: str
    chips: Sequence[FilterChip]
    tabs: Sequence[ViewTab]
    query: str
    turning: PageLinks
    newest: str
    excluding: Sequence[FilterChip] = ()
    problem: str = ""

    @property
    def found(self) -> str:
        """What the searched term was taken for."""
        return found_sentence(self.meant.found)

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


def unknown_words(query: QueryDict) -> list[str]:
    """Parameters that mean nothing in this list."""
    return BAR.unknown_params(query, *_PLACE, *_NOISE)


def list_page(request: HttpRequest) -> ListPage:
    """Filters that cannot be used are said so, and leave everything in."""
    words, problem = BAR.read_params(request.GET), ""
    now = timezone.now()
    try:
        meant, place = resolve(words, now), PageRequest.from_query(request.GET)
    except NoSuchFilter:
        problem = _("The filters of this address cannot be used; everything is listed.")
        words, meant, place = {}, EventFilter(), PageRequest()
    found = read_rows(meant, place)
    here, bar = BAR.build_query(words), chips(words, listed_sources())
    return ListPage(
        meant=meant,
        words=words,
        rows=[_row(event, now) for event in found.rows],
        count=count_rows(meant, found),
        chips=bar,
        tabs=tabs(words, _counts(), saved_views(request.user)),
        query=here,
        turning=PageLinks.for_page(here, found, place),
        newest=_newest(found, place, here),
        excluding=() if found.rows or problem else _excluding(bar, now),
        problem=problem,
    )


def _excluding(bar: Sequence[FilterChip], now: datetime) -> list[FilterChip]:
    """The set filters without which there would be events. Only an empty list asks."""
    set_ones = [chip for chip in bar if chip.value]
    return [chip for chip in set_ones if has_any(resolve(dict(parse_qsl(chip.clear_query[1:])), now))]


def newer_since(request: HttpRequest) -> int:
    """For a page that is open: how many events came since; 0 for an address that makes no sense."""
    try:
        meant = resolve(BAR.read_params(request.GET), timezone.now())
        return count_newer(meant, Cursor.parse_cursor(request.GET.get("newer", "")))
    except NoSuchFilter:
        return 0


def listed(request: HttpRequest) -> QuerySet[Event]:
    """Everything that this address means, in the list's order. `NoSuchFilter`."""
    if unknown := unknown_words(request.GET):
        raise NoSuchFilter(f"{unknown[0][:40]} is no filter of events")
    return resolve(BAR.read_params(request.GET), timezone.now()).narrow(
        Event.objects.select_related("source").order_by("-received_at", "-pk")
    )


def _newest(found: KeysetPage, place: PageRequest, here: str) -> str:
    """Where a page that begins with the newest event asks whether there are newer ones."""
    if place != PageRequest() or not found.rows:
        return ""
    return f"{here}&newer={BY_RECEIVED_TIME.cursor_of(found.rows[0])}"


def listed_sources() -> list[tuple[str, str]]:
    return list(Source.objects.values_list("slug", "name")[:100])


def _counts() -> dict[str, str]:
    """Of the tabs, each bounded, in one statement."""
    dead, held, retrying = _count_states(State.DEAD, State.HELD, State.RETRYING)
    return {"attention": _bounded(dead + held), "retrying": _bounded(retrying)}


def _count_states(*states: str) -> Sequence[int]:
    """How many events are in each of these states, as far as anybody counts."""
    part = "(SELECT count(*) FROM (SELECT 1 FROM webhooks_event WHERE state = %s LIMIT %s) AS counted)"
    with connection.cursor() as cursor:
        cursor.execute(
            f"SELECT {', '.join([part] * len(states))}",
            [value for state in states for value in (state, COUNTED + 1)],
        )
        found: Sequence[int] = cursor.fetchone()
    return found


def _bounded(count: int) -> str:
    return f"{COUNTED:,}+" if count > COUNTED else f"{count:,}" if count else ""


def _row(event: Any, now: Any) -> Row:
    ended_well = event.state in (State.SUCCEEDED, State.UNCHANGED)
    system = event.identity if is_about_identity(event.code) else event.commercial
    words = explain_pause() if event.is_paused else explain_outcome(event.state, event.code, system or "")
    is_ahead = event.state == State.RETRYING and event.next_at is not None
    return Row(
        event=event,
        reason="" if ended_well else words.title,
        next_try=time_until(event.next_at, now) if is_ahead else "",
    )
