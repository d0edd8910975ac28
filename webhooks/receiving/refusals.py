"""Record refused requests: bounded rows without a body for each kind and minute, and an audit entry for each source,
code and hour.

Further refusals of the same kind and minute are counted in memory and written once a second, so that a flood does not
slow down accepted webhooks. A process that is killed loses the count of its last second, but not the first refusal of
each kind.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from itertools import islice
from typing import Any, NamedTuple

from django.conf import settings
from django.db import IntegrityError, transaction
from django.db.models import F, QuerySet, Sum

from audit.entries.append import NewEntry, append_entries
from audit.format.signed_records import format_time
from database.deferred_counts import DeferredCounts
from webhooks.models import HANDSHAKE_CODE, Refusal, Source
from webhooks.receiving.incoming_request import IncomingRequest

# Of one source and code, and of one source.
NEW_ROWS_A_MINUTE = 60
NEW_ROWS_AN_HOUR = 300
MAX_HEADER_NAMES = 50
MAX_HEADER_NAME_LENGTH = 64
_PRUNE_EVERY = 100
_MAX_EXISTING_ROWS = 1_000
_UNPRINTABLE = re.compile(r"[^!-~]")


@dataclass(frozen=True, slots=True)
class RefusalCount:
    """The number of refusals of a bucket that are not written yet; time and size of the last one, and the HTTP status
    that it was answered with.
    """

    times: int
    last_at: datetime
    size: int | None
    status: int


class _Buckets(NamedTuple):
    """The buckets that may count a refusal: of its address and minute, of its minute, and of its hour."""

    own: str
    shared: str
    of_hour: str


def _write_count(bucket: str, more: RefusalCount) -> None:
    Refusal.objects.filter(bucket=bucket).update(
        times=F("times") + more.times, last_at=more.last_at, size=more.size, status=more.status
    )


def _merge_counts(first: RefusalCount, second: RefusalCount) -> RefusalCount:
    last = second if second.last_at >= first.last_at else first
    return replace(last, times=first.times + second.times)


refusal_counts = DeferredCounts(_write_count, _merge_counts, "refusals")
"""Refusals by the bucket of their row, until they are written."""
_existing_rows: set[str] = set()


def mark_row_exists(bucket: str) -> None:
    """Remember that the row of this bucket exists, so that further refusals can be counted in memory."""
    # Most of them are of past minutes. A row that is not remembered is looked up in the database.
    if len(_existing_rows) >= _MAX_EXISTING_ROWS:
        _existing_rows.clear()
    _existing_rows.add(bucket)


def count_in_memory(bucket: str, at: datetime, size: int | None, status: int) -> bool:
    """Count one refusal in memory. Returns False, having counted nothing, if no row of the bucket is known."""
    if bucket not in _existing_rows:
        return False
    refusal_counts.add(bucket, RefusalCount(1, at, size, status))
    return True


def reset_counts() -> None:
    """Drop all counts and known rows of this process. For tests, whose database changes."""
    refusal_counts.reset()
    _existing_rows.clear()


def record_refusal(
    code: str, incoming: IncomingRequest, source: Source | None, status: int, reason: str = ""
) -> None:
    """Count a refusal together with others of the same source, code, reason, address and minute, or create a row for
    it.

    Once a minute has 60 rows of a source and code, refusals from further addresses share one row. Once an hour has 300
    rows of a source, all further refusals of a code and reason in this hour share one; handshakes have as many of their
    own. `status`: the HTTP status that the sender got. `reason`: that of a BadSignature, and ignored for another code.
    """
    reason = reason if code == "bad-signature" else ""
    buckets = _list_buckets(code, reason, incoming, source)
    if any(count_in_memory(bucket, incoming.received_at, incoming.size, status) for bucket in buckets):
        return
    if _count_in_row(buckets.own, incoming, status):
        return
    bucket = _choose_bucket(source, code, incoming.received_at, buckets)
    if bucket != buckets.own and _count_in_row(bucket, incoming, status):
        return
    try:
        with transaction.atomic():
            address = incoming.address if bucket == buckets.own else None
            row = _create_row(bucket, code, reason, incoming, source, address, status)
    # Another request of this minute was first.
    except IntegrityError:
        _count_in_row(bucket, incoming, status)
        return
    mark_row_exists(bucket)
    # Not after each row: otherwise a flood would cause one deletion for each row.
    if row.pk % _PRUNE_EVERY == 0:
        Refusal.objects.filter(pk__lte=row.pk - settings.MAX_REFUSALS).delete()


def _list_buckets(code: str, reason: str, incoming: IncomingRequest, source: Source | None) -> _Buckets:
    key = f"{source.pk if source else 0}|{code}|{reason}"
    at = incoming.received_at
    own, shared = (f"{key}|{address}|{at:%Y%m%d%H%M}" for address in (incoming.address, ""))
    return _Buckets(own, shared, f"{key}||{at:%Y%m%d%H}")


def _choose_bucket(source: Source | None, code: str, at: datetime, buckets: _Buckets) -> str:
    """Return the bucket of a new row: the bucket of the address, or a shared one if the minute or hour is full."""
    minute = at.replace(second=0, microsecond=0)
    hour = minute.replace(minute=0)
    # A row that began since then was also counted since then, and that time has an index.
    rows = Refusal.objects.filter(source=source, last_at__gte=hour, first_at__gte=hour)
    # Counted apart, so that many handshakes take no row of a refusal.
    rows = rows.filter(code=code) if code == HANDSHAKE_CODE else rows.exclude(code=HANDSHAKE_CODE)
    if rows.count() >= NEW_ROWS_AN_HOUR:
        return buckets.of_hour
    if rows.filter(code=code, last_at__gte=minute, first_at__gte=minute).count() >= NEW_ROWS_A_MINUTE:
        return buckets.shared
    return buckets.own


def record_handshake(incoming: IncomingRequest, source: Source, status: int) -> None:
    """Count an answered handshake like a refusal, with others of its source, address and minute. The audit log has no
    entry for it: anyone can send one.
    """
    record_refusal(HANDSHAKE_CODE, incoming, source, status)


def _count_in_row(bucket: str, incoming: IncomingRequest, status: int) -> int:
    """Add one refusal to the bucket's row. Returns 1, or 0 if there is no such row."""
    rows = Refusal.objects.filter(bucket=bucket).update(
        times=F("times") + 1, last_at=incoming.received_at, size=incoming.size, status=status
    )
    if rows:
        mark_row_exists(bucket)
    return rows


