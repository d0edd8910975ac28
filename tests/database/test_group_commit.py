"""Threads that commit at the same time share one commit, and none of them pays for another."""

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from typing import Any

import pytest
from django.db import IntegrityError, OperationalError, connection, transaction
from django.db.backends.base.base import BaseDatabaseWrapper

from audit.entries.append import Happening, append
from audit.models import Entry
from database import group_commit
from database.group_commit import Gathering, Scattered, commit
from tests.support.threads import wait_until


class Work:
    """What a gathering is given. The first is held up until `go`."""

    def __init__(self, error: Callable[[Sequence[str]], Exception | None] = lambda _: None) -> None:
        self.runs: list[list[str]] = []
        self.begun, self.go = threading.Event(), threading.Event()
        self._error = error

    def __call__(self, items: Sequence[str]) -> None:
        self.runs.append(list(items))
        if len(self.runs) == 1:
            self.begun.set()
            assert self.go.wait(20)
        error = self._error(items)
        if error is not None:
            raise error


def gather(work: Work, names: str, most: int = 4) -> dict[str, Future[None]]:
    """Hand the first one in, all others while it runs, in this order; when all have ended."""
    gathering = Gathering(work, most)
    with ThreadPoolExecutor(len(names)) as threads:
        ended = {names[0]: threads.submit(gathering.do, names[0])}
        assert work.begun.wait(20)
        for number, name in enumerate(names[1:], 1):
            ended[name] = threads.submit(gathering.do, name)
            wait_until(lambda number=number: len(gathering._line) == number)
        work.go.set()
    return ended


def test_who_comes_meanwhile_is_done_together_and_in_order() -> None:
    work = Work()
    ended = gather(work, "abcdefg")
    assert work.runs == [["a"], ["b", "c", "d", "e"], ["f", "g"]]
    assert [each.result() for each in ended.values()] == [None] * 7


def test_nobody_waits_for_company() -> None:
    work = Work()
    work.go.set()
    gathering = Gathering(work, 4)
    for name in "abc":
        gathering.do(name)
    assert work.runs == [["a"], ["b"], ["c"]]


def test_nobody_goes_on_before_all_of_it_is_done() -> None:
    ended: list[str] = []
    work = Work()
    gathering = Gathering(work, 4)

    def do(name: str) -> None:
        gathering.do(name)
        ended.append(name)

    with ThreadPoolExecutor(3) as threads:
        threads.submit(do, "a")
        assert work.begun.wait(20)
        held = threading.Event()
        work._error = lambda items: None if items == ["a"] or held.wait(20) else AssertionError("late")
        for number, name in enumerate("bc", 1):
            threads.submit(do, name)
            wait_until(lambda number=number: len(gathering._line) == number)
        work.go.set()
        wait_until(lambda: len(work.runs) == 2)
        assert ended in ([], ["a"])
        held.set()
    assert sorted(ended) == ["a", "b", "c"]


def test_an_error_of_one_alone_is_his() -> None:
    work = Work(lambda items: IntegrityError("known") if items == ["a"] else None)
    ended = gather(work, "ab")
    with pytest.raises(IntegrityError, match="known"):
        ended["a"].result()
    assert ended["b"].result() is None


def test_an_error_of_several_sends_each_on_his_own_way() -> None:
    work = Work(lambda items: IntegrityError("one of them") if len(items) > 1 else None)
    ended = gather(work, "abcd")
    assert ended.pop("a").result() is None
    for each in ended.values():
        with pytest.raises(Scattered):
            each.result()


def test_a_database_that_is_away_is_away_for_all_of_them() -> None:
    work = Work(lambda items: OperationalError("away") if len(items) > 1 else None)
    ended = gather(work, "abcd")
    errors = [ended[name].exception() for name in "bcd"]
    assert [type(each) for each in errors] == [OperationalError] * 3
    assert len({id(each) for each in errors}) == 3, "each has an error of his own"


def test_the_line_goes_on_after_an_error_and_after_a_thread_that_was_ended() -> None:
    class Ended(BaseException):
        pass

    def error(items: Sequence[str]) -> Any:
        return Ended() if items[0] == "b" else None

    work = Work(error)
    ended = gather(work, "abcd", most=2)
    assert work.runs == [["a"], ["b", "c"], ["d"]]
    assert isinstance(ended["b"].exception(), Ended)
    assert isinstance(ended["c"].exception(), Scattered)
    assert ended["d"].result() is None


