"""Read which deliveries are due, and assign each to a free thread of this worker.

Several workers read the same rows. Each takes a few of them at random, so that they seldom take the same ones; if they
do, the claim decides. A delivery that could not be claimed (its connection is at its limit, another worker was first)
is not tried again for some seconds: the delivery that blocks it wakes the next.
"""

import logging
import queue
import random
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from database.connection import release_connection
from database.move_marker import is_refused_by_move
from database.response_limit import LONG_RESPONSE_SECONDS, limited_responses
from sync.deliveries.due_deliveries import find_due_ids
from sync.deliveries.expired_leases import release_expired_leases
from sync.execution.executor import run_with_next
from sync.worker.work_in_progress import WorkInProgress

logger = logging.getLogger("hub.worker")

# Rows of one poll.
_WINDOW = 1000
# A new worker runs two deliveries at once until this many have ended. One of them may have killed the worker before it.
_FIRST_THREADS = 2
_FIRST_DELIVERIES = 64
# So long none of them may end before more run at once.
_SLOW_SECONDS = 1.0
# How soon a dispatcher that waits for a thread notices that the worker is stopping.
_FREE_THREAD_SECONDS = 0.2
_QUIET_AFTER_SECONDS = 5.0
# The share of the time that polls without a result may take.
_MAX_POLL_SHARE = 0.05


@dataclass(frozen=True, slots=True)
class PollTimes:
    """Seconds between two polls: `busy` while there is work, `quiet` after a while without any.

    `sweep`: between two searches for expired leases, and before a delivery that could not be claimed is tried again.
    """

    busy: float
    quiet: float
    sweep: float


class DeliveryDispatcher:
    """The delivery threads of a worker, and the dispatcher that assigns deliveries to them.

    A new worker runs two deliveries at once, and after the first 64 one more for each that ends, up to `threads`: if
    one of the first kills it, few others are interrupted. Each second in which none ends, because a system is slow,
    doubles the number.
    """

    def __init__(self, threads: int, times: PollTimes, progress: WorkInProgress) -> None:
        self._thread_count, self._times, self._progress = threads, times, progress
        self._free = threading.Semaphore(min(_FIRST_THREADS, threads))
        self._limit, self._ended = min(_FIRST_THREADS, threads), 0
        self._changed_at = time.monotonic()
        self._assigned: queue.SimpleQueue[int] = queue.SimpleQueue()
        self._lock = threading.Lock()
        self._running: set[int] = set()
        self._retry_after: dict[int, float] = {}
        self._sweeps_at = 0.0
        self._found_at = time.monotonic()

    def start(self, begin: Callable[[str, Callable[[], None]], object]) -> None:
        """Start the delivery threads. `begin` starts a function in a thread with a name."""
        for number in range(self._thread_count):
            begin(f"delivery-{number}", self._deliver)

    def dispatch_due(self) -> float:
        """Assign due deliveries to threads. Returns the seconds until the next poll: 0 if there may be more."""
        if is_refused_by_move():
            return self._times.sweep
        began = time.monotonic()
        with limited_responses(LONG_RESPONSE_SECONDS):
            untried = self._find_untried()
        if not untried:
            return self._next_pause(time.monotonic() - began)
        self._found_at = time.monotonic()
        # The threads may need it.
        release_connection()
        # No more than there are threads: by the time one is free, other workers have claimed from the rest.
        for delivery_id in untried[: self._thread_count]:
            if not self._has_free_thread() or not self._assign(delivery_id):
                break
        return 0.0

    @contextmanager
    def reserved_thread(self) -> Iterator[None]:
        """Keep one delivery thread idle while the calling thread delivers, so that DELIVERY_THREADS is not exceeded.

        Waits for an idle one, but not once the worker is stopping: nothing may begin then.
        """
        is_reserved = self._has_free_thread()
        try:
            yield
        finally:
            if is_reserved:
                self._free.release()
                self._count_ended()

    def _find_untried(self) -> list[int]:
        """Return due deliveries that this worker has not just tried, in random order."""
        now = time.monotonic()
        if now >= self._sweeps_at:
            # Set before the sweep, so that a sweep that fails is not repeated by each poll.
            self._sweeps_at = now + self._times.sweep * random.uniform(0.75, 1.25)  # noqa: S311 - spreads
            release_expired_leases(_WINDOW)
        with self._lock:
            self._retry_after = {pk: until for pk, until in self._retry_after.items() if until > now}
            excluded = self._running | self._retry_after.keys()
        untried = [pk for pk in find_due_ids(_WINDOW) if pk not in excluded]
        # Several workers read the same rows: in random order they seldom try the same delivery.
        random.shuffle(untried)
        return untried

    def _next_pause(self, poll_seconds: float) -> float:
        """Return the seconds until the next poll; more if polls take long, so that a blocked backlog keeps no core
        busy.
        """
        is_quiet = time.monotonic() - self._found_at > _QUIET_AFTER_SECONDS
        interval = self._times.quiet if is_quiet else self._times.busy
        # A poll that takes long and finds nothing is repeated less often.
        pause = interval * random.uniform(0.75, 1.25)  # noqa: S311
        return max(pause, min(poll_seconds / _MAX_POLL_SHARE, self._times.sweep))

    def _has_free_thread(self) -> bool:
        """Wait for a thread and reserve it. Returns False once the worker is stopping."""
        while self._progress.should_continue():
            if self._free.acquire(timeout=_FREE_THREAD_SECONDS):
                return True
            if time.monotonic() - self._changed_at >= _SLOW_SECONDS:
                self._raise_limit(self._limit)
        return False

    def _count_ended(self) -> None:
        with self._lock:
            self._ended += 1
            self._changed_at = time.monotonic()
        if self._ended > _FIRST_DELIVERIES:
            self._raise_limit(1)

    def _raise_limit(self, number: int) -> None:
        """Let more deliveries run at once, until all threads are used."""
        with self._lock:
            added = min(number, self._thread_count - self._limit)
            self._limit += added
            self._changed_at = time.monotonic()
        if added:
            self._free.release(added)

    def _assign(self, delivery_id: int) -> bool:
        """Give a delivery to the reserved thread. Returns False once the worker is stopping."""
        if not self._progress.begin_work():
            return False
        with self._lock:
            # Before the thread gets it, so that no poll assigns it again.
            self._running.add(delivery_id)
        self._assigned.put(delivery_id)
        return True

    def _deliver(self) -> None:
        while True:
            delivery_id, count = self._assigned.get(), 0
            try:
                count = run_with_next(delivery_id, self._progress.should_continue)
            except Exception:
                logger.exception("delivery %s could not be run; it will be retried", delivery_id)
            finally:
                release_connection()
                self._finish_delivery(delivery_id, was_claimed=count > 0)

    def _finish_delivery(self, delivery_id: int, *, was_claimed: bool) -> None:
        with self._lock:
            self._running.discard(delivery_id)
            # Not claimed: the delivery that blocks this one wakes the next, so a retry at once would only fail again.
            if not was_claimed:
                self._retry_after[delivery_id] = time.monotonic() + self._times.sweep
        self._free.release()
        self._count_ended()
        self._progress.end_work()
