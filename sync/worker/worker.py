"""The worker process: takes wake-ups from the queue, sweeps for what nobody was told of, and does the periodic work.

Six threads look (queue, sweep, suspects, clock, sealer, replays), one more for each long work and each of
WORKER_LOOKS, and DELIVERY_THREADS deliver. A message, which wakes a few deliveries at most, is taken only when a thread
is free for it, so that what waits stays where every worker can take it.
"""

import logging
import queue
import random
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial

from django.conf import settings
from django.db import DatabaseError
from django.utils.module_loading import import_string

from database.connection import release_connection
from sync.deliveries.due import find_due
from sync.execution.executor import run_with_followers
from sync.execution.periodic import run_periodic
from sync.execution.queue_storage import WakeUps
from sync.housekeeping.audit_upkeep import seal_audit
from sync.replays.choose_by_filter import look as look_at_replays
from sync.worker.crash_isolation import run_suspects
from sync.worker.schedule import LONG, PERIODIC

logger = logging.getLogger("hub.worker")

_LOOK_SECONDS = 0.2
_HAND_BACK_SECONDS = 1.0  # for a message that arrives in the last moment, not for a queue that hangs


@dataclass
class Worker:
    """Runs from `start` to `drain`. `wake_ups` is None where there is no queue: the sweep finds everything."""

    threads: int
    wake_ups: WakeUps | None
    sweep_seconds: float = 2.0
    _stopping: threading.Event = field(default_factory=threading.Event)

    def __post_init__(self) -> None:
        self._free = threading.BoundedSemaphore(self.threads)
        self._taken: queue.SimpleQueue[int] = queue.SimpleQueue()
        self._under_way = 0
        self._change = threading.Condition()

    def start(self) -> None:
        # Daemons all: at the end of a drain that took too long, the process leaves them behind and their leases end.
        for number in range(self.threads):
            _begin(f"delivery-{number}", self._deliver)
        _begin("sweep", self._watch, self._sweep, self.sweep_seconds)
        _begin("suspects", self._watch, self._isolate, self.sweep_seconds)
        _begin("periodic", self._watch, partial(run_periodic, PERIODIC), 1.0)
        _begin("sealer", self._watch, seal_audit, 1.0)
        for work in LONG:
            _begin(f"long-{work.name}", self._watch, partial(run_periodic, (work,)), 1.0)
        _begin("replays", self._watch, partial(self._look, look_at_replays), 1.0)
        for name, look in settings.WORKER_LOOKS.items():
            _begin(name, self._watch, partial(self._look, import_string(look)), 1.0)
        if self.wake_ups is not None:
            self._listener = _begin("queue", self._listen, self.wake_ups)

    def drain(self, seconds: float) -> int:
        """Take nothing more and wait, at most `seconds`, for what runs. Returns how many had not ended by then."""
        with self._change:
            self._stopping.set()
            self._change.wait_for(lambda: not self._under_way, seconds)
            left = self._under_way
        if self.wake_ups is not None:
            self._listener.join(_HAND_BACK_SECONDS)
        return left

    def _listen(self, wake_ups: WakeUps) -> None:
        while self._has_free_thread():
            self._hand_all(wake_ups)
        wake_ups.close()

    def _hand_all(self, wake_ups: WakeUps) -> None:
        """The first to the thread that was reserved, more as threads are free; what is left is for another worker."""
        waiting = wake_ups.take()
        if not waiting:
            self._free.release()
        while waiting and self._hand(waiting[0]):
            del waiting[0]
            if waiting and not self._has_free_thread():
                break
        if waiting:
            wake_ups.put(*waiting)

    def _sweep(self) -> None:
        for delivery_id in find_due():
            if not self._has_free_thread() or not self._hand(delivery_id):
                return

    def _isolate(self) -> None:
        with self._counted():
            run_suspects(self._goes_on)

    def _look(self, look: Callable[[Callable[[], bool]], object]) -> None:
        """One look at long work, which is asked to give back what it does when the worker ends."""
        with self._counted():
            look(self._goes_on)

    def _has_free_thread(self) -> bool:
        """Wait for a thread and reserve it; False once the worker is stopping."""
        while not self._stopping.is_set():
            if self._free.acquire(timeout=_LOOK_SECONDS):
                return True
        return False

    def _hand(self, delivery_id: int) -> bool:
        """Give it to the thread that was reserved; False once the worker is stopping."""
        with self._change:
            if self._stopping.is_set():
                return False
            self._under_way += 1
        self._taken.put(delivery_id)
        return True

    def _deliver(self) -> None:
        while True:
            delivery_id = self._taken.get()
            try:
                run_with_followers(delivery_id, self._goes_on)
            except Exception:
                logger.exception("delivery %s could not be run; the sweep will find it", delivery_id)
            finally:
                release_connection()
                self._free.release()
                self._ended()

    def _goes_on(self) -> bool:
        """Whether the next of a subject, or the next part of long work, may follow."""
        return not self._stopping.is_set()

    @contextmanager
    def _counted(self) -> Iterator[None]:
        """A drain waits for it."""
        with self._change:
            self._under_way += 1
        try:
            yield
        finally:
            self._ended()

    def _ended(self) -> None:
        with self._change:
            self._under_way -= 1
            self._change.notify_all()

    def _watch(self, look: Callable[[], object], seconds: float) -> None:
        """Look again and again, never in step with other workers. A database that is away is waited for."""
        is_away = False
        while not self._stopping.wait(seconds * random.uniform(0.75, 1.25)):  # noqa: S311 - spreads, hides nothing
            try:
                look()
                is_away = False
            except DatabaseError as error:
                if not is_away:
                    logger.warning("the database is away (%s); trying again", type(error).__name__)
                is_away = True
            except Exception:
                logger.exception("%s failed; trying again", getattr(look, "__name__", look))
            finally:
                release_connection()


def _begin(name: str, target: Callable[..., None], *arguments: object) -> threading.Thread:
    thread = threading.Thread(target=target, args=arguments, name=name, daemon=True)
    thread.start()
    return thread
