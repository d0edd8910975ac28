"""Requests that wait for the end of a delivery: woken in this process at once, by looking for one elsewhere."""

import threading
import time
from collections import defaultdict
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

from sync.models import Delivery
from sync.releasing import release_connection
from webhooks.models import State

_FIRST_LOOK, _LONGEST_PAUSE = 0.2, 0.5
_ACTIVE = (State.PENDING, State.RUNNING)

_lock = threading.Lock()
_waiting: defaultdict[int, set[threading.Event]] = defaultdict(set)


def notify(event_ids: Iterable[int]) -> None:
    """Deliveries of these events were settled by this process."""
    with _lock:
        for event_id in event_ids:
            for signal in _waiting.get(event_id, ()):
                signal.set()


@contextmanager
def waiting_for(event_id: int) -> Iterator[threading.Event]:
    """A signal that `notify` sets; asked for before the work is begun, so that it cannot be missed."""
    signal = threading.Event()
    with _lock:
        _waiting[event_id].add(signal)
    try:
        yield signal
    finally:
        with _lock:
            _waiting[event_id].discard(signal)
            if not _waiting[event_id]:
                del _waiting[event_id]


def wait(event_id: int, signal: threading.Event, until: float) -> bool:
    """Wait until no delivery of the event is pending or running, or `until` (monotonic); whether it came to that."""
    pause = _FIRST_LOOK
    while Delivery.objects.filter(event_id=event_id, state__in=_ACTIVE).exists():
        release_connection()
        remaining = until - time.monotonic()
        if remaining <= 0:
            return False
        signal.wait(min(pause, remaining))
        signal.clear()
        pause = min(pause * 1.5, _LONGEST_PAUSE)
    return True
