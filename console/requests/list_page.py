"""Build the page of the list of requests: rows and filter chips."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from django.db.models import Model
from django.http import HttpRequest, QueryDict
from django.urls import reverse
from django.utils import timezone
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from console.base.damaged_rows import DamagedRow
from console.base.named_systems import systems_of_codes
from console.requests.list_query import RequestFilter, fetch_requests, parse_results, request_time
from console.requests.results import RESULT_NAMES, reason_text, render_result, request_result, response_status
from console.ui.chips import FilterBar, FilterChip
from console.ui.keyset import PageLinks, PageRequest
from sync.search.time_ranges import InvalidFilter, parse_range
from webhooks.models import Receipt, Refusal, Source

FILTER_BAR = FilterBar(("result", "source", "received", "received_from", "received_to"), "received")
_PAGE_PARAMS = ("before", "after", "order")
_IGNORED_PARAMS = ("e", "_changelist_filters")
_MAX_VALUE_LENGTH = 200


@dataclass(frozen=True, slots=True)
class RequestRow:
    """One row of the list of requests.

    `times` is the number of refusals that share it. `system` is the name of the system that its code is about, if it is
    about one.
    """

    row: Receipt | Refusal
    source_name: str
    url: str
    event_url: str
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
        return response_status(self.row)

    @property
    def size(self) -> str:
        return size_text(self.row.size)

    @property
    def event_ending(self) -> str:
        """Return the end of the event's reference: enough to tell two rows apart."""
        return self.row.reference[-6:] if isinstance(self.row, Receipt) else ""

    @property
    def event_count(self) -> int | None:
        """The number of events of a request that may have several; None for any other one."""
        return self.row.event_count if isinstance(self.row, Receipt) else None

    @property
    def times(self) -> int:
        return self.row.times if isinstance(self.row, Refusal) else 1


@dataclass(frozen=True, slots=True)
class RequestList:
    """The content of one page of the list of requests. `problem`: why the filters were ignored."""

    rows: Sequence[RequestRow | DamagedRow]
    chips: Sequence[FilterChip]
    page_links: PageLinks
    is_filtered: bool
    problem: str = ""


def size_text(size: int | None) -> str:
    """Return a number of bytes as text; a dash if it is not known."""
    if size is None:
        return "–"
    return ngettext("%(number)s byte", "%(number)s bytes", size) % {"number": f"{size:,}"}


def unknown_params(query: QueryDict) -> list[str]:
    """Return the query parameters that the list of requests does not know."""
    return FILTER_BAR.unknown_params(query, *_PAGE_PARAMS, *_IGNORED_PARAMS)


def requests_url(**params: str) -> str:
    """Return the address of the list of requests with these filters."""
    return reverse("admin:webhooks_receipt_changelist") + FILTER_BAR.build_query(params)


def visible_tables(request: HttpRequest) -> frozenset[type[Model]]:
    """Return the models whose rows the person may see in the list of requests."""
    names = {Receipt: "webhooks.view_receipt", Refusal: "webhooks.view_refusal"}
    return frozenset(model for model, name in names.items() if request.user.has_perm(name))


def build_request_list(request: HttpRequest) -> RequestList:
    """Load the page that the request asks for. Filters that cannot be used give a message and an unfiltered list."""
    params, problem, tables = FILTER_BAR.read_params(request.GET), "", visible_tables(request)
    try:
        request_filter, page_request = _resolve_filter(params, tables), PageRequest.from_query(request.GET)
    except InvalidFilter:
        problem = _("The filters in this address are invalid. Showing everything.")
        params, request_filter, page_request = {}, RequestFilter(tables=tables), PageRequest()
    page = fetch_requests(request_filter, page_request)
    return RequestList(
        rows=request_rows(page.rows, request),
        chips=_filter_chips(params),
        page_links=PageLinks.for_page(FILTER_BAR.build_query(params), page, page_request),
        is_filtered=bool(params),
        problem=problem,
    )


def request_rows(
    rows: Iterable[Receipt | Refusal | DamagedRow],
    request: HttpRequest,
    known: Mapping[int, Source] | None = None,
) -> list[RequestRow | DamagedRow]:
    """Build the rows of the list, with their links. One statement for the names of systems, and one for those of the
    sources, none if `known`.
    """
    rows = list(rows)
    keys = {row.source_id for row in rows if not isinstance(row, DamagedRow)} - {None}
    sources = known or Source.objects.in_bulk(keys)
    systems = systems_of_codes(
        row.event_id for row in rows if isinstance(row, Receipt) and row.event_id is not None
    )
    with_events = request.user.has_perm("webhooks.view_event")
    return [
        row
        if isinstance(row, DamagedRow)
        else RequestRow(
            row,
            str(sources.get(row.source_id or 0, _("unknown"))),
            reverse(f"admin:webhooks_{row._meta.model_name}_change", args=[row.pk]),
            _event_url(row) if with_events else "",
            systems.get((row.event_id or 0, row.code), "") if isinstance(row, Receipt) else "",
        )
        for row in rows
    ]


def _event_url(row: Receipt | Refusal) -> str:
    if isinstance(row, Refusal) or row.event_id is None:
        return ""
    return reverse("admin:webhooks_event_change", args=[row.event_id])


def _resolve_filter(params: Mapping[str, str], tables: frozenset[type[Model]]) -> RequestFilter:
    """Parse the query parameters into a filter. Raises InvalidFilter."""
    if any("\0" in value or len(value) > _MAX_VALUE_LENGTH for value in params.values()):
        raise InvalidFilter("an invalid value")
    begin, end = parse_range(params, "received", timezone.now())
    try:
        results = tuple(parse_results(params["result"])) if "result" in params else ()
    except ValueError as error:
        raise InvalidFilter("an unknown result") from error
    source_id = None
    if "source" in params:
        # Filtered by key: a join could not use an index for the order. No source has the key 0.
        found = Source.objects.filter(slug=params["source"]).values_list("pk", flat=True).first()
        source_id = found or 0
    return RequestFilter(results, source_id, begin, end, tables)


def _filter_chips(params: Mapping[str, str]) -> list[FilterChip]:
    results = [(result.value, str(name)) for result, name in RESULT_NAMES.items()]
    sources = Source.objects.values_list("slug", "name")[:100]
    return [
        FILTER_BAR.time_chip(params, _("Received")),
        FILTER_BAR.value_chip(params, "result", _("Result"), results),
        FILTER_BAR.value_chip(params, "source", _("Source"), sources),
    ]
