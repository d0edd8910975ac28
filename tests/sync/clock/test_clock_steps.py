"""A step of the machine's clock ends no lease of a living process, and nothing waits for it (SQLite)."""

import os
import threading
import time
from collections.abc import Callable
from datetime import timedelta
from types import SimpleNamespace
from unittest.mock import Mock
from uuid import uuid4

import pytest
from django.conf import settings
from django.db import OperationalError
from django.db.models import F
from django.utils import timezone

from database.clock import ClockWatch, database_now
from sync.clock import clock_steps
from sync.deliveries.due_deliveries import find_due_ids
from sync.deliveries.expired_leases import release_expired_leases
from sync.jobs.running_job import LEASE_SECONDS as JOB_LEASE_SECONDS
from sync.models import Attempt, Breaker, Connection, Delivery, Job, Recheck
from tests.support.database.expired_leases import expired_deliveries
from tests.support.threads import in_threads
from webhooks.models import State

pytestmark = [pytest.mark.only_sqlite, pytest.mark.concurrent, pytest.mark.usefixtures("database")]


ClockStep = Callable[[timedelta], None]


@pytest.fixture
def clock_step(monkeypatch: pytest.MonkeyPatch) -> ClockStep:
    """Return a function that sets the clock of the machine: what is stored moves the other way."""
    # Another test may have set it.
    monkeypatch.setattr(clock_steps, "_clock_watch", ClockWatch())

    def step(by: timedelta) -> None:
        real = time.time
        monkeypatch.setattr(
            "database.clock.time",
            SimpleNamespace(time=lambda: real() + by.total_seconds(), monotonic=time.monotonic),
        )
        Delivery.objects.update(lease_until=F("lease_until") - by)

    return step


@pytest.mark.promise("I20")
@pytest.mark.parametrize("days", [1, -1])
def test_leases_survive_a_step_of_the_clock(clock_step: ClockStep, days: int) -> None:
    (key,) = expired_deliveries(1)
    until = timezone.now() + timedelta(seconds=settings.LEASE_SECONDS)
    Delivery.objects.update(lease_until=until)
    clock_step(timedelta(days=days))
    assert release_expired_leases(10) == 0
    delivery = Delivery.objects.get(pk=key)
    assert delivery.state == State.RUNNING
    assert until - timedelta(seconds=1) < delivery.lease_until < until + timedelta(seconds=60)
    assert release_expired_leases(10) == 0, "the step is over"
    Delivery.objects.update(lease_until=timezone.now() - timedelta(seconds=1))
    assert release_expired_leases(10) == 1


def test_a_job_of_a_dead_process_is_not_held_by_a_clock_that_was_set_back(clock_step: ClockStep) -> None:
    ahead = timezone.now() + timedelta(hours=3)
    running = {"state": "running", "token": uuid4(), "lease_until": ahead}
    Job.objects.create(kind="export", subject=1, submitted_at=ahead, **running)
    clock_step(-timedelta(hours=3))
    release_expired_leases(10)
    left = Job.objects.get().lease_until - timezone.now()
    assert left <= timedelta(seconds=JOB_LEASE_SECONDS)


@pytest.mark.promise("I20")
def test_nothing_waits_for_the_time_that_the_clock_was_set_back_by(clock_step: ClockStep) -> None:
    """Deliveries that were stored while the clock ran ahead become due without that delay."""
    new, retried = expired_deliveries(2)
    ahead, back_off = timedelta(hours=3), timedelta(hours=1)
    running_ahead = timezone.now() + ahead
    Delivery.objects.update(state=State.PENDING, lease_until=None, token=None, due_at=running_ahead)
    Delivery.objects.filter(pk=retried).update(state=State.RETRYING, due_at=running_ahead + back_off)
    paused = Connection.objects.create(name="Paused", slug="paused", side="target")
    Breaker.objects.create(connection=paused, open_until=running_ahead + timedelta(seconds=60))
    job = Job.objects.create(kind="export", subject=1, submitted_at=running_ahead, due_at=running_ahead)
    clock_step(-ahead)
    release_expired_leases(10)
    assert find_due_ids(10) == [new]
    wait = Delivery.objects.get(pk=retried).due_at - timezone.now()
    assert back_off - timedelta(seconds=30) < wait <= back_off
    open_until = Breaker.objects.get(pk=paused.pk).open_until
    assert timedelta(seconds=30) < open_until - timezone.now() <= timedelta(seconds=60)
    assert Job.objects.filter(pk=job.pk, due_at__lte=database_now()).exists()


