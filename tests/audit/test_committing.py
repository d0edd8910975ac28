"""What several threads do at the same moment is committed together on SQLite, and nobody pays for another."""

import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import pytest
from django.db import IntegrityError, connection, transaction
from django.db.backends.base.base import BaseDatabaseWrapper

from audit import committing
from audit.committing import commit
from audit.log import Happening, append
from audit.models import Entry
from tests.support.threads import wait_until

pytestmark = pytest.mark.usefixtures("database")


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
            wait_until(lambda number=number: not is_sqlite or len(committing._gathering._line) == number)
        go.set()
    return ended


def test_each_gets_what_its_own_work_returned(monkeypatch: pytest.MonkeyPatch) -> None:
    commits = Commits(monkeypatch)
    ended = at_once(*(note(name) for name in "abcde"))
    assert [each.result() for each in ended] == ["A", "B", "C", "D", "E"]
    assert sorted(noted()) == ["a", "b", "c", "d", "e"]
    assert commits.count == (2 if connection.vendor == "sqlite" else 5)


def test_one_that_fails_leaves_nothing_and_the_others_all() -> None:
    def fails() -> None:
        note("lost")()
        raise IntegrityError("mine alone")

    ended = at_once(note("a"), note("b"), fails, note("c"))
    assert [ended[place].result() for place in (0, 1, 3)] == ["A", "B", "C"]
    with pytest.raises(IntegrityError, match="mine alone"):
        ended[2].result()
    assert sorted(noted()) == ["a", "b", "c"]


def test_within_a_transaction_it_belongs_to_that(monkeypatch: pytest.MonkeyPatch) -> None:
    """In line it would wait for somebody who waits for this transaction."""
    monkeypatch.setattr(committing, "_gathering", None)

    def undone() -> None:
        with transaction.atomic():
            assert commit(note("undone")) == "UNDONE"
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        undone()
    assert noted() == []
