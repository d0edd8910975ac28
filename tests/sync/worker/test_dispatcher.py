"""Dispatch: a due delivery reaches a free thread, and a blocked one is not tried in a loop."""

import threading
from collections.abc import Iterator

import pytest
from django.db import OperationalError

from sync.worker import dispatcher as worker_dispatcher
from sync.worker.dispatcher import DeliveryDispatcher, PollTimes
from sync.worker.work_in_progress import WorkInProgress
from tests.support.processes.workers import wait_until

pytestmark = [pytest.mark.pure, pytest.mark.concurrent]

TIMES = PollTimes(busy=0.1, quiet=0.2, sweep=0.4)


class Stage:
    """In place of the database and of deliveries: `due` is what a look finds, `ran` what was tried, in order."""

    def __init__(self) -> None:
        self.due: list[int] = []
        self.ran: list[int] = []
        self.blocked: set[int] = set()
        self.may_end = threading.Event()
        self.may_end.set()

    def find_due_ids(self, limit: int) -> list[int]:
        return list(self.due[:limit])

    def run(self, delivery_id: int, _: object) -> int:
        self.ran.append(delivery_id)
        self.may_end.wait(10)
        if delivery_id in self.blocked:
            return 0
        self.due.remove(delivery_id)
        return 1


@pytest.fixture
def stage(monkeypatch: pytest.MonkeyPatch) -> Iterator[Stage]:
    found = Stage()
    monkeypatch.setattr(worker_dispatcher, "find_due_ids", found.find_due_ids)
    monkeypatch.setattr(worker_dispatcher, "release_expired_leases", lambda _: 0)
    monkeypatch.setattr(worker_dispatcher, "release_connection", lambda: None)
    monkeypatch.setattr(worker_dispatcher, "run_with_next", found.run)
    yield found
    found.may_end.set()


def dispatcher(threads: int, progress: WorkInProgress | None = None) -> DeliveryDispatcher:
    made = DeliveryDispatcher(threads, TIMES, progress or WorkInProgress())
    made.start(lambda name, target: threading.Thread(target=target, name=name, daemon=True).start())
    return made


def test_each_due_delivery_runs_once(stage: Stage) -> None:
    stage.due = list(range(100))
    made = dispatcher(4)
    wait_until(lambda: made.dispatch_due() > 0 and not stage.due, 60)
    assert sorted(stage.ran) == list(range(100))


def test_a_delivery_in_progress_is_not_dispatched_again(stage: Stage) -> None:
    stage.due = [1, 2]
    stage.may_end.clear()
    made = dispatcher(8)
    assert made.dispatch_due() == 0
    wait_until(lambda: len(stage.ran) == 2, 60)
    assert made.dispatch_due() > 0
    assert sorted(stage.ran) == [1, 2]


@pytest.mark.promise("I11")
def test_a_new_worker_runs_two_deliveries_at_once_until_enough_have_ended(stage: Stage) -> None:
    """One of the first may have killed the worker before it."""
    made = dispatcher(8)
    assert [made._free.acquire(blocking=False) for _ in range(3)] == [True, True, False]
    for _ in range(2):
        made._free.release()
    stage.due = list(range(100))
    wait_until(lambda: made.dispatch_due() > 0 and not stage.due, 60)
    wait_until(lambda: not made._running, 60)
    assert [made._free.acquire(blocking=False) for _ in range(9)] == [True] * 8 + [False]


class Clock:
    """The dispatcher's clock, which only a test moves."""

    def __init__(self) -> None:
        self.now = 1_000.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    made = Clock()
    monkeypatch.setattr(worker_dispatcher, "time", made)
    return made


def test_a_delivery_that_could_not_be_claimed_is_retried_later(stage: Stage, clock: Clock) -> None:
    stage.due, stage.blocked = [1], {1}
    made = dispatcher(1)
    for tries in (1, 2):
        assert made.dispatch_due() == 0
        wait_until(lambda: not made._running, 60)
        clock.now += TIMES.sweep - 0.01
        assert made.dispatch_due() > 0
        assert stage.ran == [1] * tries
        clock.now += 0.02


def test_a_slow_poll_that_finds_nothing_is_repeated_less_often(
    stage: Stage, monkeypatch: pytest.MonkeyPatch, clock: Clock
) -> None:
    made = dispatcher(1)
    assert made.dispatch_due() <= TIMES.busy * 1.25

    def find_slowly(_: int) -> list[int]:
        clock.now += 0.1
        return []

    monkeypatch.setattr(worker_dispatcher, "find_due_ids", find_slowly)
    assert made.dispatch_due() == pytest.approx(TIMES.sweep)
    clock.now += 60
    monkeypatch.setattr(worker_dispatcher, "find_due_ids", lambda _: [])
    assert TIMES.quiet * 0.75 <= made.dispatch_due() <= TIMES.quiet * 1.25


def test_several_workers_rarely_select_the_same_rows(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    """With all threads at once, which a new worker has after seconds."""
    monkeypatch.setattr(worker_dispatcher, "_FIRST_THREADS", 16)
    stage.due = list(range(1000))
    stage.may_end.clear()
    taken = []
    for _ in range(2):
        stage.ran = []
        dispatcher(16).dispatch_due()
        wait_until(lambda: len(stage.ran) == 16, 60)
        taken.append(set(stage.ran))
    assert len(taken[0] & taken[1]) < 8


def test_a_stopping_worker_dispatches_nothing_and_waits_for_running_deliveries(stage: Stage) -> None:
    progress = WorkInProgress()
    stage.due = [1]
    stage.may_end.clear()
    made = dispatcher(2, progress)
    made.dispatch_due()
    wait_until(lambda: stage.ran == [1], 60)
    assert progress.stop(0.1) == 1
    stage.due.append(2)
    made.dispatch_due()
    stage.may_end.set()
    assert progress.stop(60) == 0
    assert stage.ran == [1]


def test_a_delivery_on_another_thread_uses_one_thread_of_the_worker(stage: Stage) -> None:
    stage.due = [1, 2, 3]
    stage.may_end.clear()
    progress = WorkInProgress()
    made = dispatcher(2, progress)
    with made.reserved_thread():
        threading.Thread(target=made.dispatch_due, daemon=True).start()
        wait_until(lambda: len(stage.ran) == 1, 60)
        assert not made._free.acquire(blocking=False)
        assert len(stage.ran) == 1
    wait_until(lambda: len(stage.ran) == 2, 60)
    progress.stopping.set()


def test_a_stopping_worker_makes_no_caller_wait_for_a_thread(stage: Stage) -> None:
    progress = WorkInProgress()
    made = dispatcher(1, progress)
    with made.reserved_thread():
        progress.stopping.set()
        with made.reserved_thread():  # would wait for ever
            pass


def test_a_failing_sweep_does_not_affect_later_polls(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(_: int) -> int:
        raise OperationalError("somebody holds a lock")

    monkeypatch.setattr(worker_dispatcher, "release_expired_leases", fail)
    stage.due = [1]
    made = dispatcher(1)
    with pytest.raises(OperationalError):
        made.dispatch_due()
    assert made.dispatch_due() == 0
    wait_until(lambda: stage.ran == [1], 60)
