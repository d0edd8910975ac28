"""Counts in memory are all written, in sums, also when the database was away for a while."""

import threading
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
from django.db import OperationalError

from database import deferred_counts
from database.deferred_counts import DeferredCounts

pytestmark = [pytest.mark.pure, pytest.mark.concurrent]


class Sums:
    """Sums as a database would hold them. While `is_away`, each write fails."""

    def __init__(self) -> None:
        self.written: Counter[str] = Counter()
        self.writes = 0
        self.is_away = False

    def write(self, key: str, times: int) -> None:
        if self.is_away:
            raise OperationalError("away")
        self.written[key] += times
        self.writes += 1


@pytest.fixture
def sums(monkeypatch: pytest.MonkeyPatch) -> Iterator[Sums]:
    monkeypatch.setattr(deferred_counts, "FLUSH_SECONDS", 3600.0)
    return Sums()


def test_many_counts_of_a_key_are_one_write(sums: Sums) -> None:
    counts = DeferredCounts(sums.write, int.__add__, "tests")
    for _ in range(1000):
        counts.add("a", 1)
    counts.add("b", 1)
    assert (len(counts), "a" in counts, sums.writes) == (2, True, 0)
    counts.flush()
    assert (sums.written, sums.writes, len(counts)) == ({"a": 1000, "b": 1}, 2, 0)


def test_counts_that_could_not_be_written_are_merged_with_later_ones(sums: Sums) -> None:
    counts = DeferredCounts(sums.write, int.__add__, "tests")
    for _ in range(3):
        counts.add("a", 1)
        counts.add("b", 1)
        sums.is_away = True
        counts.flush()
    sums.is_away = False
    counts.flush()
    assert sums.written == {"a": 3, "b": 3}


def test_an_earlier_and_a_later_count_are_merged_in_their_order(sums: Sums) -> None:
    texts: dict[str, str] = {}

    def write(key: str, text: str) -> None:
        if sums.is_away:
            raise OperationalError("away")
        texts[key] = text

    counts = DeferredCounts(write, str.__add__, "tests")
    sums.is_away = True
    counts.add("a", "1")
    counts.flush()
    counts.add("a", "2")
    sums.is_away = False
    counts.flush()
    assert texts == {"a": "12"}


class WatchedLock:
    """A lock that says when a second thread asks for it."""

    def __init__(self) -> None:
        self._lock, self.asked = threading.Lock(), threading.Event()

    def __enter__(self) -> None:
        if self._lock.locked():
            self.asked.set()
        self._lock.acquire()

    def __exit__(self, *_: object) -> None:
        self._lock.release()


def test_a_flush_waits_for_one_that_has_begun(sums: Sums, monkeypatch: pytest.MonkeyPatch) -> None:
    begun, go_on, lock = threading.Event(), threading.Event(), WatchedLock()

    def write(key: str, times: int) -> None:
        begun.set()
        assert go_on.wait(60)
        sums.write(key, times)

    counts = DeferredCounts(write, int.__add__, "tests")
    monkeypatch.setattr(counts, "_flush_lock", lock)
    counts.add("a", 1)
    with ThreadPoolExecutor(2) as threads:
        first = threads.submit(counts.flush)
        assert begun.wait(60)
        second = threads.submit(counts.flush)
        try:
            assert lock.asked.wait(60)
            assert not second.done()
        finally:
            go_on.set()
        first.result(60)
        second.result(60)
    assert sums.written == {"a": 1}


def test_a_flush_replaces_the_scheduled_one(sums: Sums) -> None:
    counts = DeferredCounts(sums.write, int.__add__, "tests")
    counts.add("a", 1)
    scheduled = counts._timer
    counts.flush()
    assert scheduled is not None
    assert scheduled.finished.is_set()
