"""Wall-clock deadline of a whole exchange: one watchdog thread a process shuts late sockets.

A socket timeout bounds one system call, so one byte every half second would keep an exchange alive for ever.
The watchdog shuts the connection below everything that reads from it, TLS included.
"""

import contextlib
import heapq
import itertools
import os
import socket
import threading
import time
from collections.abc import Iterator

from connectors.http.resource_shortage import thread_shortage

MIN_SECONDS = 0.001


class Deadline:
    """Deadline of one exchange, and the socket to shut when it passes.

    The socket is held as a duplicate descriptor that only this object closes, under its lock. So a late
    watchdog cannot shut a descriptor that the process has reused for another connection.
    """

    __slots__ = ("_descriptor", "_ended", "_expired", "_lock", "ends_at", "seconds")

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self.ends_at = time.monotonic() + seconds
        self._lock = threading.Lock()
        self._descriptor: int | None = None
        self._ended = False
        self._expired = False

    @property
    def has_ended(self) -> bool:
        """True if the exchange has ended."""
        return self._ended

    def remaining_seconds(self) -> float:
        """Return the seconds left, always above zero: a socket timeout of zero means non-blocking."""
        return max(self.ends_at - time.monotonic(), MIN_SECONDS)

    def has_passed(self) -> bool:
        """Return True if the deadline has passed, even if the watchdog has not run yet."""
        return self._expired or time.monotonic() >= self.ends_at

    @contextlib.contextmanager
    def watch_exchange(self, sock: socket.socket | None) -> Iterator[None]:
        """Watch an exchange, and its socket if it is open already. Raises TimeoutError if the deadline passed before
        the end: a connection that was shut looks like the end of a response without a length.
        """
        _watchdog.add_deadline(self)
        try:
            if sock is not None:
                self.watch_socket(sock)
            yield
        finally:
            self._stop_watching()
        if self._expired:
            raise TimeoutError("the deadline has passed")

    def watch_socket(self, sock: socket.socket) -> None:
        """Watch this socket instead of the previous one. Raises TimeoutError if the deadline has passed."""
        with self._lock:
            self._close_descriptor()
            if self._expired:
                raise TimeoutError("the deadline has passed")
            if not self._ended:
                self._descriptor = os.dup(sock.fileno())

    def shut_if_running(self) -> None:
        """Shut the socket unless the exchange has ended. Called by the watchdog."""
        with self._lock:
            if self._ended or self._expired:
                return
            self._expired = True
            if self._descriptor is not None:
                shut = socket.socket(fileno=self._descriptor)
                self._descriptor = None
                with shut, contextlib.suppress(OSError):
                    shut.shutdown(socket.SHUT_RDWR)

    def _stop_watching(self) -> None:
        with self._lock:
            self._ended = True
            self._close_descriptor()

    def _close_descriptor(self) -> None:
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None


class DeadlineWatchdog:
    """Daemon thread, started with the first deadline, that shuts the sockets of deadlines that pass."""

    def __init__(self) -> None:
        self._heap: list[tuple[float, int, Deadline]] = []
        self._order = itertools.count()
        self._changed = threading.Condition()
        self._wakes_at = float("inf")
        self._started = False

    def add_deadline(self, deadline: Deadline) -> None:
        """Shut the socket of this deadline when it passes, unless the exchange has ended. Raises OSError if the thread
        cannot be started.
        """
        with self._changed:
            # The counter decides between equal times, since deadlines cannot be compared.
            heapq.heappush(self._heap, (deadline.ends_at, next(self._order), deadline))
            if not self._started:
                try:
                    threading.Thread(
                        target=self._expire_forever, name="exchange-watchdog", daemon=True
                    ).start()
                except RuntimeError as error:
                    raise thread_shortage() from error
                # Not before: where no thread can be started, the next deadline tries again.
                self._started = True
            elif deadline.ends_at < self._wakes_at:
                self._changed.notify()

    def _expire_forever(self) -> None:
        while True:
            for deadline in self._wait_for_due():
                deadline.shut_if_running()

    def _wait_for_due(self) -> list[Deadline]:
        with self._changed:
            due = self._pop_due()
            if not due:
                self._wakes_at = self._heap[0][0] if self._heap else float("inf")
                wait = self._wakes_at - time.monotonic() if self._heap else None
                self._changed.wait(wait)
            return due

    def _pop_due(self) -> list[Deadline]:
        """Remove and return the deadlines that are due. Also drops ended ones, so that a busy process wakes
        seldom.
        """
        due: list[Deadline] = []
        now = time.monotonic()
        while self._heap and (self._heap[0][2].has_ended or self._heap[0][0] <= now):
            due.append(heapq.heappop(self._heap)[2])
        return due


_watchdog = DeadlineWatchdog()


def _reset_after_fork() -> None:
    """Replace the watchdog in a forked child: threads do not survive a fork, and one may have held a lock."""
    global _watchdog  # noqa: PLW0603
    _watchdog = DeadlineWatchdog()


os.register_at_fork(after_in_child=_reset_after_fork)
