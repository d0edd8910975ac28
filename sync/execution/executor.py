"""Run deliveries: at once in this process for a waiting request, in a worker for everything else.

Nothing here is needed for correctness: order and state are in the database, and a delivery that no worker was notified
of is found by polling.
"""

import logging
import os
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial

from django.conf import settings
from django.db import transaction
from django.utils.module_loading import import_string

from database.connection import release_connection
from database.response_limit import LONG_RESPONSE_SECONDS, limited_responses
from sync.attempts.delivery_run import RunResult, run_claim, run_delivery
from sync.attempts.waiters import notify_waiters
from sync.deliveries.claims import Claim
from sync.deliveries.due_deliveries import read_due_deliveries
from sync.deliveries.expired_leases import release_expired_leases, requeue_delivery

logger = logging.getLogger("hub.deliver")

# Keeps the threads free for new requests, and lets the process stop.
_NEXT_DELIVERIES_SECONDS = 5.0


class _Task:
    """A function that only one thread can take: the one that runs it, or the one that releases its slot."""

    def __init__(self, run: Callable[[], object]) -> None:
        self._run: Callable[[], object] | None = run
        self._lock = threading.Lock()

    def take(self) -> Callable[[], object] | None:
        """Return the function, the first time; None after that."""
        with self._lock:
            run, self._run = self._run, None
        return run


class BoundedExecutor:
    """A thread pool for deliveries with a bounded queue; workers run deliveries that find no slot."""

    def __init__(self, threads: int, slots: int) -> None:
        self.pid = os.getpid()
        self.used_slots = 0
        self._slot_limit, self._thread_count = slots, threads
        self._threads = ThreadPoolExecutor(threads, thread_name_prefix="delivery")
        self._lock = threading.Lock()

    def reserve_slot(self) -> bool:
        """Reserve a slot for one delivery. Returns False if none is free. `submit` or `release_slot` releases it."""
        with self._lock:
            is_free = self.used_slots < self._slot_limit
            self.used_slots += is_free
        return is_free

    @property
    def has_thread_for_all(self) -> bool:
        """True if each slot in use has a thread, so that none of them waits for another."""
        return self.used_slots <= self._thread_count

    def release_slot(self) -> None:
        """Release a slot that is not needed."""
        with self._lock:
            self.used_slots -= 1

    def submit(self, run: Callable[[], object]) -> bool:
        """Run a function in the reserved slot. Returns False, and releases the slot, if the function will not run.

        That happens at shutdown, and if the system cannot start another thread.
        """
        task = _Task(run)
        try:
            self._threads.submit(self._run_in_slot, task)
        except RuntimeError:
            # The pool queues a function before it starts a thread for it, so another of its threads may have begun it.
            if task.take() is None:
                return True
            self.release_slot()
            return False
        return True

    def _run_in_slot(self, task: "_Task") -> None:
        run = task.take()
        if run is None:
            return
        try:
            try:
                # A request may wait for this delivery.
                with limited_responses(settings.RESPONSE_SECONDS):
                    run()
            finally:
                release_connection()
        except Exception:
            logger.exception("a delivery could not be run; a worker will pick it up")
        finally:
            self.release_slot()


_lock = threading.Lock()
_executor: BoundedExecutor | None = None


def _process_executor() -> BoundedExecutor:
    global _executor  # noqa: PLW0603 - one pool a process, made after a fork
    with _lock:
        if _executor is None or _executor.pid != os.getpid():
            # Slots beyond the threads are the queue.
            _executor = BoundedExecutor(
                settings.DELIVERY_THREADS, settings.DELIVERY_THREADS + settings.DELIVERY_QUEUE
            )
        return _executor


