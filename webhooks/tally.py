"""Refusals of one kind and minute beyond the first, added up in this process and written down once a second.

A flood then costs those who are let in nothing but its own answers. A process that is killed forgets how many there
were in its last second; that there were some is stored already.
"""

import atexit
import logging
import threading
from dataclasses import dataclass
from datetime import datetime

from django.db import DatabaseError, connections
from django.db.models import F

from webhooks.models import Refusal

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
        logger.warning("%s kinds of refusals are not counted yet (%s)", len(due), type(error).__name__)
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
