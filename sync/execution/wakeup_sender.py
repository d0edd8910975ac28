"""Deferring: let a worker run deliveries. Costs a request microseconds, whatever state the queue is in.

One thread of the process carries wake-ups to the queue. What it cannot carry is dropped: the sweep finds the rows.
"""

import atexit
import os
import queue
import threading
import time
from collections.abc import Callable, Iterable, Iterator

from django.conf import settings
from django.db import transaction

from sync.execution.queue_storage import MOST_TOGETHER, WakeUps, is_local

_LONGEST_LINE = 10_000


class Courier:
    """Carries wake-ups to the queue in a thread of its own, so that a queue that hangs holds nobody up."""

    def __init__(self, url: str) -> None:
        self.pid, self.url = os.getpid(), url
        self._line: queue.Queue[int] = queue.Queue(_LONGEST_LINE)
        self._wake_ups = WakeUps(url)
        threading.Thread(target=self._carry, name="wake-ups", daemon=True).start()

    def hand(self, delivery_ids: Iterable[int]) -> None:
        """Never waits; beyond ten thousand that wait already, it drops."""
        for each in delivery_ids:
            try:
                self._line.put_nowait(each)
            except queue.Full:
                return

    @property
    def waiting(self) -> int:
        """How many have not been carried yet."""
        return self._line.qsize()

    def flush(self, seconds: float) -> bool:
        """Wait until all were carried or dropped, at most `seconds`; whether it came to that."""
        until = time.monotonic() + seconds
        while self._line.unfinished_tasks:
            if time.monotonic() >= until:
                return False
            time.sleep(0.005)
        return True

    def _carry(self) -> None:
        while True:
            together = [self._line.get(), *self._more()]
            self._wake_ups.put(*together)
            for _ in together:
                self._line.task_done()

    def _more(self) -> Iterator[int]:
        """What came while the last message was carried: a few go as one, which costs the queue no more."""
        for _ in range(MOST_TOGETHER - 1):
            try:
                yield self._line.get_nowait()
            except queue.Empty:
                return


_lock = threading.Lock()
_courier: Courier | None = None


def defer(delivery_ids: Iterable[int], *, here: Callable[[list[int]], object]) -> None:
    """Let a worker run these deliveries, once the transaction that is open has been committed.

    Never raises and never waits. With `QUEUE_URL=local:` there is no queue, and `here` runs them in this process.
    """
    waiting = list(delivery_ids)
    if waiting:
        transaction.on_commit(lambda: _send(waiting, here), robust=True)


def _send(delivery_ids: list[int], here: Callable[[list[int]], object]) -> None:
    if is_local(settings.QUEUE_URL):
        here(delivery_ids)
    else:
        _current().hand(delivery_ids)


def _current() -> Courier:
    global _courier  # noqa: PLW0603 - one a process, made after a fork
    found = _courier
    if found is not None and found.pid == os.getpid() and found.url == settings.QUEUE_URL:
        return found
    with _lock:
        if _courier is None or _courier.pid != os.getpid() or _courier.url != settings.QUEUE_URL:
            _courier = Courier(settings.QUEUE_URL)
        return _courier


@atexit.register
def _flush_at_exit() -> None:
    """A command that ends right after it deferred still gets its wake-ups out."""
    if _courier is not None and _courier.pid == os.getpid():
        _courier.flush(1.0)
