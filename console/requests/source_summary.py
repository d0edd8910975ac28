"""Requests of one source for its page: counts of the last 24 hours by result, and the newest requests."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.db import connection
from django.db.models import Sum
from django.http import HttpRequest
from django.utils import timezone

from console.requests.list_page import RequestRow, request_rows, requests_url, visible_tables
from console.requests.list_query import RequestFilter, fetch_requests
from console.requests.results import RECEIPT_RESULTS, RESULT_NAMES, RequestResult, refusal_result
from console.ui.keyset import PageRequest
from webhooks.models import Receipt, Refusal, Source
from webhooks.receiving.answers import IGNORED_CODES

COUNT_LIMIT = 1_000
SHOWN_ROWS = 10
_PERIOD_HOURS = 24
# Each event has one receipt that is not a repeat, and an index on source and time. Each LIMIT bounds a count.
_IGNORED = ", ".join(f"'{code}'" for code in IGNORED_CODES)
_COUNTS = f"""SELECT
    (SELECT count(*) FROM (
        SELECT 1 FROM webhooks_event WHERE source_id = %s AND received_at >= %s LIMIT %s
    ) AS counted),
    (SELECT count(*) FROM (
        SELECT 1 FROM webhooks_receipt WHERE source_id = %s AND received_at >= %s AND is_repeat LIMIT %s
    ) AS counted),
    (SELECT count(*) FROM (
        SELECT 1 FROM webhooks_receipt WHERE source_id = %s AND received_at >= %s AND event_id IS NULL
            AND event_count IS NULL AND code NOT IN ({_IGNORED}) LIMIT %s
    ) AS counted)"""  # noqa: S608


@dataclass(frozen=True, slots=True)
class ResultCount:
    """The number of requests of one result as text, with the link to them."""

    name: str
    number: str
    url: str


@dataclass(frozen=True, slots=True)
class SourceRequests:
    """The requests of one source, as far as the person may see them."""

    counts: Sequence[ResultCount]
    rows: Sequence[RequestRow]
    url: str


def load_source_requests(request: HttpRequest, source: Source) -> SourceRequests | None:
    """Load counts and the newest 10 requests, by six statements. None if the person may see no requests."""
    tables = visible_tables(request)
    if Receipt not in tables:
        return None
    since = timezone.now() - timedelta(hours=_PERIOD_HOURS)
    numbers = _count_receipts(source, since) | (_count_refusals(source, since) if Refusal in tables else {})
    rows = fetch_requests(RequestFilter(source_id=source.pk, tables=tables), PageRequest(), SHOWN_ROWS).rows
    counts = [
        ResultCount(
            str(RESULT_NAMES[result]),
            number,
            requests_url(result=result, source=source.slug, received=str(_PERIOD_HOURS)),
        )
        for result, number in numbers.items()
    ]
    return SourceRequests(
        counts, request_rows(rows, request, {source.pk: source}), requests_url(source=source.slug)
    )


def _count_receipts(source: Source, since: datetime) -> dict[RequestResult, str]:
    """Count the receipts of each result, at most `COUNT_LIMIT` of each. One statement."""
    at = connection.ops.adapt_datetimefield_value(since)
    with connection.cursor() as cursor:
        cursor.execute(_COUNTS, [source.pk, at, COUNT_LIMIT + 1] * len(RECEIPT_RESULTS))
        numbers = cursor.fetchone()
    return {result: _bounded_text(number) for result, number in zip(RECEIPT_RESULTS, numbers, strict=True)}


def _bounded_text(number: int) -> str:
    return f"{COUNT_LIMIT:,}+" if number > COUNT_LIMIT else f"{number:,}"


def _count_refusals(source: Source, since: datetime) -> dict[RequestResult, str]:
    """Sum the refusals of each result."""
    rows = Refusal.objects.filter(source=source, last_at__gte=since).order_by()
    total = Counter({result: 0 for result in RequestResult if result not in RECEIPT_RESULTS})
    for code, times in rows.values_list("code").annotate(Sum("times")):
        total[refusal_result(code)] += times
    return {result: f"{number:,}" for result, number in total.items()}