def test_no_retry_comes_before_the_time_that_the_remote_system_asked_for(
    clock_step: ClockStep, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However many processes notice that the clock was set back."""
    small, long_ahead = expired_deliveries(2)
    asked, cap = timedelta(minutes=10), timedelta(hours=1)
    until = timezone.now() + asked
    waiting = {"state": State.RETRYING, "lease_until": None, "token": None}
    Delivery.objects.update(**waiting, due_at=until, not_before=until)
    much_later = until + timedelta(days=1)
    Delivery.objects.filter(pk=long_ahead).update(due_at=much_later, not_before=much_later)
    watches = [ClockWatch() for _ in range(4)]
    clock_step(-timedelta(minutes=3))
    for watch in watches:
        monkeypatch.setattr(clock_steps, "_clock_watch", watch)
        release_expired_leases(10)
    first, second = (Delivery.objects.get(pk=key) for key in (small, long_ahead))
    assert first.due_at == first.not_before == until
    assert second.due_at == second.not_before <= timezone.now() + cap


def test_a_forked_process_ignores_earlier_steps_of_the_clock(clock_step: ClockStep) -> None:
    """A web server forks processes long after it loaded the application."""
    clock_step(-timedelta(hours=1))
    reader, writer = os.pipe()
    child = os.fork()
    if not child:
        os.write(writer, str(clock_steps._clock_watch.handle_step(lambda _: None)).encode())
        os._exit(0)
    os.waitpid(child, 0)
    assert os.read(reader, 100) == b"False"
    os.close(reader)
    os.close(writer)


def test_a_step_of_the_clock_is_not_lost_if_the_database_fails(
    clock_step: ClockStep, monkeypatch: pytest.MonkeyPatch
) -> None:
    (key,) = expired_deliveries(1)
    due_at = timezone.now() + timedelta(hours=2)
    Delivery.objects.update(state=State.RETRYING, lease_until=None, token=None, due_at=due_at)
    clock_step(-timedelta(hours=1))
    with monkeypatch.context() as failing:
        failing.setattr(Breaker.objects, "filter", Mock(side_effect=OperationalError("database is locked")))
        with pytest.raises(OperationalError):
            release_expired_leases(10)
    assert Delivery.objects.get(pk=key).due_at == due_at, "half of it was stored"
    release_expired_leases(10)
    moved = due_at - Delivery.objects.get(pk=key).due_at
    assert timedelta(minutes=59) < moved < timedelta(minutes=61)


def test_no_thread_releases_a_living_delivery_while_another_one_adjusts_the_leases(
    clock_step: ClockStep, monkeypatch: pytest.MonkeyPatch
) -> None:
    (key,) = expired_deliveries(1)
    Delivery.objects.update(lease_until=timezone.now() + timedelta(seconds=settings.LEASE_SECONDS))
    clock_step(timedelta(hours=1))
    is_adjusting, has_released = threading.Event(), threading.Event()
    renew_leases = clock_steps._renew_leases

    def renew_slowly(step: float) -> None:
        is_adjusting.set()
        # Until the other thread waits, or has released the delivery.
        has_released.wait(0.5)
        renew_leases(step)

    def release(number: int) -> int:
        if number:
            assert is_adjusting.wait(60)
        count = release_expired_leases(10)
        has_released.set()
        return count

    monkeypatch.setattr(clock_steps, "_adjust_times", renew_slowly)
    assert sum(in_threads(release, 2)) == 0
    assert Delivery.objects.get(pk=key).state == State.RUNNING


def test_later_re_checks_do_not_wait_for_the_time_that_the_clock_was_set_back_by(
    clock_step: ClockStep,
) -> None:
    expired_deliveries(1)
    ahead = timezone.now() + timedelta(hours=3)
    Recheck.objects.create(attempt=Attempt.objects.get(), began_at=ahead, due_at=ahead)
    clock_step(-timedelta(hours=3))
    release_expired_leases(10)
    recheck = Recheck.objects.get()
    assert recheck.began_at <= timezone.now()
    assert recheck.due_at <= timezone.now()