class ReservedSlot:
    """A slot of this process's executor, held from before a webhook is stored until its delivery runs.

    `starts_at_once`: a delivery started there waits for no thread, so it may be claimed already.
    """

    def __init__(self, executor: BoundedExecutor) -> None:
        self._executor = executor
        self.starts_at_once = executor.has_thread_for_all

    def start_claim(self, claim: Claim) -> None:
        """Run a claimed delivery in this slot, and release the slot afterwards. If it cannot run, workers run it."""
        if not self._executor.submit(partial(_run_with_next_briefly, partial(run_claim, claim))):
            logger.warning("no thread could be started for %s; a worker runs it", claim.delivery)
            requeue_delivery(claim.delivery, claim.token)
            defer_to_workers([claim.delivery.pk])

    def release_slot(self) -> None:
        """Release the slot, which was not used."""
        self._executor.release_slot()


def reserve_slots(number: int = 1) -> list[ReservedSlot]:
    """Reserve up to `number` slots of this process; fewer if fewer are free."""
    executor = _process_executor()
    return [ReservedSlot(executor) for _ in range(number) if executor.reserve_slot()]


def run_in_this_process(delivery_ids: Iterable[int]) -> bool:
    """Run deliveries in threads of this process. Returns False if some found no slot."""
    executor = _process_executor()
    # A list, because `all` stops a generator at the first delivery that finds no slot.
    has_slot = [
        executor.reserve_slot()
        and executor.submit(partial(_run_with_next_briefly, partial(run_delivery, delivery_id)))
        for delivery_id in delivery_ids
    ]
    return all(has_slot)


def _run_with_next_briefly(run: Callable[[], RunResult]) -> None:
    """Run a delivery, then the next ones of its subject for a few seconds; workers run the rest."""
    result = run()
    deadline = time.monotonic() + _NEXT_DELIVERIES_SECONDS
    _, next_delivery = _run_next(result, lambda: time.monotonic() < deadline)
    if next_delivery is not None:
        defer_to_workers([next_delivery])


def defer_to_workers(delivery_ids: Iterable[int]) -> None:
    """Let workers run deliveries after the open transaction commits. Never waits, never raises."""
    waiting = list(delivery_ids)
    if waiting:
        # A lambda, not a `partial`: if it fails, Django logs the function's `__qualname__`. `robust`, because the
        # webhook is committed and must not fail with its wake-up.
        transaction.on_commit(lambda: _wake_workers(waiting), robust=True)


def _wake_workers(delivery_ids: Sequence[int]) -> None:
    """Call the function that WAKE_WORKERS names."""
    import_string(settings.WAKE_WORKERS)(delivery_ids)


def run_with_next(delivery_id: int, should_continue: Callable[[], bool] = lambda: True) -> int:
    """Run a delivery and those of its subject that follow, and wake waiting requests. Returns how many ran.

    `should_continue` is called before each further delivery.
    """
    with limited_responses(LONG_RESPONSE_SECONDS):
        count, _ = _run_next(run_delivery(delivery_id), should_continue)
    return count


def _run_next(result: RunResult, should_continue: Callable[[], bool]) -> tuple[int, int | None]:
    """Run the deliveries that follow. Returns how many ran, with the first, and the next one if it stopped early."""
    count = 0
    while True:
        notify_waiters(result.outcomes)
        count += result.is_settled
        if result.next_delivery is None or not should_continue():
            return count, result.next_delivery
        result = run_delivery(result.next_delivery)


def run_due_deliveries(limit: int = 500) -> int:
    """Release expired leases and run due deliveries, at most `limit`. Returns how many ran."""
    release_expired_leases(limit)
    waiting = [delivery.pk for delivery in read_due_deliveries(limit)]
    if not waiting:
        return 0
    # The threads below may need it.
    release_connection()
    with ThreadPoolExecutor(
        min(settings.DELIVERY_THREADS, len(waiting)), thread_name_prefix="due"
    ) as threads:
        return sum(threads.map(_run_quietly, waiting))


def _run_quietly(delivery_id: int) -> int:
    try:
        return run_with_next(delivery_id)
    except Exception:
        logger.exception("delivery %s could not be run; a worker will pick it up", delivery_id)
        return 0
    finally:
        release_connection()
