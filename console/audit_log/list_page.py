"""Build the list of the audit log: its rows page by page, its filters and views, and the recent failed logins."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from typing import Any

from django.contrib.auth import get_user_model
from django.contrib.auth.models import User
from django.db import connection
from django.db.models import CharField, OuterRef, Q, QuerySet, Subquery
from django.http import HttpRequest, QueryDict
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from audit.entries.readable_rows import load_entries, load_entries_by
from audit.models import Entry, Verification
from console.audit_log.action_names import ACTION_LABELS
from console.audit_log.entry_filter import MAX_EVENTS, EntryFilter, resolve_entries
from console.audit_log.entry_words import OBJECT_LABELS, describe_entries
from console.ui.filter_set import FilteredPage, FilterSet
from console.ui.filters import Filter, TimeFilter, ViewTab
from console.ui.keyset import Keyset, KeysetPage, PageRequest
from logins.models import FailedLogins
from sync.search.time_ranges import InvalidFilter

_RECENT = timedelta(hours=24)
_MAX_ROWS = 20


@dataclass(frozen=True, slots=True)
class FailedLoginSummary:
    """The number of all attempts, and the rows with most of them."""

    times: int
    rows: Sequence[FailedLogins]


def summarize_failed_logins() -> FailedLoginSummary:
    """Return the summary of the last 24 hours, in one statement. The name of an account is `account` of its rows."""
    since = timezone.now() - _RECENT
    name = User.objects.filter(pk=OuterRef("person_number")).values("username")[:1]
    recent = FailedLogins.objects.filter(hour__gt=since - timedelta(hours=1), last_at__gt=since)
    rows = list(recent.annotate(account=Subquery(name, output_field=CharField())))
    rows.sort(key=lambda row: (row.times, row.last_at), reverse=True)
    return FailedLoginSummary(sum(row.times for row in rows), rows[:_MAX_ROWS])


BY_TIME = Keyset("at")
MAX_PEOPLE = 50
# Several actions that are one view of the list, by their name in `ACTION_GROUPS`.
_VIEW_NAMES = {
    "reveals": gettext_lazy("Reveals"),
    "exports": gettext_lazy("Exports"),
    "secrets": gettext_lazy("Secret changes"),
    "replays": gettext_lazy("Replays"),
}


def _actor_options() -> list[tuple[str, str]]:
    staff = get_user_model()._default_manager.filter(is_staff=True).order_by("username")
    people = staff.values_list("pk", "username")[:MAX_PEOPLE]
    kinds = [("person", _("People")), ("source", _("Sources")), ("system", _("The hub"))]
    return kinds + [(f"person:{pk}", name) for pk, name in people]


def _action_options() -> list[tuple[str, str]]:
    single = sorted(ACTION_LABELS.items(), key=lambda action: action[1])
    views = [(name, str(label)) for name, label in _VIEW_NAMES.items()]
    return views + [(name, words.capitalize()) for name, words in single]


def _object_options() -> list[tuple[str, str]]:
    return [(kind, str(name).capitalize()) for kind, name in OBJECT_LABELS.items()]


ENTRY_FILTERS = FilterSet(
    (
        Filter("who", gettext_lazy("Who"), _actor_options),
        Filter("action", gettext_lazy("Action"), _action_options),
        Filter("object", gettext_lazy("Object"), _object_options),
        TimeFilter("when", gettext_lazy("When")),
        Filter("q"),
    ),
    resolve_entries,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class EntryList(FilteredPage):
    tabs: Sequence[ViewTab]
    verified: Verification | None
    search_note: str
    is_cut: bool
    failed_logins: FailedLoginSummary | None


def build_entry_list(request: HttpRequest) -> EntryList:
    asked = ENTRY_FILTERS.read_request(request.GET)
    page = fetch_entries(asked.resolved, asked.page_request)
    fields = asked.page_fields(page)
    # Only above the newest entries: a search has its own results.
    is_start = not asked.params and asked.page_request == PageRequest()
    return EntryList(
        **fields,
        rows=describe_entries(page.rows, request.user),
        tabs=_view_tabs(fields["query"]),
        verified=Verification.objects.order_by("-id").first(),
        search_note=_search_note(asked.params.get("q", ""), asked.resolved, bool(page.rows)),
        is_cut=asked.resolved.is_cut,
        failed_logins=summarize_failed_logins() if is_start else None,
    )


def listed_entries(query: QueryDict) -> QuerySet[Entry]:
    """Return all entries that match the address, in the order of the list. Raises InvalidFilter, also if the search
    does not find all entries.
    """
    entry_filter = ENTRY_FILTERS.resolve_query(query)
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


def _view_tabs(here: str) -> list[ViewTab]:
    views = [(_("All entries"), {}), *((label, {"action": name}) for name, label in _VIEW_NAMES.items())]
    return [
        ViewTab(str(name), query := ENTRY_FILTERS.build_query(view), query == here) for name, view in views
    ]
