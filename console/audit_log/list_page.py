"""The list of the audit log page by page, newest first or oldest first, with its chips and views."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from django.contrib.auth import get_user_model
from django.db.models import Q, QuerySet
from django.http import HttpRequest, QueryDict
from django.utils import timezone
from django.utils.translation import gettext as _

from audit.models import Entry, Verification
from console.audit_log.action_names import ACTIONS
from console.audit_log.entry_words import OBJECTS, Told, tell_entries
from console.audit_log.filters import WORDS, EntryFilter, resolve_entries
from console.ui.chips import FilterBar, FilterChip, FilterParams, ViewTab
from console.ui.keyset import Keyset, KeysetPage, PageLinks, PageRequest
from sync.search.periods import NoSuchFilter

BAR = FilterBar(WORDS, "when")
BY_TIME = Keyset("at")
MOST_PEOPLE = 50
_PLACE = ("before", "after", "order", "e")


@dataclass(frozen=True, slots=True)
class EntryList:
    """What the template shows."""

    words: Mapping[str, str]
    rows: Sequence[Told]
    chips: Sequence[FilterChip]
    tabs: Sequence[ViewTab]
    query: str
    turning: PageLinks
    verified: Verification | None
    problem: str

    @property
    def is_filtered(self) -> bool:
        return bool(self.words)


def unknown_words(query: QueryDict) -> list[str]:
    """Parameters that mean nothing in this list."""
    return BAR.unknown_params(query, *_PLACE)


def entry_list(request: HttpRequest) -> EntryList:
    """Filters that cannot be used are said so, and leave everything in."""
    words, problem = BAR.read_params(request.GET), ""
    try:
        meant, place = resolve_entries(words, timezone.now()), PageRequest.from_query(request.GET)
    except NoSuchFilter:
        problem = _("The filters of this address cannot be used; everything is listed.")
        words, meant, place = {}, EntryFilter(), PageRequest()
    found = read_entries(meant, place)
    here = BAR.build_query(words)
    return EntryList(
        words=words,
        rows=tell_entries(found.rows, request.user),
        chips=_chips(words),
        tabs=_tabs(here),
        query=here,
        turning=PageLinks.for_page(here, found, place),
        verified=Verification.objects.order_by("-id").first(),
        problem=problem,
    )


def listed(request: HttpRequest) -> QuerySet[Entry]:
    """Everything that this address means, in the list's order. `NoSuchFilter`."""
    if unknown := unknown_words(request.GET):
        raise NoSuchFilter(f"{unknown[0][:40]} is no filter of the audit log")
    meant = resolve_entries(BAR.read_params(request.GET), timezone.now())
    return meant.narrow(Entry.objects.order_by("-at", "-pk"))


def read_entries(meant: EntryFilter, place: PageRequest) -> KeysetPage:
    """At most 50 entries, by one statement."""
    return BY_TIME.fetch_page(place, partial(_read, meant))


def _read(meant: EntryFilter, narrowing: Q, order: Sequence[str], most: int) -> list[Any]:
    parts = [part.order_by(*order)[:most] for part in meant.parts(Entry.objects.filter(narrowing))]
    return list(parts[0]) if len(parts) == 1 else _merged(parts, order, most)


def _merged(parts: Sequence[QuerySet[Entry]], order: Sequence[str], most: int) -> list[Any]:
    """The first rows of all parts, each in this order. Django's own union takes no parts that end early on SQLite."""
    texts, values = zip(*(part.query.sql_with_params() for part in parts), strict=True)
    union = " UNION ALL ".join(f"SELECT * FROM ({text}) AS part" for text in texts)  # noqa: S608 - Django's own texts
    way = "DESC" if order[0].startswith("-") else "ASC"
    sql = f"{union} ORDER BY at {way}, id {way} LIMIT {most}"
    return list(Entry.objects.raw(sql, [each for some in values for each in some]))


def _chips(words: FilterParams) -> list[FilterChip]:
    return [
        BAR.time_chip(words, _("When")),
        BAR.value_chip(words, "who", _("Who"), _actors()),
        BAR.value_chip(words, "action", _("Action"), _actions()),
        BAR.value_chip(words, "object", _("Object"), _objects()),
    ]


def _actors() -> list[tuple[str, str]]:
    staff = get_user_model()._default_manager.filter(is_staff=True).order_by("username")
    people = staff.values_list("pk", "username")[:MOST_PEOPLE]
    kinds = [("person", _("People")), ("source", _("Sources")), ("system", _("The hub itself"))]
    return kinds + [(f"person:{pk}", name) for pk, name in people]


def _actions() -> list[tuple[str, str]]:
    single = sorted(ACTIONS.items(), key=lambda each: each[1])
    return [*_together(), *((name, words.capitalize()) for name, words in single)]


def _objects() -> list[tuple[str, str]]:
    return [(kind, str(name).capitalize()) for kind, name in OBJECTS.items()]


def _together() -> list[tuple[str, str]]:
    return [
        ("reveals", _("Reveals")),
        ("exports", _("Exports")),
        ("secrets", _("Secret changes")),
        ("replays", _("Replays")),
    ]


def _tabs(here: str) -> list[ViewTab]:
    views = [
        (_("All entries"), "?"),
        *((name, BAR.build_query({"action": word})) for word, name in _together()),
    ]
    return [ViewTab(name, query, query == here) for name, query in views]
