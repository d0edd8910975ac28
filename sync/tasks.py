"""When deliveries run. Nothing here knows what a delivery does, and nothing here is needed for its correctness:
order and truth are in the database, and a delivery that nobody woke is found by `run_due`.

This is the seam for a queue: `wake` is called after commit for a delivery that may run now.
"""

import logging
import os
import threading
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor

from django.conf import settings

from sync.claiming import due, expire, expired
from sync.delivering import deliver
from sync.releasing import release_connection
from sync.waiting import notify

logger = logging.getLogger("hub.deliver")


class BoundedExecutor:
    """Threads of one process that run deliveries; what does not fit is left to `run_due`, not queued without end."""

    def __init__(self, threads: int, places: int) -> None:
        self.pid = os.getpid()
        self._threads = ThreadPoolExecutor(threads, thread_name_prefix="delivery")
        self._places = threading.BoundedSemaphore(places)

    def submit(self, delivery_id: int) -> bool:
        """Whether there was a place for it."""
        if not self._places.acquire(blocking=False):
            return False
        try:
            self._threads.submit(self._run, delivery_id)
        except RuntimeError:  # the process is shutting down
            self._places.release()
            return False
        return True

    def _run(self, delivery_id: int) -> None:
        try:
            run_with_followers(delivery_id)
        except Exception:
            logger.exception("delivery %s could not be run; the sweep will find it", delivery_id)
        finally:
            release_connection()
            self._places.release()


_lock = threading.Lock()
_executor: BoundedExecutor | None = None


def _current() -> BoundedExecutor:
    global _executor  # noqa: PLW0603 - one pool a process, made after a fork
    with _lock:
        if _executor is None or _executor.pid != os.getpid():
            _executor = BoundedExecutor(
                settings.DELIVERY_THREADS, settings.DELIVERY_THREADS + settings.DELIVERY_QUEUE
            )
        return _executor


def wake(delivery_ids: Iterable[int]) -> bool:
    """Let deliveries run now, in this process. Returns whether all of them found a place."""
    executor = _current()
    placed = [executor.submit(each) for each in delivery_ids]
    return all(placed)


def run_with_followers(delivery_id: int) -> int:
    """Run a delivery, tell those who wait, and go on with the next of its subject. Returns how many ran."""
    ran, following = 0, delivery_id
    while True:
        settled, follower = deliver(following)
        notify(settled)
        ran += bool(settled)
        if not settled or follower is None:
            return ran
        following = follower


def run_due(limit: int = 500) -> int:
    """Free deliveries of processes that are gone and run what is due, at most `limit`. Returns how many ran."""
    for gone in expired()[:limit]:
        expire(gone)
    waiting = list(due().values_list("pk", flat=True)[:limit])
    if not waiting:
        return 0
    with ThreadPoolExecutor(
        min(settings.DELIVERY_THREADS, len(waiting)), thread_name_prefix="due"
    ) as threads:
        return sum(threads.map(_run_quietly, waiting))


def _run_quietly(delivery_id: int) -> int:
    try:
        return run_with_followers(delivery_id)
    except Exception:
        logger.exception("delivery %s could not be run; the next sweep will find it", delivery_id)
        return 0
    finally:
        release_connection()
