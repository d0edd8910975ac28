"""Read one page of the list of requests from two tables, receipts and refusals, as if they were one.

A cursor is a time and a key. The key of a row is twice its primary key, plus 1 for a receipt, so that it differs
between the tables.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from django.db.models import Q, QuerySet

from console.base.damaged_rows import DamagedRow, load_rows
from console.requests.results import (
    FILTERED_CODE,
    NOT_VERIFIED_CODE,
    OVER_LIMIT_CODE,
    RECEIPT_RESULTS,
    REFUSAL_RESULTS,
    RequestResult,
)
from console.ui.keyset import PAGE_SIZE, Cursor, Keyset, KeysetPage, PageRequest, build_page
from webhooks.models import HANDSHAKE_CODE, Receipt, Refusal

# A request with several events belongs to none of them.
_IS_USABLE = Q(event_count__isnull=False) | Q(code=FILTERED_CODE)

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


@dataclass(frozen=True, slots=True)
class _TableRows:
    """Rows of one table for the list of requests. One index gives them in the order of `time_column`."""

    rows: QuerySet[Any]
    time_column: str
    table: int

    def fetch(self, page_request: PageRequest, limit: int) -> list[Any]:
        keyset = Keyset(self.time_column)
        rows = self.rows
        if page_request.before is not None:
            key = (page_request.before.pk - self.table + 1) // 2
            rows = rows.filter(keyset.older_than(Cursor(page_request.before.at, key)))
        elif page_request.after is not None:
            key = (page_request.after.pk - self.table) // 2
            rows = rows.filter(keyset.newer_than(Cursor(page_request.after.at, key)))
        sign = "" if page_request.is_upward else "-"
        own_time = "received_at" if self.table == _RECEIPT else "last_at"
        return load_rows(rows.order_by(f"{sign}{self.time_column}", f"{sign}pk")[:limit], own_time)


def request_time(row: Receipt | Refusal) -> datetime:
    """Return the time of a request; of several that share a row, the last."""
    return row.received_at if isinstance(row, Receipt) else row.last_at


def request_cursor(row: Receipt | Refusal | DamagedRow) -> Cursor | None:
    """Return the cursor of a receipt or a refusal in the list of requests; None if its time cannot be read."""
    if not isinstance(row, DamagedRow):
        return Cursor(request_time(row), _list_key(row))
    return Cursor(row.received_at, _list_key(row)) if row.received_at else None


def _list_key(row: Receipt | Refusal | DamagedRow) -> int:
    model = row.model if isinstance(row, DamagedRow) else type(row)
    return 2 * row.pk + (_RECEIPT if model is Receipt else _REFUSAL)


def fetch_requests(
    request_filter: RequestFilter, page_request: PageRequest, size: int = PAGE_SIZE
) -> KeysetPage:
    """Fetch a page of at most `size` (at most 50) requests, by at most four statements."""
    limit = size + 1 if size == PAGE_SIZE else size
    rows = [
        row
        for table_rows in _list_table_rows(request_filter)
        for row in table_rows.fetch(page_request, limit)
    ]
    rows.sort(key=_sort_key, reverse=not page_request.is_upward)
    return build_page(rows[:limit], page_request, request_cursor)


def _sort_key(row: Receipt | Refusal | DamagedRow) -> tuple[datetime, int]:
    cursor = request_cursor(row)
    # SQLite sorts most texts that are not times behind all times, and PostgreSQL infinity.
    return (cursor.at, cursor.pk) if cursor else (datetime.max.replace(tzinfo=UTC), _list_key(row))


def _list_table_rows(request_filter: RequestFilter) -> Iterator[_TableRows]:
    if Receipt in request_filter.tables:
        yield from _receipt_rows(request_filter)
    if Refusal in request_filter.tables:
        yield from _refusal_rows(request_filter)


def _receipt_rows(request_filter: RequestFilter) -> Iterator[_TableRows]:
    source_id = request_filter.source_id
    receipts = Receipt.objects.select_related("event")
    wanted = request_filter.results or RECEIPT_RESULTS
    if source_id is None and set(RECEIPT_RESULTS) <= set(wanted):
        yield _limit_to_period(receipts, "received_at", _RECEIPT, request_filter)
        return
    # One index on all receipts would cost every webhook. The first receipt of an event has the time of the event,
    # which is indexed; the others have partial indexes.
    if RequestResult.ACCEPTED in wanted:
        of_source = {} if source_id is None else {"event__source": source_id}
        accepted = receipts.filter(is_repeat=False, event__isnull=False, **of_source)
        yield _limit_to_period(accepted, "event__received_at", _RECEIPT, request_filter)
    of_source = {} if source_id is None else {"source": source_id}
    if RequestResult.DUPLICATE in wanted:
        yield _limit_to_period(
            receipts.filter(is_repeat=True, **of_source), "received_at", _RECEIPT, request_filter
        )
    without_event = receipts.filter(event__isnull=True, **of_source)
    with_both = {RequestResult.ACCEPTED, RequestResult.UNUSABLE} <= set(wanted)
    if with_both:
        yield _limit_to_period(without_event, "received_at", _RECEIPT, request_filter)
    elif RequestResult.ACCEPTED in wanted:
        yield _limit_to_period(without_event.filter(_IS_USABLE), "received_at", _RECEIPT, request_filter)
    elif RequestResult.UNUSABLE in wanted:
        yield _limit_to_period(without_event.exclude(_IS_USABLE), "received_at", _RECEIPT, request_filter)


def _refusal_rows(request_filter: RequestFilter) -> Iterator[_TableRows]:
    wanted = set(request_filter.results or REFUSAL_RESULTS) & set(REFUSAL_RESULTS)
    if not wanted:
        return
    # Only about MAX_REFUSALS rows exist, so the index on time is enough for every filter.
    refusals = Refusal.objects.filter(_codes_condition(wanted))
    if request_filter.source_id is not None:
        refusals = refusals.filter(source=request_filter.source_id)
    yield _limit_to_period(refusals, "last_at", _REFUSAL, request_filter)


def _codes_condition(results: Iterable[RequestResult]) -> Q:
    if set(results) == set(REFUSAL_RESULTS):
        return Q()
    conditions = {
        RequestResult.NOT_VERIFIED: Q(code=NOT_VERIFIED_CODE),
        RequestResult.OVER_LIMIT: Q(code=OVER_LIMIT_CODE),
        RequestResult.HANDSHAKE: Q(code=HANDSHAKE_CODE),
        RequestResult.REFUSED: ~Q(code__in=(NOT_VERIFIED_CODE, OVER_LIMIT_CODE, HANDSHAKE_CODE)),
    }
    condition = Q(pk__in=[])
    for result in results:
        condition |= conditions[result]
    return condition


def _limit_to_period(
    rows: QuerySet[Any], time_column: str, table: int, request_filter: RequestFilter
) -> _TableRows:
    if request_filter.begin is not None:
        rows = rows.filter(**{f"{time_column}__gte": request_filter.begin})
    if request_filter.end is not None:
        rows = rows.filter(**{f"{time_column}__lt": request_filter.end})
    return _TableRows(rows, time_column, table)


def parse_results(text: str) -> Sequence[RequestResult]:
    """Parse the results in a query parameter, separated by commas. Raises ValueError for an unknown one."""
    return [RequestResult(word) for word in dict.fromkeys(text.split(","))]
