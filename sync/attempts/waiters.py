"""Requests that wait for a delivery: woken at once in the process that settles it, by polling in any other."""

import logging
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from queue import Empty, SimpleQueue

from config_schema.codes.outcome import EventOutcome
from database.connection import release_connection
from sync.models import Delivery, Route
from webhooks.delivery_port import PendingAnswer
from webhooks.models import State

logger = logging.getLogger("hub.deliver")

# Another process may settle the event, and cannot wake this one.
_POLL_SECONDS = 0.5
_ACTIVE_STATES = (State.PENDING, State.RUNNING)


class OutcomeWaiter:
    """One request that waits for an event. `outcome` is set if this process settles the event.

    `build_answer` turns an outcome into an answer. The thread that settles the event may claim that answer and store it
    in its own commit. Until it calls `confirm_answer` or `release_answer`, the request waits and builds no answer
    itself.
    """

    def __init__(self, build_answer: Callable[[EventOutcome], PendingAnswer] | None = None) -> None:
        self._signals: SimpleQueue[None] = SimpleQueue()
        self.outcome: EventOutcome | None = None
        self.stored_answer: PendingAnswer | None = None
        self._unconfirmed: list[PendingAnswer] = []
        self._build_answer = build_answer
        self._lock = threading.Lock()
        self._is_answer_claimed = self._is_closed = False

    def wait(self, seconds: float) -> None:
        """Wait until `wake` is called, at most `seconds`."""
        with suppress(Empty):
            self._signals.get(timeout=seconds)

    def wake(self) -> None:
        """Let the request check its state. Extra calls do no harm."""
        self._signals.put(None)

    def claim_answer(self, outcome: EventOutcome) -> PendingAnswer | None:
        """Return the answer for the settling thread to store; None if the request has stopped waiting or takes no
        answer.
        """
        if self._build_answer is None:
            return None
        with self._lock:
            if self._is_answer_claimed or self._is_closed:
                return None
            self._is_answer_claimed = True
        try:
            # Outside the lock, which `close` takes: building an answer may take time.
            return self._build_answer(outcome)
        except Exception:
            # The delivery is settled all the same; the request gets the error itself.
            logger.exception("a response could not be built")
            self.release_answer()
            return None

    def confirm_answer(self, pending_answer: PendingAnswer) -> None:
        """Hand over the answer, once it is committed."""
        self.stored_answer = pending_answer
        self.release_answer()

    def release_answer(self, unconfirmed: PendingAnswer | None = None) -> None:
        """End the claim on the answer, and wake the request. `unconfirmed`: an answer whose commit may have got no
        answer itself.
        """
        if unconfirmed is not None:
            self._unconfirmed.append(unconfirmed)
        with self._lock:
            self._is_answer_claimed = False
        self.wake()

    def find_stored_answer(self) -> PendingAnswer | None:
        """Return the answer that is stored: one that was handed over, or one that a commit stored without an answer."""
        if self.stored_answer is not None:
            return self.stored_answer
        return next((answer for answer in self._unconfirmed if answer.is_stored()), None)

    def close(self) -> bool:
        """Stop waiting. Returns False while another thread stores the answer, which takes moments."""
        with self._lock:
            self._is_closed = self._is_closed or not self._is_answer_claimed
            return self._is_closed


_lock = threading.Lock()
_waiters: defaultdict[int, set[OutcomeWaiter]] = defaultdict(set)


def find_only_waiter(event_id: int) -> OutcomeWaiter | None:
    """Return the one request of this process that waits for an event; None if there is none, or more than one."""
    with _lock:
        waiters = _waiters.get(event_id, ())
        return next(iter(waiters)) if len(waiters) == 1 else None


def notify_waiters(outcomes: Mapping[int, EventOutcome | None]) -> None:
    """Wake the requests of this process that wait for these events, which were just settled."""
    with _lock:
        for event_id, outcome in outcomes.items():
            for waiter in _waiters.get(event_id, ()):
                waiter.outcome = outcome
                waiter.wake()


@contextmanager
def waiting_for(
    event_id: int, build_answer: Callable[[EventOutcome], PendingAnswer] | None = None
) -> Iterator[OutcomeWaiter]:
    """Register a waiter that `notify_waiters` wakes. Enter it before the work begins, so that no end is missed."""
    waiter = OutcomeWaiter(build_answer)
    with _lock:
        _waiters[event_id].add(waiter)
    try:
        yield waiter
    finally:
        with _lock:
            _waiters[event_id].discard(waiter)
            # Otherwise the dictionary would grow with every event.
            if not _waiters[event_id]:
                del _waiters[event_id]


def wait_for_outcome(event_id: int, waiter: OutcomeWaiter, until: float) -> bool:
    """Wait until no delivery of the event on a live route is pending or running, at most until `until` (monotonic
    seconds).

    Returns False if such deliveries are still pending or running.
    """
    # A request that waits holds no connection of the pool.
    release_connection()
    while True:
        waiter.wait(max(0.0, min(_POLL_SECONDS, until - time.monotonic())))
        if waiter.outcome is not None or waiter.stored_answer is not None:
            return True
        active = Delivery.objects.filter(event_id=event_id, state__in=_ACTIVE_STATES)
        is_active = active.filter(route__mode=Route.Mode.LIVE).exists()
        release_connection()
        if not is_active or time.monotonic() >= until:
            if waiter.close():
                return not is_active
            # The settling thread stores the answer at this moment: its commit or rollback ends the wait.
            waiter.wait(_POLL_SECONDS)
