"""Requests that wait for the end of a delivery: woken in this process at once, by looking for one elsewhere."""

import threading
import time
from collections import defaultdict
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from sync.models import Delivery
from sync.outcomes import EventOutcome
from sync.releasing import release_connection
from webhooks.models import State

_FIRST_LOOK, _LONGEST_PAUSE = 0.5, 0.5
_ACTIVE = (State.PENDING, State.RUNNING)


class Waiter:
    """One request that waits for an event. `outcome` is filled in where this process knows it."""

    def __init__(self) -> None:
        self.signal = threading.Event()
        self.outcome: EventOutcome | None = None


_lock = threading.Lock()
_waiting: defaultdict[int, set[Waiter]] = defaultdict(set)


def notify(outcomes: Mapping[int, EventOutcome | None]) -> None:
    """Deliveries of these events were settled by this process."""
    with _lock:
        for event_id, outcome in outcomes.items():
            for waiter in _waiting.get(event_id, ()):
                waiter.outcome = outcome
                waiter.signal.set()


@contextmanager
def waiting_for(event_id: int) -> Iterator[Waiter]:
    """A waiter that `notify` wakes; asked for before the work is begun, so that it cannot be missed."""
    waiter = Waiter()
    with _lock:
        _waiting[event_id].add(waiter)
    try:
        yield waiter
    finally:
        with _lock:
            _waiting[event_id].discard(waiter)
            if not _waiting[event_id]:
                del _waiting[event_id]


def wait(event_id: int, waiter: Waiter, until: float) -> bool:
    """Wait until no delivery of the event is pending or running, or `until` (monotonic); whether it came to that."""
    pause = _FIRST_LOOK
    release_connection()
    while True:
        waiter.signal.wait(max(0.0, min(pause, until - time.monotonic())))
        if waiter.outcome is not None:
            return True
        waiter.signal.clear()
        is_active = Delivery.objects.filter(event_id=event_id, state__in=_ACTIVE).exists()
        release_connection()
        if not is_active:
            return True
        if time.monotonic() >= until:
            return False
        pause = min(pause * 1.5, _LONGEST_PAUSE)
