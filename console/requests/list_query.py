"""Read one page of the list of requests from two tables, receipts and refusals, as if they were one.

A cursor is a time and a key. The key of a row is twice its primary key, plus 1 for a receipt, so that it differs
between the tables.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import reduce
from operator import or_
from typing import Any

from django.db.models import Q, QuerySet

from console.base.damaged_rows import load_rows
from console.requests.results import (
    NOT_VERIFIED_CODE,
    OVER_LIMIT_CODE,
    RECEIPT_RESULTS,
    REFUSAL_RESULTS,
    RequestResult,
)
from console.ui.keyset import PAGE_SIZE, Cursor, Keyset, KeysetPage, PageRequest, build_page
from sync.search.time_ranges import InvalidFilter, parse_range
from webhooks.models import HANDSHAKE_CODE, Receipt, Refusal, Source
from webhooks.receiving.answers import IGNORED_CODES

# A request with several events belongs to none of them.
_IS_USABLE = Q(event_count__isnull=False) | Q(code__in=IGNORED_CODES)
_REFUSAL_CONDITIONS = {
    RequestResult.NOT_VERIFIED: Q(code=NOT_VERIFIED_CODE),
    RequestResult.OVER_LIMIT: Q(code=OVER_LIMIT_CODE),
    RequestResult.HANDSHAKE: Q(code=HANDSHAKE_CODE),
    RequestResult.REFUSED: ~Q(code__in=(NOT_VERIFIED_CODE, OVER_LIMIT_CODE, HANDSHAKE_CODE)),
}

_RECEIPT = 1
_REFUSAL = 0


@dataclass(frozen=True, slots=True)
class RequestFilter:
    """Filter of the list of requests.

    `source_id` limits it to requests of this source; 0 matches none. `tables` are the models that the person may see.
    """

    results: tuple[RequestResult, ...] = ()
    source_id: int | None = None
    begin: datetime | None = None
    end: datetime | None = None
    tables: frozenset[Any] = frozenset({Receipt, Refusal})


def resolve_requests(params: Mapping[str, str], now: datetime) -> RequestFilter:
    """Resolve query parameters at this moment. Raises InvalidFilter."""
    begin, end = parse_range(params, "received", now)
    try:
        listed = params["result"].split(",") if "result" in params else ()
        results = tuple(RequestResult(word) for word in dict.fromkeys(listed))
    except ValueError as error:
        raise InvalidFilter("an unknown result") from error
    source_id = None
    if "source" in params:
        # Filtered by key: a join could not use an index for the order. No source has the key 0.
        source_id = Source.objects.filter(slug=params["source"]).values_list("pk", flat=True).first() or 0
    return RequestFilter(results, source_id, begin, end)


def request_time(row: Receipt | Refusal) -> datetime:
    """Return the time of a request; of several that share a row, the last."""
    return row.received_at if isinstance(row, Receipt) else row.last_at


def request_cursor(row: Receipt | Refusal) -> Cursor:
    """Return the cursor of a receipt or a refusal in the list of requests."""
    return Cursor(request_time(row), 2 * row.pk + (_RECEIPT if isinstance(row, Receipt) else _REFUSAL))


def fetch_requests(
    request_filter: RequestFilter, page_request: PageRequest, size: int = PAGE_SIZE
) -> KeysetPage:
    """Fetch a page of at most `size` (at most 50) requests, by at most four statements."""
    limit = size + 1 if size == PAGE_SIZE else size
    rows = [
        row for selected in _selections(request_filter) for row in _fetch_rows(*selected, page_request, limit)
    ]
    rows.sort(key=_sort_key, reverse=not page_request.is_upward)
    return build_page(rows[:limit], page_request, request_cursor)


def _sort_key(row: Receipt | Refusal) -> tuple[datetime, int]:
    cursor = request_cursor(row)
    return cursor.at, cursor.pk


def _fetch_rows(
    rows: QuerySet[Any], time_column: str, table: int, page_request: PageRequest, limit: int
) -> list[Any]:
    keyset = Keyset(time_column)
    if page_request.before is not None:
        key = (page_request.before.pk - table + 1) // 2
        rows = rows.filter(keyset.older_than(Cursor(page_request.before.at, key)))
    elif page_request.after is not None:
        key = (page_request.after.pk - table) // 2
        rows = rows.filter(keyset.newer_than(Cursor(page_request.after.at, key)))
    return load_rows(rows.order_by(*keyset.order_by(page_request))[:limit])


def _selections(request_filter: RequestFilter) -> Iterator[tuple[QuerySet[Any], str, int]]:
    """Yield rows of one table, the column of time by which one index gives them in order, and the table."""
    if Receipt in request_filter.tables:
        for rows, time_column in _receipt_rows(request_filter):
            yield _limit_to_period(rows, time_column, request_filter), time_column, _RECEIPT
    if Refusal in request_filter.tables:
        for rows in _refusal_rows(request_filter):
            yield _limit_to_period(rows, "last_at", request_filter), "last_at", _REFUSAL


def _limit_to_period(rows: QuerySet[Any], time_column: str, request_filter: RequestFilter) -> QuerySet[Any]:
    if request_filter.begin is not None:
        rows = rows.filter(**{f"{time_column}__gte": request_filter.begin})
    if request_filter.end is not None:
        rows = rows.filter(**{f"{time_column}__lt": request_filter.end})
    return rows


def _receipt_rows(request_filter: RequestFilter) -> Iterator[tuple[QuerySet[Any], str]]:
    source_id, wanted = request_filter.source_id, set(request_filter.results or RECEIPT_RESULTS)
    receipts = Receipt.objects.select_related("event")
    if source_id is None and set(RECEIPT_RESULTS) <= wanted:
        yield receipts, "received_at"
        return
    # One index on all receipts would cost every webhook. The first receipt of an event has the time of the event,
    # which is indexed; the others have partial indexes.
    if RequestResult.ACCEPTED in wanted:
        of_source = {} if source_id is None else {"event__source": source_id}
        yield receipts.filter(is_repeat=False, event__isnull=False, **of_source), "event__received_at"
    of_source = {} if source_id is None else {"source": source_id}
    if RequestResult.DUPLICATE in wanted:
        yield receipts.filter(is_repeat=True, **of_source), "received_at"
    without_event = receipts.filter(event__isnull=True, **of_source)
    if {RequestResult.ACCEPTED, RequestResult.UNUSABLE} <= wanted:
        yield without_event, "received_at"
    elif RequestResult.ACCEPTED in wanted:
        yield without_event.filter(_IS_USABLE), "received_at"
    elif RequestResult.UNUSABLE in wanted:
        yield without_event.exclude(_IS_USABLE), "received_at"


def _refusal_rows(request_filter: RequestFilter) -> Iterator[QuerySet[Any]]:
    wanted = set(request_filter.results or REFUSAL_RESULTS) & set(REFUSAL_RESULTS)
    # Only about MAX_REFUSALS rows exist, so the index on time is enough for every filter.
    refusals = Refusal.objects.all()
    if wanted != set(REFUSAL_RESULTS):
        refusals = refusals.filter(reduce(or_, (_REFUSAL_CONDITIONS[result] for result in wanted), Q()))
    if request_filter.source_id is not None:
        refusals = refusals.filter(source=request_filter.source_id)
    if wanted:
        yield refusals
