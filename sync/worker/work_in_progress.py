"""Count the work that a worker runs, so that its shutdown can wait for it."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager


class WorkInProgress:
    """Counts running work, and refuses new work once the worker is stopping."""

    def __init__(self) -> None:
        self.stopping = threading.Event()
        self._running = 0
        self._change = threading.Condition()
        self._is_wanted = threading.Event()

    def should_continue(self) -> bool:
        """Return True until the worker is stopping."""
        return not self.stopping.is_set()

    def request_poll(self) -> None:
        """Let `wait` return now."""
        self._is_wanted.set()

    def wait(self, seconds: float) -> None:
        """Return after a call of `request_poll`, or after `seconds`."""
        self._is_wanted.wait(seconds)
        self._is_wanted.clear()

    def begin_work(self) -> bool:
        """Count one more. Returns False, and counts nothing, once the worker is stopping."""
        # `stop` counts under the same lock: nothing begins after it has looked.
        with self._change:
            if self.stopping.is_set():
                return False
            self._running += 1
        return True

    def end_work(self) -> None:
        """Count one less."""
        with self._change:
            self._running -= 1
            self._change.notify_all()

    @contextmanager
    def track_work(self) -> Iterator[bool]:
        """Count the block as running work. Yields False, and counts nothing, once the worker is stopping."""
        has_begun = self.begin_work()
        try:
            yield has_begun
        finally:
            if has_begun:
                self.end_work()

    def stop(self, seconds: float) -> int:
        """Refuse new work and wait at most `seconds` for running work. Returns how many pieces of work still ran."""
        with self._change:
            self.stopping.set()
            self._change.wait_for(lambda: not self._running, seconds)
            return self._running
