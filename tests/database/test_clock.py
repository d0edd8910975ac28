"""The database's clock: the same time when read, stored by a queryset or by a statement; steps of the machine's clock."""

import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from datetime import timedelta
from threading import Barrier, BrokenBarrierError
from types import SimpleNamespace

import pytest
from django.db import transaction

from database.clock import ClockWatch, database_now, read_clock
from database.statement import Statement
from database.values import parse_timestamp
from tests.support.threads import wait_until
from webhooks.models import RateLimitState

pytestmark = [pytest.mark.django_db, pytest.mark.concurrent]
SECOND = timedelta(seconds=1)


def test_the_clock_advances_within_a_transaction() -> None:
    with transaction.atomic():
        RateLimitState.objects.create(key="a", free_at=database_now())
        stored, first = RateLimitState.objects.get().free_at, read_clock()
        assert stored <= first
        wait_until(lambda: read_clock() > first)
        RateLimitState.objects.update(free_at=database_now())
        assert RateLimitState.objects.get().free_at > first


@pytest.mark.parametrize("seconds", [0.0, 90.5, -90.5])
def test_a_queryset_and_a_statement_mean_the_same_time(seconds: float) -> None:
    RateLimitState.objects.create(key="a", free_at=database_now(plus_seconds=seconds))
    (by_statement,) = Statement("SELECT {clock}").fetch_all(seconds)[0]
    by_queryset = RateLimitState.objects.get().free_at
    later = timedelta(seconds=seconds)
    assert timedelta(0) <= parse_timestamp(by_statement) - by_queryset < SECOND
    assert timedelta(0) <= read_clock() + later - by_queryset < SECOND


def test_a_step_is_handled_by_one_of_many_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    watch, handled, second = ClockWatch(), [], Barrier(2)
    set_clock(monkeypatch, 3600)

    def handle(step: float) -> None:
        # Until another thread handles it too, which the lock prevents.
        with suppress(BrokenBarrierError):
            second.wait(0.2)
            second.abort()
        handled.append(round(step))

    with ThreadPoolExecutor(8) as threads:
        answers = list(threads.map(lambda _: watch.handle_step(handle), range(8)))
    assert handled == [3600]
    assert sorted(answers) == [False] * 7 + [True]


def test_a_step_whose_handling_fails_is_handled_by_the_next_call(monkeypatch: pytest.MonkeyPatch) -> None:
    watch, handled = ClockWatch(), []
    set_clock(monkeypatch, -90)
    with pytest.raises(ZeroDivisionError):
        watch.handle_step(lambda step: handled.append(step / 0))
    assert watch.handle_step(lambda step: handled.append(round(step)))
    assert not watch.handle_step(handled.append)
    assert handled == [-90]


def test_less_than_a_second_is_no_step(monkeypatch: pytest.MonkeyPatch) -> None:
    watch = ClockWatch()
    for seconds in (0.5, 1.0, 1.5):
        set_clock(monkeypatch, seconds)
        assert not watch.handle_step(pytest.fail)


def set_clock(monkeypatch: pytest.MonkeyPatch, by: float) -> None:
    """Set the clock of the machine so many seconds off, as `database.clock` reads it."""
    off = SimpleNamespace(time=lambda: time.time() + by, monotonic=time.monotonic)
    monkeypatch.setattr("database.clock.time", off)
