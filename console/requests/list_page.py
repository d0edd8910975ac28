"""Build the page of the list of requests: its filters and rows."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any

from django.db.models import Model, Sum
from django.http import HttpRequest
from django.urls import reverse
from django.utils import timezone
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext

from console.base.named_systems import systems_of_codes
from console.requests.list_query import fetch_requests, request_time, resolve_requests
from console.requests.results import RESULT_NAMES, reason_text, render_result, request_result
from console.ui.event_filters import source_options
from console.ui.filter_set import FilteredPage, FilterSet
from console.ui.filters import Filter, TimeFilter, ValueCounts
from sync.models import RefusalCount
from webhooks.models import Event, Receipt, Refusal, Source

_RECENT = timedelta(hours=24)


def _result_options() -> list[tuple[str, str]]:
    return [(result.value, str(name)) for result, name in RESULT_NAMES.items()]


REQUEST_FILTERS = FilterSet(
    (
        Filter("result", gettext_lazy("Result"), _result_options),
        Filter("source", gettext_lazy("Source"), source_options),
        TimeFilter("received", gettext_lazy("Received")),
    ),
    resolve_requests,
)


@dataclass(frozen=True, slots=True)
class RequestRow:
    """One row of the list of requests.

    `times` is the number of refusals that share it. `event`: of a request with one, for people who may see events.
    `system` is the name of the system that its code is about, if it is about one.
    """

    row: Receipt | Refusal
    source_name: str
    url: str
    event: Event | None
    system: str

    @property
    def at(self) -> Any:
        return request_time(self.row)

    @property
    def pill(self) -> SafeString:
        return render_result(request_result(self.row))

    @property
    def reason(self) -> str:
        return reason_text(self.row, self.system)

    @property
    def status(self) -> int | None:
        return self.row.status

    @property
    def size(self) -> str:
        return size_text(self.row.size)

    @property
    def event_count(self) -> int | None:
        """The number of events of a request that may have several; None for any other one."""
        return self.row.event_count if isinstance(self.row, Receipt) else None

    @property
    def times(self) -> int:
        return self.row.times if isinstance(self.row, Refusal) else 1


# Limits are such numbers.
_UNITS = (("MiB", 1024 * 1024), ("KiB", 1024))


def size_text(size: int | None) -> str:
    """Return a number of bytes as text, a whole number of MiB or KiB as such; a dash if it is not known."""
    if size is None:
        return "–"
    for unit, unit_size in _UNITS:
        if size and size % unit_size == 0:
            return f"{size // unit_size:,} {unit}"
    return ngettext("%(number)s byte", "%(number)s bytes", size) % {"number": f"{size:,}"}


def requests_url(**params: str) -> str:
    """Return the address of the list of requests with these filters."""
    return reverse("admin:webhooks_receipt_changelist") + REQUEST_FILTERS.build_query(params)


def visible_tables(request: HttpRequest) -> frozenset[type[Model]]:
    """Return the models whose rows the person may see in the list of requests."""
    names = {Receipt: "webhooks.view_receipt", Refusal: "webhooks.view_refusal"}
    return frozenset(model for model, name in names.items() if request.user.has_perm(name))


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestList(FilteredPage):
    """The content of the list's page. `headline`: the sentence that matters most about all requests."""

    headline: str


def build_request_list(request: HttpRequest) -> RequestList:
    asked, tables = REQUEST_FILTERS.read_request(request.GET), visible_tables(request)
    page = fetch_requests(replace(asked.resolved, tables=tables), asked.page_request)
    sources = Source.objects.only("slug", "name").in_bulk()
    names = dict(sorted((source.slug, source.name) for source in sources.values()))
    return RequestList(
        **asked.page_fields(page, {"source": ValueCounts({}, 0, is_complete=False, texts=names)}),
        rows=request_rows(page.rows, request, sources),
        headline=_headline() if Refusal in tables else "",
    )


def _headline() -> str:
    """Return how many requests were refused in the last 24 hours, by the counts of hours."""
    recent = RefusalCount.objects.filter(hour__gt=timezone.now() - _RECENT)
    refused = recent.aggregate(number=Sum("number"))["number"] or 0
    text = ngettext(
        "%(number)s request was refused in the last 24 hours.",
        "%(number)s requests were refused in the last 24 hours.",
        refused,
    )
    return text % {"number": f"{refused:,}"} if refused else _("No request was refused in the last 24 hours.")


def request_rows(
    rows: Iterable[Receipt | Refusal],
    request: HttpRequest,
    known: Mapping[int, Source] | None = None,
) -> list[RequestRow]:
    """Build the rows of the list, with their links. One statement for the names of systems, and one for those of the
    sources, none if `known`.
    """
    rows = list(rows)
    keys = {row.source_id for row in rows} - {None}
    sources = known or Source.objects.in_bulk(keys)
    systems = systems_of_codes(
        row.event_id for row in rows if isinstance(row, Receipt) and row.event_id is not None
    )
    with_events = request.user.has_perm("webhooks.view_event")
    return [
        RequestRow(
            row,
            str(sources.get(row.source_id or 0, _("unknown"))),
            reverse(f"admin:webhooks_{row._meta.model_name}_change", args=[row.pk]),
            row.event if with_events and isinstance(row, Receipt) else None,
            systems.get((row.event_id or 0, row.code), "") if isinstance(row, Receipt) else "",
        )
        for row in rows
    ]
