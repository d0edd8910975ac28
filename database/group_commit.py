"""Group commit: what several threads want written at the same time is written by one of them, in one commit.

On SQLite there is one writer at a time, and a commit waits for the disk. Threads that come while one commits share the
next commit.
"""

import threading
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any, Generic, TypeVar

from django.db import InterfaceError, OperationalError, transaction

from database.connection import current
from database.write_batch import one_commit

T = TypeVar("T")

SECONDS = 30.0  # longer than any transaction is left waiting for its database
_FOR_ALL = (OperationalError, InterfaceError)  # the database's own trouble, whatever was brought to it


class Scattered(Exception):
    """What several wanted done together failed, and nothing of it was done: each does its own, alone."""


class _Place(Generic[T]):
    """One who waits in line. `leads`: it is his turn to do what has come."""

    def __init__(self, item: T) -> None:
        self.item = item
        self.leads = False
        self.failure: Exception | None = None
        self._turn = threading.Lock()  # held until it is called: an Event takes five times as long
        self._turn.acquire()

    def wait(self, seconds: float = -1) -> bool:
        return self._turn.acquire(timeout=seconds)

    def call(self, failure: Exception | None = None, *, leads: bool = False) -> None:
        self.failure, self.leads = failure, leads
        self._turn.release()


class Gathering(Generic[T]):
    """`run` does all that it is given, or raises and has done nothing.

    Nobody waits for company: who comes while nobody is at work runs his own at once. Who comes meanwhile waits for him,
    and the first of them then runs what has come by then, at most `most`, in the order in which it came.
    """

    def __init__(self, run: Callable[[Sequence[T]], None], most: int) -> None:
        self._run, self._most = run, most
        self._lock = threading.Lock()
        self._line: deque[_Place[T]] = deque()
        self._is_at_work = False

    def do(self, item: T, seconds: float = SECONDS) -> None:
        """Return when it is done, by whomever.

        Raises what `run` raised where it was alone; `Scattered` where it was among several, but for a database that
        failed them all. `OperationalError` after so many seconds in line, and then it is not done; who has begun is
        bounded by the deadlines of the database.
        """
        place = _Place(item)
        if not self._begins_at_once(place):
            if not place.wait(seconds):
                if self._leaves(place):
                    raise OperationalError(
                        "the line of those who want to store something did not move in time"
                    )
                place.wait()
            if place.failure is not None:
                raise place.failure
            if not place.leads:
                return
        self._lead(place)

    def _begins_at_once(self, place: _Place[T]) -> bool:
        with self._lock:
            if self._is_at_work:
                self._line.append(place)
                return False
            self._is_at_work = True
            return True

    def _leaves(self, place: _Place[T]) -> bool:
        """Out of the line after too long a wait; False where it is in nobody's line any more, but being done."""
        with self._lock:
            is_in_line = place in self._line
            if is_in_line:
                self._line.remove(place)
            return is_in_line

    def _lead(self, place: _Place[T]) -> None:
        with self._lock:
            others = [self._line.popleft() for _ in range(min(len(self._line), self._most - 1))]
        try:
            self._run([place.item, *(each.item for each in others)])
        except BaseException as error:
            self._end(others, error)
            if others and isinstance(error, Exception):
                raise _for_each(error) from error
            raise
        self._end(others, None)

    def _end(self, others: Sequence[_Place[T]], error: BaseException | None) -> None:
        self._hand_on()
        for each in others:
            each.call(None if error is None else _for_each(error))

    def _hand_on(self) -> None:
        with self._lock:
            if self._line:
                self._line.popleft().call(leads=True)
            else:
                self._is_at_work = False


def _for_each(error: BaseException) -> Exception:
    """What each of several is told, an error of his own."""
    return type(error)(*error.args) if isinstance(error, _FOR_ALL) else Scattered()


MOST = 8  # in one commit


class _Work:
    """What one thread wants done, and what came of it."""

    __slots__ = ("result", "run")

    def __init__(self, run: Callable[[], Any]) -> None:
        self.run = run
        self.result: Any = None


def commit(work: Callable[[], T], *, is_one_statement: bool = False) -> T:
    """Run this in a transaction; when that is committed, return what it returned.

    It may run in another thread, and again where it, or what shared a transaction with it, raised something. So it
    reads and writes rows, waits for nobody, and asks nothing of the thread that it comes from.
    `is_one_statement`: it writes by `database.write_batch.together`, once.
    """
    link = current()
    if link.vendor != "sqlite" or link.in_atomic_block:
        return _alone(work, is_one_statement)
    mine = _Work(work)
    try:
        _gathering.do(mine)
    except Scattered:
        return _alone(work, is_one_statement)
    result: T = mine.result
    return result


def _alone(work: Callable[[], T], is_one_statement: bool) -> T:
    with one_commit() if is_one_statement else transaction.atomic():
        return work()


def _together(works: Sequence[_Work]) -> None:
    with transaction.atomic():
        for each in works:
            each.result = each.run()


_gathering = Gathering(_together, MOST)
