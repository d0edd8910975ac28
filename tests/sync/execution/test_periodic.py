"""Periodic work: started once, by the first worker that finds it due."""

import threading
from collections.abc import Iterator
from datetime import UTC, datetime, time, timedelta

import pytest
from django.db import connections
from django.utils import timezone

from sync.execution.periodic import DailyAt, EverySeconds, ScheduledWork, run_due_work
from sync.models import PeriodicTask

pytestmark = pytest.mark.concurrent

NIGHTLY = DailyAt(time(3, 0))
# Within a minute of its time, a due time of the next day is no sign of a clock that ran ahead.
IN_TWELVE_HOURS = DailyAt((datetime.now(UTC) + timedelta(hours=12)).time())


class Counted:
    """Work that counts how often it ran."""

    def __init__(self) -> None:
        self.ran: list[datetime] = []

    def __call__(self) -> None:
        self.ran.append(timezone.now())


@pytest.fixture
def counted(database: None) -> Iterator[Counted]:
    return Counted()


def make_due(name: str) -> None:
    PeriodicTask.objects.filter(name=name).update(due_at=timezone.now() - timedelta(days=3))


def test_periodic_work_runs_when_due_and_once_for_all_missed_times(counted: Counted) -> None:
    works = (ScheduledWork("counted", EverySeconds(3600), counted),)
    assert run_due_work(works) == []
    assert run_due_work(works) == [], "it is due in an hour"
    make_due("counted")
    assert [run_due_work(works), run_due_work(works)] == [["counted"], []]
    assert len(counted.ran) == 1
    assert PeriodicTask.objects.get().ended_at is not None


@pytest.mark.promise("I20")
@pytest.mark.parametrize("schedule", [EverySeconds(3600), IN_TWELVE_HOURS], ids=["hourly", "daily"])
def test_a_clock_that_was_a_day_ahead_delays_nothing_after_its_correction(
    counted: Counted, schedule: EverySeconds | DailyAt
) -> None:
    works = (ScheduledWork("counted", schedule, counted),)
    run_due_work(works)
    ahead = schedule.next_after(timezone.now() + timedelta(days=1))
    PeriodicTask.objects.update(due_at=ahead)
    assert [run_due_work(works), run_due_work(works)] == [["counted"], []]
    assert PeriodicTask.objects.get().due_at < ahead


def test_many_workers_at_the_same_moment_start_periodic_work_once(counted: Counted) -> None:
    works = (ScheduledWork("counted", NIGHTLY, counted),)
    run_due_work(works)
    make_due("counted")
    barrier = threading.Barrier(6)

    def look() -> None:
        barrier.wait(60)
        try:
            run_due_work(works)
        finally:
            connections.close_all()

    threads = [threading.Thread(target=look) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(counted.ran) == 1


def test_failing_work_does_not_prevent_other_work(counted: Counted) -> None:
    works = (
        ScheduledWork("broken", EverySeconds(1), lambda: 1 / 0),
        ScheduledWork("counted", EverySeconds(1), counted),
    )
    run_due_work(works)
    make_due("broken")
    make_due("counted")
    assert run_due_work(works) == ["counted"]
    assert PeriodicTask.objects.get(name="broken").ended_at is None
    assert PeriodicTask.objects.get(name="broken").due_at > timezone.now() - timedelta(days=1)


@pytest.mark.parametrize(
    ("moment", "following"),
    [
        (datetime(2026, 3, 1, 2, 59, tzinfo=UTC), datetime(2026, 3, 1, 3, tzinfo=UTC)),
        (datetime(2026, 3, 1, 3, 0, tzinfo=UTC), datetime(2026, 3, 2, 3, tzinfo=UTC)),
        (datetime(2026, 12, 31, 23, 0, tzinfo=UTC), datetime(2027, 1, 1, 3, tzinfo=UTC)),
    ],
)
def test_the_next_time_of_daily_work_is_in_the_future(moment: datetime, following: datetime) -> None:
    assert NIGHTLY.next_after(moment) == following