def _create_row(
    bucket: str,
    code: str,
    reason: str,
    incoming: IncomingRequest,
    source: Source | None,
    address: str | None,
    status: int,
) -> Refusal:
    hour = incoming.received_at.replace(minute=0, second=0, microsecond=0)
    similar_refusals = Refusal.objects.filter(source=source, code=code)
    is_first_of_hour = (
        code != HANDSHAKE_CODE and not similar_refusals.filter(last_at__gte=hour, first_at__gte=hour).exists()
    )
    row = Refusal.objects.create(
        bucket=bucket,
        source=source,
        code=code,
        reason=reason,
        address=address,
        size=incoming.size,
        status=status,
        header_names=bounded_header_names(incoming.headers),
        first_at=incoming.received_at,
        last_at=incoming.received_at,
    )
    if is_first_of_hour:
        stream = f"setting:source:{source.pk}" if source else "system"
        actor = f"source:{source.slug}" if source else "system"
        details = {"code": code, "size": incoming.size, **_count_earlier_refusals(similar_refusals, hour)}
        append_entries(NewEntry(stream, "webhook.refused", actor, details), at=row.first_at)
    return row


def bounded_header_names(headers: Mapping[str, str]) -> list[str]:
    """Return the first 50 names of headers in alphabetical order, each cut to 64 printable ASCII characters."""
    names = (_UNPRINTABLE.sub("?", name[:MAX_HEADER_NAME_LENGTH]) for name in sorted(headers))
    return list(islice(names, MAX_HEADER_NAMES))


def _count_earlier_refusals(similar_refusals: QuerySet[Refusal], hour: datetime) -> dict[str, Any]:
    """Return details for the audit entry of an hour's first refusal: the last earlier hour with refusals, and their
    number. They all share the entry of that hour. Empty if there is none.
    """
    newest = similar_refusals.filter(first_at__lt=hour).order_by("-last_at", "-id").first()
    if newest is None:
        return {}
    begin = newest.first_at.replace(minute=0, second=0, microsecond=0)
    rows = similar_refusals.filter(
        last_at__gte=begin, first_at__gte=begin, first_at__lt=begin + timedelta(hours=1)
    )
    return {"earlier_hour": format_time(begin), "earlier_times": rows.aggregate(Sum("times"))["times__sum"]}
