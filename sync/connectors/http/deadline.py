"""A wall-clock deadline over a whole exchange: one watchdog thread a process shuts late sockets.

A socket timeout bounds one system call, so a byte every half second keeps an exchange alive for ever.
The watchdog shuts the connection below everything that reads from it, TLS included.
"""

import contextlib
import heapq
import itertools
import os
import socket
import threading
import time

MIN_SECONDS = 0.001


class Deadline:
    """When one exchange must have ended, and the socket to shut if it has not.

    The socket is held as a duplicate descriptor that only this object closes, under its lock. Hence a
    late watchdog can never shut a descriptor that the process has given to another connection since.
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
        """Nothing is left to watch."""
        return self._ended

    def remaining_seconds(self) -> float:
        """Seconds left, never zero or less: a socket timeout of zero means something else."""
        return max(self.ends_at - time.monotonic(), MIN_SECONDS)

    def has_passed(self) -> bool:
        """The time is up, whether or not the watchdog has come round."""
        return self._expired or (not self._ended and time.monotonic() >= self.ends_at)

    def watch_socket(self, sock: socket.socket) -> None:
        """Shut this socket instead of the one before it when the time is up; TimeoutError if it is."""
        with self._lock:
            self._close_descriptor()
            if self._expired:
                raise TimeoutError("the deadline has passed")
            if not self._ended:
                self._descriptor = os.dup(sock.fileno())

    def stop_watching(self) -> bool:
        """Stop watching. True if the exchange ended in time and its socket was left alone."""
        with self._lock:
            self._ended = True
            self._close_descriptor()
            return not self._expired

    def shut_if_running(self) -> None:
        """The watchdog's part: shut the socket unless the exchange has ended."""
        with self._lock:
            if self._ended or self._expired:
                return
            self._expired = True
            if self._descriptor is not None:
                shut = socket.socket(fileno=self._descriptor)
                self._descriptor = None
                with shut, contextlib.suppress(OSError):
                    shut.shutdown(socket.SHUT_RDWR)

    def _close_descriptor(self) -> None:
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None


class DeadlineWatchdog:
    """One daemon thread, started with the first deadline, that expires deadlines as they come due."""

    def __init__(self) -> None:
        self._heap: list[tuple[float, int, Deadline]] = []
        self._order = itertools.count()
        self._changed = threading.Condition()
        self._wakes_at = float("inf")
        self._started = False

    def add_deadline(self, deadline: Deadline) -> None:
        """Expire this deadline at its end unless it has ended by then."""
        with self._changed:
            heapq.heappush(self._heap, (deadline.ends_at, next(self._order), deadline))
            if not self._started:
                self._started = True
                threading.Thread(target=self._expire_forever, name="exchange-watchdog", daemon=True).start()
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
        """What is due now. Ended deadlines are dropped on the way, so that a busy process seldom wakes."""
        due: list[Deadline] = []
        now = time.monotonic()
        while self._heap and (self._heap[0][2].has_ended or self._heap[0][0] <= now):
            due.append(heapq.heappop(self._heap)[2])
        return due


_watchdog = DeadlineWatchdog()


def watch_deadline(deadline: Deadline) -> None:
    """Have this process's watchdog end the exchange when its deadline comes."""
    _watchdog.add_deadline(deadline)


def _reset_after_fork() -> None:
    """Threads do not survive a fork, and one may have held a lock: the child gets its own watchdog."""
    global _watchdog  # noqa: PLW0603
    _watchdog = DeadlineWatchdog()


os.register_at_fork(after_in_child=_reset_after_fork)
