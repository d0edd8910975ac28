"""Cached reads are used for a while: never beyond it, refreshed by one thread, and no other waits."""

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import pytest

from database import cached_read as cached_read_module
from database.cached_read import CachedRead, cached_read

pytestmark = [pytest.mark.pure, pytest.mark.concurrent]


class Clock:
    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 100.0
        monkeypatch.setattr(cached_read_module, "monotonic", lambda: self.now)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    return Clock(monkeypatch)


class Held:
    """A read that waits until it may continue. `begun` is set when it starts."""

    def __init__(self) -> None:
        self.reads = 0
        self.begun, self.go = threading.Event(), threading.Event()

    def __call__(self) -> int:
        self.reads += 1
        mine = self.reads
        self.begun.set()
        assert self.go.wait(60)
        return mine


@pytest.fixture
def held() -> Held:
    return Held()


def test_a_value_is_refreshed_before_it_expires_and_never_used_afterwards(clock: Clock) -> None:
    reads: list[float] = []
    read = cached_read(1.0)(lambda: reads.append(clock.now) or clock.now)  # type: ignore[func-returns-value]
    assert [read(), read()] == [100.0, 100.0]
    clock.now = 100.74
    assert read() == 100.0
    clock.now = 100.75
    assert read() == 100.75, "the first that asks gets the new one"
    clock.now = 109.0
    assert read() == 109.0
    assert reads == [100.0, 100.75, 109.0]


def test_the_age_of_a_value_counts_from_the_start_of_its_read(clock: Clock) -> None:
    """The result of a slow read may be outdated when it arrives."""

    def slowly() -> float:
        began = clock.now
        clock.now += 0.8
        return began

    read = cached_read(1.0)(slowly)
    assert read() == 100.0
    clock.now = 101.0
    assert read() == 101.0


@contextmanager
def read_anew(clock: Clock, held: Held) -> Iterator[tuple[CachedRead[[], int], ThreadPoolExecutor]]:
    """Something known, which a thread reads anew, and others that may ask; in the end it has read it."""
    read = cached_read(1.0)(held)
    held.go.set()
    assert read() == 1
    held.go.clear()
    held.begun.clear()
    clock.now += 0.8
    with ThreadPoolExecutor(8) as threads:
        first = threads.submit(read)
        assert held.begun.wait(60)
        held.begun.clear()
        yield read, threads
        held.go.set()
        assert first.result(60) == 2


def test_one_thread_refreshes_a_value_and_the_others_use_the_old_one(clock: Clock, held: Held) -> None:
    with read_anew(clock, held) as (read, threads):
        assert [threads.submit(read).result(60) for _ in range(7)] == [1] * 7
        assert held.reads == 2
    assert read() == 2


def test_a_thread_with_an_expired_value_reads_it_itself(clock: Clock, held: Held) -> None:
    with read_anew(clock, held) as (read, threads):
        clock.now += 0.2
        second = threads.submit(read)
        assert held.begun.wait(60), "it reads for itself"
    assert second.result(60) == 3


def test_an_older_read_that_ends_later_is_not_cached(clock: Clock, held: Held) -> None:
    """Otherwise a change would be visible first, and then not."""
    slow = threading.Event()
    reads: list[float] = []

    def reading() -> float:
        reads.append(clock.now)
        mine = clock.now
        if len(reads) == 2:
            held.begun.set()
            assert slow.wait(60)
        return mine

    read = cached_read(1.0)(reading)
    assert read() == 100.0
    clock.now = 100.8
    with ThreadPoolExecutor(1) as threads:
        first = threads.submit(read)
        assert held.begun.wait(60)
        clock.now = 101.0
        assert read() == 101.0
        slow.set()
        assert first.result(60) == 100.8
    assert read() == 101.0


def test_a_refreshed_value_evicts_no_other(clock: Clock) -> None:
    reads: list[str] = []
    read = cached_read(1.0, max_entries=2)(lambda name: reads.append(name) or name)  # type: ignore[func-returns-value]
    assert read("a") == "a"
    clock.now = 100.5
    assert read("b") == "b"
    clock.now = 100.8
    assert [read(key) for key in "ab"] == ["a", "b"]
    assert reads == ["a", "b", "a"], "the other one is known as before"


def test_after_a_failed_read_the_next_thread_tries(clock: Clock) -> None:
    fails = False

    def reading() -> float:
        if fails:
            raise ConnectionError
        return clock.now

    read = cached_read(1.0)(reading)
    assert read() == 100.0
    clock.now, fails = 100.8, True
    for _ in range(2):
        with pytest.raises(ConnectionError):
            read()
    fails = False
    assert read() == 100.8


def test_a_read_that_began_before_an_invalidation_is_not_cached(clock: Clock, held: Held) -> None:
    read = cached_read(1.0)(held)
    with ThreadPoolExecutor(1) as threads:
        first = threads.submit(read)
        assert held.begun.wait(60)
        read.invalidate()
        held.go.set()
        assert first.result(60) == 1
    assert read() == 2


def test_the_number_of_cached_values_is_limited(clock: Clock) -> None:
    read = cached_read(1.0, max_entries=3)(lambda name: name.upper())
    assert [read(key) for key in "abcd"] == list("ABCD")
    assert len(read._values) <= 3


def test_a_lifetime_of_zero_disables_the_cache() -> None:
    reads: list[int] = []
    read = cached_read(0.0)(lambda: reads.append(1) or len(reads))  # type: ignore[func-returns-value]
    assert [read(), read(), read()] == [1, 2, 3]
