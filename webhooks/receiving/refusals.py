"""Requests that did not pass the gate: one bounded row, no body, and an entry of the audit log.

Refusals of one kind and minute beyond the first are added up in this process and written once a second, so that a flood
costs accepted webhooks nothing. A process that is killed loses the count of its last second; the first refusal of each
kind is stored already.
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
from webhooks.receiving.incoming_request import Arrival

logger = logging.getLogger("hub.receive")

SECONDS = 1.0
_MOST_KNOWN = 1_000


@dataclass(slots=True)
class _More:
    times: int
    last_at: datetime
    size: int | None


_lock = threading.Lock()
_known: set[str] = set()
_more: dict[str, _More] = {}
_timers: list[threading.Timer] = []


def know(bucket: str) -> None:
    """This row stands: what else belongs to it can be added up."""
    with _lock:
        if len(_known) >= _MOST_KNOWN:  # those of other minutes among them; what is not known is asked for
            _known.clear()
        _known.add(bucket)


def add(bucket: str, at: datetime, size: int | None) -> bool:
    """Count one more; False where the row is not known to stand."""
    with _lock:
        if bucket not in _known:
            return False
        _put(bucket, _More(1, at, size))
        _soon()
    return True


def write_down() -> None:
    """What was added up. Where the database is away it is kept for the next time."""
    with _lock:
        _timers.clear()
        due = dict(_more)
        _more.clear()
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
                _put(bucket, more)
            if due:
                _soon()


def forget() -> None:
    """Everything: the database is another one now."""
    with _lock:
        for timer in _timers:
            timer.cancel()
        for each in (_timers, _known, _more):
            each.clear()


def _put(bucket: str, more: _More) -> None:
    before = _more.get(bucket)
    if before is None:
        _more[bucket] = more
        return
    before.times += more.times
    if more.last_at >= before.last_at:
        before.last_at, before.size = more.last_at, more.size


def _soon() -> None:
    if not _timers:
        timer = threading.Timer(SECONDS, _write_down_apart)
        timer.daemon = True
        _timers.append(timer)
        timer.start()


def _write_down_apart() -> None:
    """In a thread of its own, whose connection ends with it."""
    try:
        write_down()
    finally:
        connections.close_all()


atexit.register(write_down)


NEW_ROWS_A_MINUTE = 60
_PRUNE_EVERY = 100


def record_refusal(code: str, arrival: Arrival, source: Source | None) -> None:
    """Count the refusal with equal ones of its minute (`webhooks.receiving.refusals`), or begin a row for it.

    A flood from many addresses shares one row a source and code once 60 rows of that minute stand.
    """
    minute = arrival.received_at.replace(second=0, microsecond=0)
    key = f"{source.pk if source else 0}|{code}"
    own, shared = (f"{key}|{each}|{minute:%Y%m%d%H%M}" for each in (arrival.address, ""))
    if any(add(each, arrival.received_at, arrival.size) for each in (own, shared)):
        return
    if _count(own, arrival):
        return
    crowded = (
        Refusal.objects.filter(first_at__gte=minute, source=source, code=code).count() >= NEW_ROWS_A_MINUTE
    )
    bucket = shared if crowded else own
    if crowded and _count(bucket, arrival):
        return
    try:
        with transaction.atomic():
            row = _begin(bucket, code, arrival, source, None if crowded else arrival.address)
    except IntegrityError:  # another request of this minute was first
        _count(bucket, arrival)
        return
    know(bucket)
    if row.pk % _PRUNE_EVERY == 0:
        Refusal.objects.filter(pk__lte=row.pk - settings.REFUSALS_KEPT).delete()


def _count(bucket: str, arrival: Arrival) -> int:
    """How many rows there are of it."""
    rows = Refusal.objects.filter(bucket=bucket).update(
        times=F("times") + 1, last_at=arrival.received_at, size=arrival.size
    )
    if rows:
        know(bucket)
    return rows


def _begin(bucket: str, code: str, arrival: Arrival, source: Source | None, address: str | None) -> Refusal:
    row = Refusal.objects.create(
        bucket=bucket,
        source=source,
        code=code,
        address=address,
        size=arrival.size,
        first_at=arrival.received_at,
        last_at=arrival.received_at,
    )
    stream = f"setting:source:{source.pk}" if source else "system"
    actor = f"source:{source.slug}" if source else "system"
    append_entries(
        NewEntry(stream, "webhook.refused", actor, {"code": code, "size": arrival.size}), at=row.first_at
    )
    return row
