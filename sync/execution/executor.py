"""When deliveries run. Nothing here knows what a delivery does, and nothing here is needed for its correctness:
order and truth are in the database, and a delivery of which no worker was told is found by its poll.

Who waits for an answer has its delivery run in its own process; everything else is left to a worker, which is woken.
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
from sync.attempts.delivery_run import RunResult, run_claim, run_delivery
from sync.attempts.waiters import notify_waiters
from sync.deliveries.claims import Claim
from sync.deliveries.due_deliveries import read_due_deliveries
from sync.deliveries.expired_leases import release_expired_leases

logger = logging.getLogger("hub.deliver")

_FOLLOWERS_SECONDS = 5.0


class BoundedExecutor:
    """Threads of one process that run deliveries; what does not fit is left to workers, not queued without end."""

    def __init__(self, threads: int, slots: int) -> None:
        self.pid = os.getpid()
        self.used_slots = 0
        self._slot_limit, self._thread_count = slots, threads
        self._threads = ThreadPoolExecutor(threads, thread_name_prefix="delivery")
        self._lock = threading.Lock()

    def reserve_slot(self) -> bool:
        """Keep a place for one delivery; whether there was one. It is given back by `submit` or `release_slot`."""
        with self._lock:
            has_one = self.used_slots < self._slot_limit
            self.used_slots += has_one
        return has_one

    @property
    def has_thread_for_all(self) -> bool:
        """Whether there is a thread for each place that is taken, so that none of them waits for another."""
        return self.used_slots <= self._thread_count

    def release_slot(self) -> None:
        """The place that was kept is not needed."""
        with self._lock:
            self.used_slots -= 1

    def submit(self, run: Callable[[], object]) -> bool:
        """Run something in the place that was reserved; False, and the place is free, where the process ends."""
        try:
            self._threads.submit(self._run_in_slot, run)
        except RuntimeError:  # the process is shutting down
            self.release_slot()
            return False
        return True

    def _run_in_slot(self, run: Callable[[], object]) -> None:
        try:
            try:
                run()
            finally:
                release_connection()
        except Exception:
            logger.exception("a delivery could not be run; a worker will find it")
        finally:
            self.release_slot()


_lock = threading.Lock()
_executor: BoundedExecutor | None = None


def _process_executor() -> BoundedExecutor:
    global _executor  # noqa: PLW0603 - one pool a process, made after a fork
    with _lock:
        if _executor is None or _executor.pid != os.getpid():
            _executor = BoundedExecutor(
                settings.DELIVERY_THREADS, settings.DELIVERY_THREADS + settings.DELIVERY_QUEUE
            )
        return _executor


class ReservedSlot:
    """A place in this process's executor, kept from before a webhook is stored until its delivery runs.

    `starts_at_once`: what is started there does not wait for a thread, so that it may be claimed already.
    """

    def __init__(self, executor: BoundedExecutor) -> None:
        self._executor = executor
        self._is_reserved = True
        self.starts_at_once = executor.has_thread_for_all

    def start_claim(self, claim: Claim) -> None:
        """Run a claimed delivery now."""
        self._is_reserved = False
        self._executor.submit(partial(_run_with_followers_briefly, partial(run_claim, claim)))

    def release_slot(self) -> None:
        """Once is enough; more does nothing."""
        if self._is_reserved:
            self._is_reserved = False
            self._executor.release_slot()


def reserve_slots(number: int = 1) -> list[ReservedSlot]:
    """Places to run deliveries in this process, as far as there are any left."""
    executor = _process_executor()
    return [ReservedSlot(executor) for _ in range(number) if executor.reserve_slot()]


def run_in_this_process(delivery_ids: Iterable[int]) -> bool:
    """Let deliveries run now, in this process. Returns whether all of them found a place."""
    executor = _process_executor()
    placed = [
        executor.reserve_slot()
        and executor.submit(partial(_run_with_followers_briefly, partial(run_delivery, each)))
        for each in delivery_ids
    ]
    return all(placed)


def _run_with_followers_briefly(run: Callable[[], RunResult]) -> None:
    """Run one, and go on with those that waited for it for a few seconds. A worker takes what is left: this process
    may have been told to end, and what it has been given comes first.
    """
    ran = run()
    until = time.monotonic() + _FOLLOWERS_SECONDS
    _, left = _run_followers(ran, lambda: time.monotonic() < until)
    if left is not None:
        defer_to_workers([left])


def defer_to_workers(delivery_ids: Iterable[int]) -> None:
    """Let a worker run deliveries, once the transaction that is open has been committed. Never waits, never raises."""
    waiting = list(delivery_ids)
    if waiting:
        # No `partial`: Django asks for the name of what failed.
        transaction.on_commit(lambda: _wake_workers(waiting), robust=True)


def _wake_workers(delivery_ids: Sequence[int]) -> None:
    """By the engine in use: see WAKE_WORKERS in the settings."""
    import_string(settings.WAKE_WORKERS)(delivery_ids)


def run_with_followers(delivery_id: int, should_continue: Callable[[], bool] = lambda: True) -> int:
    """Run a delivery, tell those who wait, and go on with those that waited for it. Returns how many ran.

    `should_continue`: asked before the next is taken.
    """
    count, _ = _run_followers(run_delivery(delivery_id), should_continue)
    return count


def _run_followers(ran: RunResult, should_continue: Callable[[], bool]) -> tuple[int, int | None]:
    """What comes after a delivery ran: how many ran, and the next one where it does not go on."""
    count = 0
    while True:
        notify_waiters(ran.outcomes)
        count += ran.is_settled
        if ran.follower is None or not should_continue():
            return count, ran.follower
        ran = run_delivery(ran.follower)


def run_due_deliveries(limit: int = 500) -> int:
    """Free deliveries of processes that are gone and run what is due, at most `limit`. Returns how many ran."""
    release_expired_leases(limit)
    waiting = [each.pk for each in read_due_deliveries(limit)]
    if not waiting:
        return 0
    release_connection()  # the threads may need it
    with ThreadPoolExecutor(
        min(settings.DELIVERY_THREADS, len(waiting)), thread_name_prefix="due"
    ) as threads:
        return sum(threads.map(_run_quietly, waiting))


def _run_quietly(delivery_id: int) -> int:
    try:
        return run_with_followers(delivery_id)
    except Exception:
        logger.exception("delivery %s could not be run; a worker will find it", delivery_id)
        return 0
    finally:
        release_connection()
