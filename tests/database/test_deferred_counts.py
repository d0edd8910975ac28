"""Counts in memory are all written, in sums, also when the database was away for a while."""

import threading
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import nullcontext

import pytest
from django.db import OperationalError

from database import deferred_counts
from database.deferred_counts import DeferredCounts

pytestmark = pytest.mark.pure


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


def test_counts_of_many_threads_that_flush_meanwhile_are_all_written(sums: Sums) -> None:
    counts = DeferredCounts(sums.write, int.__add__, "tests")

    def count(number: int) -> None:
        for turn in range(500):
            counts.add("a", 1)
            if turn % 50 == number:
                counts.flush()

    with ThreadPoolExecutor(1) as flushing:
        flushing.submit(count, 1)
        for _ in range(500):
            counts.add("a", 1)
    counts.flush()
    assert sums.written == {"a": 1000}


@pytest.mark.parametrize("is_broken", [False, True])
def test_a_flush_waits_for_one_that_has_begun(
    sums: Sums, monkeypatch: pytest.MonkeyPatch, is_broken: bool
) -> None:
    begun, go_on = threading.Event(), threading.Event()

    def write(key: str, times: int) -> None:
        begun.set()
        assert go_on.wait(10)
        sums.write(key, times)

    counts = DeferredCounts(write, int.__add__, "tests")
    if is_broken:
        monkeypatch.setattr(counts, "_flush_lock", nullcontext())
    counts.add("a", 1)
    with ThreadPoolExecutor(2) as threads:
        threads.submit(counts.flush)
        assert begun.wait(10)
        second = threads.submit(counts.flush)
        waits = bool(wait([second], 20 if is_broken else 0.2).not_done)
        go_on.set()
        second.result(10)
        assert waits is not is_broken
    assert sums.written == {"a": 1}


def test_a_flush_replaces_the_scheduled_one(sums: Sums) -> None:
    counts = DeferredCounts(sums.write, int.__add__, "tests")
    counts.add("a", 1)
    scheduled = counts._timer
    counts.flush()
    assert scheduled is not None
    assert scheduled.finished.is_set()
