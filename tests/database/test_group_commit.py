"""Threads that store at the same time share one commit, and none of them fails because of another."""

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from typing import Any

import pytest
from django.db import IntegrityError, OperationalError

from database.group_commit import GroupCommit
from tests.support.threads import wait_until

pytestmark = pytest.mark.concurrent


class Work:
    """The commits of a group commit. The first one waits until `go`.

    `error` returns what a commit raises, `error_of` the error of one item.
    """

    def __init__(
        self,
        error: Callable[[Sequence[str]], BaseException | None] = lambda _: None,
        error_of: Callable[[str], Exception | None] = lambda _: None,
    ) -> None:
        self.runs: list[list[str]] = []
        self.begun, self.go = threading.Event(), threading.Event()
        self._error, self._error_of = error, error_of

    def __call__(self, items: Sequence[str]) -> Sequence[Exception | None]:
        self.runs.append(list(items))
        if len(self.runs) == 1:
            self.begun.set()
            assert self.go.wait(60)
        error = self._error(items)
        if error is not None:
            raise error
        return [self._error_of(item) for item in items]


def gather(work: Work, names: str, most: int = 4) -> dict[str, Future[None]]:
    """Hand the first one in, all others while it runs, in this order; when all have ended."""
    group = GroupCommit(work, most)
    with ThreadPoolExecutor(len(names)) as threads:
        ended = {names[0]: threads.submit(group.submit, names[0])}
        assert work.begun.wait(60)
        for number, name in enumerate(names[1:], 1):
            ended[name] = threads.submit(group.submit, name)
            wait_until(lambda number=number: len(group._queue) == number)
        work.go.set()
    return ended


def test_items_that_arrive_meanwhile_are_committed_together_and_in_order() -> None:
    work = Work()
    ended = gather(work, "abcdefg")
    assert work.runs == [["a"], ["b", "c", "d", "e"], ["f", "g"]]
    assert [future.result() for future in ended.values()] == [None] * 7


def test_a_single_item_is_committed_at_once() -> None:
    work = Work()
    work.go.set()
    group = GroupCommit(work, 4)
    for name in "abc":
        group.submit(name)
    assert work.runs == [["a"], ["b"], ["c"]]


def test_no_caller_continues_before_its_group_is_committed() -> None:
    ended: list[str] = []
    work = Work()
    group = GroupCommit(work, 4)

    def do(name: str) -> None:
        group.submit(name)
        ended.append(name)

    with ThreadPoolExecutor(3) as threads:
        threads.submit(do, "a")
        assert work.begun.wait(60)
        held = threading.Event()
        work._error = lambda items: None if items == ["a"] or held.wait(60) else AssertionError("late")
        for number, name in enumerate("bc", 1):
            threads.submit(do, name)
            wait_until(lambda number=number: len(group._queue) == number)
        work.go.set()
        wait_until(lambda: len(work.runs) == 2)
        assert ended in ([], ["a"])
        held.set()
    assert sorted(ended) == ["a", "b", "c"]


def test_the_error_of_an_item_is_raised_to_its_caller_alone() -> None:
    ended = gather(Work(error_of=lambda item: IntegrityError(item) if item in "ac" else None), "abcd")
    for name in "ac":
        with pytest.raises(IntegrityError, match=name):
            ended[name].result()
    assert (ended["b"].result(), ended["d"].result()) == (None, None)


def test_an_unavailable_database_fails_the_whole_group() -> None:
    work = Work(lambda items: OperationalError("away") if len(items) > 1 else None)
    ended = gather(work, "abcd")
    errors = [ended[name].exception() for name in "bcd"]
    assert [type(error) for error in errors] == [OperationalError] * 3
    assert len({id(error) for error in errors}) == 3, "each caller gets its own error"


def test_the_queue_continues_after_an_error_and_after_an_ended_thread() -> None:
    class Ended(BaseException):
        pass

    def error(items: Sequence[str]) -> Any:
        return Ended() if items[0] == "b" else None

    work = Work(error)
    ended = gather(work, "abcd", most=2)
    assert work.runs == [["a"], ["b", "c"], ["d"]]
    assert isinstance(ended["b"].exception(), Ended)
    assert isinstance(ended["c"].exception(), OperationalError)
    assert ended["d"].result() is None


def test_a_caller_of_a_stuck_queue_times_out() -> None:
    work = Work()
    group = GroupCommit(work, 4)
    with ThreadPoolExecutor(2) as threads:
        first = threads.submit(group.submit, "a")
        assert work.begun.wait(60)
        with pytest.raises(OperationalError, match="timed out"):
            threads.submit(group.submit, "b", 0.05).result()
        work.go.set()
        first.result()
    group.submit("c")
    assert work.runs == [["a"], ["c"]]


@pytest.mark.nightly  # it waits longer than a caller may
def test_a_running_commit_is_awaited_and_an_abandoned_item_is_never_committed() -> None:
    """Otherwise a caller would get an error although its item is stored."""
    work, held = Work(), threading.Event()
    work._error = lambda items: None if items == ["a"] or held.wait(60) else AssertionError("late")
    group = GroupCommit(work, 2)
    with ThreadPoolExecutor(4) as threads:
        threads.submit(group.submit, "a")
        assert work.begun.wait(60)
        leader = threads.submit(group.submit, "b")
        wait_until(lambda: len(group._queue) == 1)
        other = threads.submit(group.submit, "c", 2.0)
        wait_until(lambda: len(group._queue) == 2)
        work.go.set()
        wait_until(lambda: len(work.runs) == 2)
        assert not wait([other], timeout=2.3).done, "it gave up what was being done"
        with pytest.raises(OperationalError):
            threads.submit(group.submit, "d", 0.05).result()
        held.set()
        assert (leader.result(), other.result()) == (None, None)
    assert work.runs == [["a"], ["b", "c"]]
