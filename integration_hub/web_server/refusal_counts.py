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


class _Kind(NamedTuple):
    code: str
    address: str | None
    minute: datetime
    status: int


class _Count(NamedTuple):
    times: int
    last_at: datetime


def _merge(one: _Count, other: _Count) -> _Count:
    return _Count(one.times + other.times, max(one.last_at, other.last_at))


def _write(kind: _Kind, count: _Count) -> None:
    # The server imports this module before Django has loaded the models, and may refuse a request before that.
    if not apps.models_ready:
        return
    from webhooks.receiving.incoming_request import IncomingRequest
    from webhooks.receiving.refusals import record_refusal

    refused = IncomingRequest("", {}, None, None, kind.address, count.last_at)
    record_refusal(kind.code, refused, None, kind.status)
    # The row exists now, so all others are counted in memory.
    for _ in range(count.times - 1):
        record_refusal(kind.code, refused, None, kind.status)


counts = DeferredCounts(_write, _merge, "refusals of the server")
"""Refusals by code, address and minute, until they are written."""


def count_refusal(code: str, address: str | None, status: int) -> None:
    """Count one request that was refused with this HTTP status. Never waits for the database."""
    now = datetime.now(UTC)
    kind = _Kind(code, address, now.replace(second=0, microsecond=0), status)
    if kind not in counts and len(counts) >= MAX_COUNTS:
        kind = kind._replace(address=None)
    counts.add(kind, _Count(1, now))
