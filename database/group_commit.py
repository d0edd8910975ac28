"""Group commit: one thread stores what several threads want to store at the same moment, in one commit."""

import threading
from collections import deque
from collections.abc import Callable, Sequence
from typing import Generic, TypeVar

from django.db import InterfaceError, OperationalError

from database.connection import release_connection

T = TypeVar("T")

MAX_BATCH = 8
# Longer than any transaction is left waiting for its database.
WAIT_SECONDS = 30.0
# Errors of the database itself, whatever the items are.
_DATABASE_ERRORS = (OperationalError, InterfaceError)


class _QueuedThread(Generic[T]):
    """A thread in the queue of a group commit. `is_leader`: it commits the next batch."""

    def __init__(self, item: T) -> None:
        self.item = item
        self.is_leader = False
        self.failure: Exception | None = None
        # Held until the thread is woken. A threading.Event takes five times as long.
        self._turn = threading.Lock()
        self._turn.acquire()

    def wait_for_turn(self, seconds: float = -1) -> bool:
        return self._turn.acquire(timeout=seconds)

    def wake_up(self, failure: Exception | None = None, *, leads: bool = False) -> None:
        self.failure, self.is_leader = failure, leads
        self._turn.release()


class GroupCommit(Generic[T]):
    """Group commit for the threads of one process. `run(items)` stores items, and returns the error of each, None if it
    is stored; it raises if none is stored.

    The first thread becomes the leader and runs at once; there is no delay to fill a batch. Threads that arrive
    meanwhile queue up; when the leader is done, the first of them leads a batch of up to `max_batch` items, in the
    order in which they arrived.
    """

    def __init__(
        self, run: Callable[[Sequence[T]], Sequence[Exception | None]], max_batch: int = MAX_BATCH
    ) -> None:
        self._run, self._max_batch = run, max_batch
        self._lock = threading.Lock()
        self._queue: deque[_QueuedThread[T]] = deque()
        self._is_running = False

    def submit(self, item: T, seconds: float = WAIT_SECONDS) -> None:
        """Wait until the item is stored, by this or another thread.

        Raises the error of the item, or OperationalError if `run` stored none of its batch. Raises OperationalError
        after `seconds` in the queue, too; the item is not stored then. A batch that has begun is limited by the
        timeouts of the database.
        """
        thread = _QueuedThread(item)
        if not self._becomes_leader(thread):
            # The thread that leads the group may need the connection meanwhile.
            release_connection()
            if not thread.wait_for_turn(seconds):
                if self._leave_queue(thread):
                    raise OperationalError("timed out in the queue of a group commit")
                thread.wait_for_turn()
            if thread.failure is not None:
                raise thread.failure
            if not thread.is_leader:
                return
        self._lead_batch(thread)

    def _becomes_leader(self, thread: _QueuedThread[T]) -> bool:
        with self._lock:
            if self._is_running:
                self._queue.append(thread)
                return False
            self._is_running = True
            return True

    def _leave_queue(self, thread: _QueuedThread[T]) -> bool:
        """Leave the queue after too long a wait; False if the item is being stored already."""
        with self._lock:
            is_queued = thread in self._queue
            if is_queued:
                self._queue.remove(thread)
            return is_queued

    def _lead_batch(self, leader: _QueuedThread[T]) -> None:
        with self._lock:
            count = min(len(self._queue), self._max_batch - 1)
            followers = [self._queue.popleft() for _ in range(count)]
        try:
            failure, *failures = self._run([leader.item, *(follower.item for follower in followers)])
        except BaseException as error:
            self._wake_followers(followers, [_error_for_thread(error) for _ in followers])
            raise
        self._wake_followers(followers, failures)
        if failure is not None:
            raise failure

    def _wake_followers(
        self, followers: Sequence[_QueuedThread[T]], failures: Sequence[Exception | None]
    ) -> None:
        # The next batch begins before these threads wake up: the database is never idle between two batches.
        self._call_next_leader()
        for follower, failure in zip(followers, failures, strict=True):
            follower.wake_up(failure)

    def _call_next_leader(self) -> None:
        with self._lock:
            if self._queue:
                self._queue.popleft().wake_up(leads=True)
            else:
                self._is_running = False


def _error_for_thread(error: BaseException) -> Exception:
    """Return a separate error instance for one of several threads."""
    if isinstance(error, _DATABASE_ERRORS):
        return type(error)(*error.args)
    return OperationalError("the thread that stored for several was ended")
