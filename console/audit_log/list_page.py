"""Build the list of the audit log: its rows page by page, its filter chips and its views."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from django.contrib.auth import get_user_model
from django.db import connection
from django.db.models import Q, QuerySet
from django.http import HttpRequest, QueryDict
from django.utils import timezone
from django.utils.translation import gettext as _

from audit.entries.readable_rows import load_entries, load_entries_by
from audit.models import Entry, Verification
from console.audit_log.action_names import ACTION_LABELS
from console.audit_log.entry_filter import FILTER_PARAMS, MAX_EVENTS, EntryFilter, parse_entry_filter
from console.audit_log.entry_words import OBJECT_LABELS, EntryRow, describe_entries
from console.audit_log.failed_logins import FailedLoginSummary, summarize_failed_logins
from console.ui.chips import FilterBar, FilterChip, FilterParams, ViewTab
from console.ui.keyset import Keyset, KeysetPage, PageLinks, PageRequest
from sync.search.time_ranges import InvalidFilter

FILTER_BAR = FilterBar(FILTER_PARAMS, "when")
BY_TIME = Keyset("at")
MAX_PEOPLE = 50
_PAGE_PARAMS = ("before", "after", "order", "e")


@dataclass(frozen=True, slots=True)
class EntryList:
    """The content of the list's page."""

    params: Mapping[str, str]
    rows: Sequence[EntryRow]
    chips: Sequence[FilterChip]
    tabs: Sequence[ViewTab]
    query: str
    page_links: PageLinks
    verified: Verification | None
    problem: str
    search_note: str
    is_cut: bool
    failed_logins: FailedLoginSummary | None = None

    @property
    def is_filtered(self) -> bool:
        return bool(self.params)


def unknown_params(query: QueryDict) -> list[str]:
    """Return query parameters that this list does not know."""
    return FILTER_BAR.unknown_params(query, *_PAGE_PARAMS)


def build_entry_list(request: HttpRequest) -> EntryList:
    """Load the page that the request asks for. Filters that cannot be used give a message and an unfiltered list."""
    params, problem = FILTER_BAR.read_params(request.GET), ""
    try:
        entry_filter, page_request = (
            parse_entry_filter(params, timezone.now()),
            PageRequest.from_query(request.GET),
        )
    except InvalidFilter:
        problem = _("The filters in this address are invalid. Showing everything.")
        params, entry_filter, page_request = {}, EntryFilter(), PageRequest()
    page = fetch_entries(entry_filter, page_request)
    query = FILTER_BAR.build_query(params)
    return EntryList(
        params=params,
        rows=describe_entries(page.rows, request.user),
        chips=_filter_chips(params),
        tabs=_view_tabs(query),
        query=query,
        page_links=PageLinks.for_page(query, page, page_request),
        verified=Verification.objects.order_by("-id").first(),
        problem=problem,
        search_note=_search_note(params.get("q", "").strip(), entry_filter, bool(page.rows)),
        is_cut=entry_filter.is_cut,
        # Only above the newest entries: a search has its own results.
        failed_logins=None if params or page_request != PageRequest() else summarize_failed_logins(),
    )


def listed_entries(request: HttpRequest) -> QuerySet[Entry]:
    """Return all entries that match the address, in the order of the list. Raises InvalidFilter, also if the search
    does not find all entries.
    """
    if unknown := unknown_params(request.GET):
        raise InvalidFilter(f"{unknown[0][:40]} is not a filter of the audit log")
    entry_filter = parse_entry_filter(FILTER_BAR.read_params(request.GET), timezone.now())
    if entry_filter.is_cut:
        raise InvalidFilter("more events than a search reads")
    return entry_filter.filter_entries(Entry.objects.order_by("-at", "-pk"))


def _search_note(term: str, entry_filter: EntryFilter, is_found: bool) -> str:
    """Return what the person must know of this search; empty if there is nothing."""
    if entry_filter.is_cut:
        return _(
            "These are the entries of the newest %(number)d events that match. They cannot be downloaded, because "
            "the file would be incomplete: request an export of the events."
        ) % {"number": MAX_EVENTS}
    if not term or is_found:
        return ""
    return _(
        "Nothing found for “%(term)s”. Enter a complete event reference, event id or entity id: exact match only. "
        "To find what a person did, use the filter “Who”. To find the changes of a setting, open its page and "
        "select “History”."
    ) % {"term": term}


def fetch_entries(entry_filter: EntryFilter, page_request: PageRequest) -> KeysetPage:
    """Fetch a page of at most 50 entries by one statement."""
    return BY_TIME.fetch_page(page_request, partial(_fetch_rows, entry_filter))


def _fetch_rows(entry_filter: EntryFilter, condition: Q, order: Sequence[str], limit: int) -> list[Any]:
    parts = [
        part.order_by(*order)[:limit]
        for part in entry_filter.querysets_by_action(Entry.objects.filter(condition))
    ]
    return load_entries(parts[0]) if len(parts) == 1 else _merge_querysets(parts, order, limit)


def _merge_querysets(parts: Sequence[QuerySet[Entry]], order: Sequence[str], limit: int) -> list[Any]:
    """Return the first rows of all querysets, each of which has this order."""
    texts, values = zip(*(part.query.sql_with_params() for part in parts), strict=True)
    # Django's own union() takes no querysets with a limit on SQLite.
    union = " UNION ALL ".join(f"SELECT * FROM ({text}) AS part" for text in texts)  # noqa: S608 - Django's own texts
    direction = "DESC" if order[0].startswith("-") else "ASC"
    sql = f"{union} ORDER BY at {direction}, id {direction} LIMIT {limit}"
    params = [value for part_values in values for value in part_values]

    def read_keys() -> list[int]:
        with connection.cursor() as cursor:
            cursor.execute(f"SELECT id FROM ({sql}) AS every ORDER BY at {direction}, id {direction}", params)  # noqa: S608
            return [key for (key,) in cursor.fetchall()]

    return load_entries_by(lambda: Entry.objects.raw(sql, params), read_keys)


def _filter_chips(params: FilterParams) -> list[FilterChip]:
    return [
        FILTER_BAR.time_chip(params, _("When")),
        FILTER_BAR.value_chip(params, "who", _("Who"), _actor_options()),
        FILTER_BAR.value_chip(params, "action", _("Action"), _action_options()),
        FILTER_BAR.value_chip(params, "object", _("Object"), _object_options()),
    ]


def _actor_options() -> list[tuple[str, str]]:
    staff = get_user_model()._default_manager.filter(is_staff=True).order_by("username")
    people = staff.values_list("pk", "username")[:MAX_PEOPLE]
    kinds = [("person", _("People")), ("source", _("Sources")), ("system", _("The hub"))]
    return kinds + [(f"person:{pk}", name) for pk, name in people]


def _action_options() -> list[tuple[str, str]]:
    single = sorted(ACTION_LABELS.items(), key=lambda action: action[1])
    return [*_action_group_options(), *((name, words.capitalize()) for name, words in single)]


def _object_options() -> list[tuple[str, str]]:
    return [(kind, str(name).capitalize()) for kind, name in OBJECT_LABELS.items()]


def _action_group_options() -> list[tuple[str, str]]:
    return [
        ("reveals", _("Reveals")),
        ("exports", _("Exports")),
        ("secrets", _("Secret changes")),
        ("replays", _("Replays")),
    ]


def _view_tabs(current_query: str) -> list[ViewTab]:
    views = [
        (_("All entries"), "?"),
        *((name, FILTER_BAR.build_query({"action": word})) for word, name in _action_group_options()),
    ]
    return [ViewTab(name, query, query == current_query) for name, query in views]
