"""Count what the server itself refuses, so that *Requests* in the console lists it.

The loop only adds to a count in memory; a timer writes the counts once a second. A flood from many addresses shares one
count.
"""

from datetime import UTC, datetime
from typing import NamedTuple

from django.apps import apps

from database.deferred_counts import DeferredCounts

# Of addresses that have a count of their own, between two writes.
MAX_COUNTS = 100


class _RefusalBucket(NamedTuple):
    code: str
    address: str | None
    minute: datetime
    status: int


class _RefusalCount(NamedTuple):
    times: int
    last_at: datetime


def _merge_counts(first: _RefusalCount, second: _RefusalCount) -> _RefusalCount:
    return _RefusalCount(first.times + second.times, max(first.last_at, second.last_at))


def _write_count(bucket: _RefusalBucket, count: _RefusalCount) -> None:
    # The server imports this module before Django has loaded the models, and may refuse a request before that.
    if not apps.models_ready:
        return
    from webhooks.receiving.incoming_request import IncomingRequest, remove_zone
    from webhooks.receiving.refusals import record_refusal

    address = None if bucket.address is None else remove_zone(bucket.address)
    refused = IncomingRequest("", {}, None, None, address, count.last_at)
    record_refusal(bucket.code, refused, None, bucket.status)
    # The row exists now, so all others are counted in memory.
    for _ in range(count.times - 1):
        record_refusal(bucket.code, refused, None, bucket.status)


pending_counts = DeferredCounts(_write_count, _merge_counts, "refusals of the server")
"""Refusals by code, address and minute, until they are written."""


def count_refusal(code: str, address: str | None, status: int) -> None:
    """Count one request that was refused with this HTTP status. Never waits for the database."""
    now = datetime.now(UTC)
    bucket = _RefusalBucket(code, address, now.replace(second=0, microsecond=0), status)
    if bucket not in pending_counts and len(pending_counts) >= MAX_COUNTS:
        bucket = bucket._replace(address=None)
    pending_counts.add(bucket, _RefusalCount(1, now))
