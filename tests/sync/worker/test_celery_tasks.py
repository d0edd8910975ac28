"""Celery tasks share the threads of the process with its worker, and start nothing once it is stopping."""

import threading

import pytest

from sync.worker import celery_tasks
from sync.worker import worker as worker_module
from sync.worker.worker import Worker
from tests.support.threads import wait_until

pytestmark = [pytest.mark.pure, pytest.mark.concurrent]

THREADS = 2


class Runs:
    """In place of running deliveries: notes which ones ran, and how many at once at most."""

    def __init__(self) -> None:
        self.ran: list[int] = []
        self.at_once = self.most_at_once = 0
        self._lock = threading.Lock()
        self.may_continue = threading.Event()
        self.may_continue.set()
        self.all_threads = threading.Barrier(1)

    def run(self, delivery_id: int, _: object = None) -> int:
        with self._lock:
            self.at_once += 1
            self.most_at_once = max(self.most_at_once, self.at_once)
        self.all_threads.wait(60)
        with self._lock:
            self.at_once -= 1
            self.ran.append(delivery_id)
        assert self.may_continue.wait(60)
        return 1


@pytest.fixture
def runs(monkeypatch: pytest.MonkeyPatch) -> Runs:
    found = Runs()
    monkeypatch.setattr(worker_module, "run_with_next", found.run)
    monkeypatch.setattr(celery_tasks, "run_with_next", found.run)
    return found


@pytest.fixture
def process_worker(runs: Runs, monkeypatch: pytest.MonkeyPatch) -> Worker:
    """Return the worker of a Celery process whose own threads are not started."""
    started = Worker(THREADS, is_notified=False)
    monkeypatch.setattr(celery_tasks, "_worker", started)
    return started


def test_tasks_run_no_more_deliveries_at_once_than_the_worker_has_threads(
    runs: Runs, process_worker: Worker
) -> None:
    runs.all_threads = threading.Barrier(THREADS)
    tasks = [threading.Thread(target=celery_tasks.deliver, args=([2 * n, 2 * n + 1],)) for n in range(6)]
    for task in tasks:
        task.start()
    for task in tasks:
        task.join(60)
    assert sorted(runs.ran) == list(range(12))
    assert runs.most_at_once == THREADS


def test_a_stopping_process_starts_no_further_delivery_of_a_message(
    runs: Runs, process_worker: Worker
) -> None:
    runs.may_continue.clear()
    task = threading.Thread(target=celery_tasks.deliver, args=(list(range(20)),))
    task.start()
    wait_until(lambda: bool(runs.ran))
    celery_tasks.stop_new_work()
    runs.may_continue.set()
    task.join(60)
    assert runs.ran == [0]
    assert process_worker.drain(60) == 0


def test_a_child_of_a_pool_of_processes_delivers_without_the_worker_of_its_parent(
    runs: Runs, process_worker: Worker
) -> None:
    celery_tasks.forget_worker()
    celery_tasks.deliver([1, 2])
    assert runs.ran == [1, 2]
    assert celery_tasks._worker is None
