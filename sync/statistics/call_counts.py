"""Count the requests to other systems that began in one hour.

There is no index on their time, as every webhook would have to maintain it. Keys grow with time, so a range
of keys is searched: a request is stored at most `MAX_STORE_DELAY` after it began.
"""

from collections import defaultdict
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from django.db.models import Case, Count, IntegerField, Max, Value, When

from sync.limits.circuit_breaker import SYSTEM_FAILURES
from sync.models import Call
from sync.models.counts import HOUR
from sync.statistics.latency_histogram import BUCKET_BOUNDS, BUCKET_COUNT

MAX_STORE_DELAY = timedelta(minutes=10)
FAILURE_CODES = frozenset(
    f"{side}-{word}" for side in ("identity", "target") for word in {*SYSTEM_FAILURES, "garbled"}
)


@dataclass(slots=True)
class HourlyCalls:
    """Requests of one connection in one hour. Unfinished requests have no duration and are not successes."""

    count: int = 0
    failed_count: int = 0
    last_success_at: datetime | None = None
    durations: list[int] = field(default_factory=lambda: [0] * BUCKET_COUNT)


def count_calls(hour: datetime) -> dict[int, HourlyCalls]:
    """Count the requests of an hour by connection: one statement, after about forty that read one row each."""
    first, beyond = _first_key_since(hour - MAX_STORE_DELAY), _first_key_since(hour + HOUR + MAX_STORE_DELAY)
    if first is None:
        return {}
    counts: dict[int, HourlyCalls] = defaultdict(HourlyCalls)
    rows = Call.objects.filter(pk__gte=first, started_at__gte=hour, started_at__lt=hour + HOUR)
    if beyond is not None:
        rows = rows.filter(pk__lt=beyond)
    counted = rows.order_by().values_list("connection_id", "error", _bucket_expression())
    for connection, error, place, number, newest_at in counted.annotate(Count("pk"), Max("started_at")):
        calls = counts[connection]
        calls.count += number
        calls.failed_count += number if error in FAILURE_CODES else 0
        if place >= 0:
            calls.durations[place] += number
            if not error:
                calls.last_success_at = max(calls.last_success_at or newest_at, newest_at)
    return dict(counts)


def _bucket_expression() -> Case:
    """Return `latency_histogram.bucket_of` as SQL, six comparisons a row; -1 for unfinished requests."""
    ended = _bucket_between(0, len(BUCKET_BOUNDS))
    return Case(When(seconds=None, then=Value(-1)), default=ended, output_field=IntegerField())


def _bucket_between(first: int, last: int) -> Case | Value:
    if first == last:
        return Value(first)
    middle = (first + last) // 2
    return Case(
        When(seconds__lt=BUCKET_BOUNDS[middle], then=_bucket_between(first, middle)),
        default=_bucket_between(middle + 1, last),
        output_field=IntegerField(),
    )


def _first_key_since(moment: datetime) -> int | None:
    """Return the key from which on requests began at `moment` or later, within the delay; None if there are
    none.
    """
    stored = Call.objects.order_by("pk").values_list("pk", "started_at")
    newest = stored.last()
    if newest is None or newest[1] + MAX_STORE_DELAY < moment:
        return None
    low, high, first_key = 0, newest[0], None
    while low <= high:
        middle = (low + high) // 2
        # Keys have gaps, so the next row from the middle decides.
        row = stored.filter(pk__gte=middle, pk__lte=high).first()
        if row is None or row[1] >= moment:
            first_key = row[0] if row is not None else first_key
            high = middle - 1
        else:
            low = row[0] + 1
    return first_key
