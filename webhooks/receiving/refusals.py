"""Record refused requests: one bounded row without a body for each kind and minute, and an audit entry for each row.

Further refusals of the same kind and minute are counted in memory and written once a second, so that a flood does not
slow down accepted webhooks. A process that is killed loses the count of its last second, but not the first refusal of
each kind.
"""

import atexit
import logging
import threading
from dataclasses import dataclass
from datetime import datetime

from django.conf import settings
from django.db import DatabaseError, IntegrityError, connections, transaction
from django.db.models import F

from audit.entries.append import NewEntry, append_entries
from webhooks.models import Refusal, Source
from webhooks.receiving.incoming_request import IncomingRequest

logger = logging.getLogger("hub.receive")

FLUSH_SECONDS = 1.0
_MAX_EXISTING_ROWS = 1_000


@dataclass(slots=True)
class _PendingCount:
    times: int
    last_at: datetime
    size: int | None


_lock = threading.Lock()
_existing_rows: set[str] = set()
_pending: dict[str, _PendingCount] = {}
_timers: list[threading.Timer] = []


def mark_row_exists(bucket: str) -> None:
    """Remember that the row of this bucket exists, so that further refusals can be counted in memory."""
    with _lock:
        # Most of them are of past minutes. A row that is not remembered is looked up in the database.
        if len(_existing_rows) >= _MAX_EXISTING_ROWS:
            _existing_rows.clear()
        _existing_rows.add(bucket)


def count_in_memory(bucket: str, at: datetime, size: int | None) -> bool:
    """Count one refusal in memory. Returns False, having counted nothing, if no row of the bucket is known."""
    with _lock:
        if bucket not in _existing_rows:
            return False
        _add_pending(bucket, _PendingCount(1, at, size))
        _schedule_flush()
    return True


def flush_counts() -> None:
    """Write this process's counts to the database. If the database is unavailable, they wait for the next flush."""
    with _lock:
        _timers.clear()
        # Copied under the lock and written after it: requests that are refused meanwhile do not wait for the database.
        due = dict(_pending)
        _pending.clear()
    try:
        while due:
            bucket, more = due.popitem()
            try:
                Refusal.objects.filter(bucket=bucket).update(
                    times=F("times") + more.times, last_at=more.last_at, size=more.size
                )
            except BaseException:
                due[bucket] = more
                raise
    except DatabaseError as error:
        logger.warning("%s kinds of refusals could not be counted yet (%s)", len(due), type(error).__name__)
    finally:
        with _lock:
            for bucket, more in due.items():
                _add_pending(bucket, more)
            if due:
                _schedule_flush()


def reset_counts() -> None:
    """Drop all counts and known rows of this process, for a test whose database is another one."""
    with _lock:
        for timer in _timers:
            timer.cancel()
        for counts in (_timers, _existing_rows, _pending):
            counts.clear()


def _add_pending(bucket: str, more: _PendingCount) -> None:
    before = _pending.get(bucket)
    if before is None:
        _pending[bucket] = more
        return
    before.times += more.times
    if more.last_at >= before.last_at:
        before.last_at, before.size = more.last_at, more.size


def _schedule_flush() -> None:
    if not _timers:
        timer = threading.Timer(FLUSH_SECONDS, _flush_in_thread)
        # The timer must not delay the end of the process; `atexit` writes what it would have written.
        timer.daemon = True
        _timers.append(timer)
        timer.start()


def _flush_in_thread() -> None:
    """Flush the counts in the timer's thread and close its database connection."""
    try:
        flush_counts()
    finally:
        connections.close_all()


atexit.register(flush_counts)


NEW_ROWS_A_MINUTE = 60
_PRUNE_EVERY = 100


def record_refusal(code: str, incoming: IncomingRequest, source: Source | None) -> None:
    """Count a refusal with others of its source, code, address and minute, or create a row for it.

    Once a minute has 60 rows of a source and code, refusals from further addresses share one row.
    """
    minute = incoming.received_at.replace(second=0, microsecond=0)
    key = f"{source.pk if source else 0}|{code}"
    own, shared = (f"{key}|{address}|{minute:%Y%m%d%H%M}" for address in (incoming.address, ""))
    if any(count_in_memory(bucket, incoming.received_at, incoming.size) for bucket in (own, shared)):
        return
    if _count_in_row(own, incoming):
        return
    crowded = (
        Refusal.objects.filter(first_at__gte=minute, source=source, code=code).count() >= NEW_ROWS_A_MINUTE
    )
    bucket = shared if crowded else own
    if crowded and _count_in_row(bucket, incoming):
        return
    try:
        with transaction.atomic():
            row = _create_row(bucket, code, incoming, source, None if crowded else incoming.address)
    # Another request of this minute was first.
    except IntegrityError:
        _count_in_row(bucket, incoming)
        return
    mark_row_exists(bucket)
    # Not after each row: a flood would otherwise cause one deletion for each of its rows.
    if row.pk % _PRUNE_EVERY == 0:
        Refusal.objects.filter(pk__lte=row.pk - settings.REFUSALS_KEPT).delete()


def _count_in_row(bucket: str, incoming: IncomingRequest) -> int:
    """Add one refusal to the bucket's row. Returns 1, or 0 if there is no such row."""
    rows = Refusal.objects.filter(bucket=bucket).update(
        times=F("times") + 1, last_at=incoming.received_at, size=incoming.size
    )
    if rows:
        mark_row_exists(bucket)
    return rows


def _create_row(
    bucket: str, code: str, incoming: IncomingRequest, source: Source | None, address: str | None
) -> Refusal:
    row = Refusal.objects.create(
        bucket=bucket,
        source=source,
        code=code,
        address=address,
        size=incoming.size,
        first_at=incoming.received_at,
        last_at=incoming.received_at,
    )
    stream = f"setting:source:{source.pk}" if source else "system"
    actor = f"source:{source.slug}" if source else "system"
    append_entries(
        NewEntry(stream, "webhook.refused", actor, {"code": code, "size": incoming.size}), at=row.first_at
    )
    return row