def test_a_line_that_does_not_move_is_left() -> None:
    work = Work()
    gathering = Gathering(work, 4)
    with ThreadPoolExecutor(1) as threads:
        first = threads.submit(gathering.do, "a")
        assert work.begun.wait(20)
        with pytest.raises(OperationalError, match="did not move"):
            gathering.do("b", seconds=0.05)
        work.go.set()
        first.result()
    gathering.do("c")
    assert work.runs == [["a"], ["c"]]


def test_what_is_being_done_is_waited_for_and_what_was_left_is_never_done() -> None:
    """Otherwise somebody would be told that nothing was stored, and it were."""
    work, held = Work(), threading.Event()
    work._error = lambda items: None if items == ["a"] or held.wait(20) else AssertionError("late")
    gathering = Gathering(work, 2)
    with ThreadPoolExecutor(3) as threads:
        threads.submit(gathering.do, "a")
        assert work.begun.wait(20)
        leader = threads.submit(gathering.do, "b")
        wait_until(lambda: len(gathering._line) == 1)
        other = threads.submit(gathering.do, "c", 0.3)
        wait_until(lambda: len(gathering._line) == 2)
        work.go.set()
        wait_until(lambda: len(work.runs) == 2)
        assert not wait([other], timeout=0.6).done, "it gave up what was being done"
        with pytest.raises(OperationalError):
            gathering.do("d", seconds=0.05)
        held.set()
        assert (leader.result(), other.result()) == (None, None)
    assert work.runs == [["a"], ["b", "c"]]


def note(name: str) -> Callable[[], str]:
    """Work that leaves an entry."""

    def work() -> str:
        append(Happening(f"test:{name}", "test.one"))
        return name.upper()

    return work


def noted() -> list[str]:
    return [
        each.removeprefix("test:") for each in Entry.objects.order_by("pk").values_list("stream", flat=True)
    ]


class Commits:
    """Counts them, of all threads."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.count = 0
        commit = BaseDatabaseWrapper.commit

        def counted(link: Any) -> Any:
            self.count += 1
            return commit(link)

        monkeypatch.setattr(BaseDatabaseWrapper, "commit", counted)


def at_once(*works: Callable[[], Any]) -> list[Future[Any]]:
    """The first is held up until the others are there."""
    begun, go = threading.Event(), threading.Event()

    def held() -> Any:
        begun.set()
        assert go.wait(20)
        return works[0]()

    def run(work: Callable[[], Any]) -> Any:
        try:
            return commit(work)
        finally:
            connection.close()

    is_sqlite = connection.vendor == "sqlite"
    with ThreadPoolExecutor(len(works)) as threads:
        ended = [threads.submit(run, held)]
        assert begun.wait(20)
        for number, each in enumerate(works[1:], 1):
            ended.append(threads.submit(run, each))
            wait_until(lambda number=number: not is_sqlite or len(group_commit._gathering._line) == number)
        go.set()
    return ended


@pytest.mark.usefixtures("database")
def test_each_gets_what_its_own_work_returned(monkeypatch: pytest.MonkeyPatch) -> None:
    commits = Commits(monkeypatch)
    ended = at_once(*(note(name) for name in "abcde"))
    assert [each.result() for each in ended] == ["A", "B", "C", "D", "E"]
    assert sorted(noted()) == ["a", "b", "c", "d", "e"]
    assert commits.count == (2 if connection.vendor == "sqlite" else 5)


@pytest.mark.usefixtures("database")
def test_one_that_fails_leaves_nothing_and_the_others_all() -> None:
    def fails() -> None:
        note("lost")()
        raise IntegrityError("mine alone")

    ended = at_once(note("a"), note("b"), fails, note("c"))
    assert [ended[place].result() for place in (0, 1, 3)] == ["A", "B", "C"]
    with pytest.raises(IntegrityError, match="mine alone"):
        ended[2].result()
    assert sorted(noted()) == ["a", "b", "c"]


@pytest.mark.usefixtures("database")
def test_within_a_transaction_it_belongs_to_that(monkeypatch: pytest.MonkeyPatch) -> None:
    """In line it would wait for somebody who waits for this transaction."""
    monkeypatch.setattr(group_commit, "_gathering", None)

    def undone() -> None:
        with transaction.atomic():
            assert commit(note("undone")) == "UNDONE"
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        undone()
    assert noted() == []
