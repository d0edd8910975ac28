"""Promise I11: a delivery that kills its process is failed after its third death, and interrupts few others once."""

import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.db.models import QuerySet
from django.utils import timezone

from audit.models import Entry
from exports.row_checks.nightly_rows import find_row_faults
from sync.models import OPEN_STATES, Attempt, AttemptOutcome, Call, Delivery
from tests.faults.injections import POISON, environment
from tests.support.hub import Hub
from tests.support.processes.workers import WorkerProcess
from tests.support.unfinished_deliveries import close_open_deliveries
from webhooks.models import Event, State

pytestmark = [pytest.mark.faults, pytest.mark.nightly, pytest.mark.worker_processes, pytest.mark.concurrent]

INNOCENTS = 30
MOST_UNKNOWN = 5  # attempts, those of the poison included
IN_FULL_SWING = 16  # deliveries of one worker
DONE = (State.SUCCEEDED, State.UNCHANGED)


@dataclass
class Supervisor:
    """A supervisor that restarts workers as systemd or Kubernetes would. `deaths`: how many it replaced."""

    variables: dict[str, str]
    workers: list[WorkerProcess] = field(default_factory=list)
    deaths: int = 0

    def start(self, count: int) -> None:
        self.workers = [self._worker() for _ in range(count)]

    def until(self, holds: Callable[[], bool], seconds: float) -> None:
        end = time.monotonic() + seconds
        while not holds():
            assert time.monotonic() < end, "the condition did not become true in time"
            time.sleep(0.05)
            for number, worker in enumerate(self.workers):
                if worker.process.poll() is not None:
                    assert worker.process.returncode == -signal.SIGKILL, worker.read_errors()
                    self.deaths += 1
                    self.workers[number] = self._worker()

    def stop(self) -> None:
        for worker in self.workers:
            worker.process.kill()
            worker.process.wait()
        close_open_deliveries()

    def _worker(self) -> WorkerProcess:
        return WorkerProcess(0.2, **self.variables)


@contextmanager
def supervised(folder: Path) -> Iterator[Supervisor]:
    variables = environment(folder, "poison") | {
        "DELIVERY_THREADS": "32",
        "LEASE_SECONDS": "5",
        "CONFIGURATION_SECONDS": "1",
        "LOG_LEVEL": "CRITICAL",
    }
    supervisor = Supervisor(variables)
    supervisor.start(2)
    try:
        yield supervisor
    finally:
        supervisor.stop()


def create_and_send(hub: Hub, user: str) -> None:
    """Create a person and post a webhook that does not wait for the outcome."""
    emails = [{"address": f"{user.lower()}@example.com", "verified": True}]
    hub.identity.directory.create_record("users", {"id": user, "username": user.lower(), "emails": emails})
    body = {"id": user, "entityType": "USER", "eventType": "CREATE", "respond": "ack"}
    assert hub.post(body).status_code == 202


def send_poison_among_innocents(hub: Hub, settings: Any) -> None:
    """Send the poisonous webhook among innocent ones; all of them wait for a worker."""
    settings.WAKE_WORKERS = settings.LEFT_TO_WORKERS
    for number in range(INNOCENTS):
        create_and_send(hub, f"INNOCENT{number}")
        if number == 2:
            create_and_send(hub, POISON)


def poison() -> Delivery:
    return Delivery.objects.get(entity_id=POISON)


def innocents() -> QuerySet[Delivery]:
    return Delivery.objects.exclude(entity_id=POISON)


@pytest.mark.promise("I11")
def test_a_delivery_that_kills_its_process_fails_after_three_deaths_and_all_others_arrive(
    hub: Hub, tmp_path: Path, settings: Any
) -> None:
    send_poison_among_innocents(hub, settings)
    hub.shop.faults.add("slow", seconds=0.05)
    with supervised(tmp_path) as supervisor:
        supervisor.until(lambda: not Delivery.objects.filter(state__in=OPEN_STATES).exists(), 120)
        dead = poison()
        assert not innocents().exclude(state__in=DONE).values_list("entity_id", "state", "code", "deaths")
        assert supervisor.deaths == 1, "the other deaths are those of processes of their own"
    assert (dead.code, dead.deaths, dead.due_at) == ("crashes-hub", 3, None)
    attempts = dead.attempts.order_by("number").values_list("outcome", "code", "in_own_process")
    assert list(attempts) == [
        (AttemptOutcome.INTERRUPTED, "interrupted", False),
        (AttemptOutcome.INTERRUPTED, "interrupted", True),
        (AttemptOutcome.UNKNOWN, "crashes-hub", True),
    ]
    unknown = Attempt.objects.filter(outcome=AttemptOutcome.UNKNOWN)
    assert unknown.count() <= MOST_UNKNOWN
    innocent = unknown.exclude(delivery=dead)
    assert not innocent.filter(in_own_process=True).exists(), "alone, none takes another with it"
    assert Event.objects.get(entity_id=POISON).state == State.DEAD
    actions = Entry.objects.filter(stream=dead.stream, action__in=("attempt.unknown", "attempt.interrupted"))
    assert actions.count() == 3
    assert (
        sum("innocent" in customer["email"] for customer in hub.shop.list_records("customers")) == INNOCENTS
    )
    assert not Delivery.objects.filter(state=State.DEAD).exclude(pk=dead.pk).exists()


@pytest.mark.promise("I11")
def test_a_death_in_full_swing_leaves_few_attempts_unknown(hub: Hub, tmp_path: Path, settings: Any) -> None:
    """A worker that runs 16 deliveries and more dies: only those with a write on record are unknown. The others begin
    again without using an attempt of their route.

    The identity service is slow, so that most deliveries read when the poison comes; the test above has an idle worker.
    """
    settings.WAKE_WORKERS = settings.LEFT_TO_WORKERS
    hub.identity.faults.add("slow", seconds=2, applied=True)
    for number in range(4 * INNOCENTS):
        create_and_send(hub, f"INNOCENT{number}")
    started = Attempt.objects.filter(outcome=AttemptOutcome.STARTED)
    with supervised(tmp_path) as supervisor:
        supervisor.until(lambda: started.count() >= 2 * IN_FULL_SWING, 120)
        create_and_send(hub, POISON)
        Delivery.objects.filter(entity_id=POISON).update(due_at=timezone.now() - timedelta(hours=1))
        supervisor.until(lambda: poison().deaths > 0, 60)
        hub.identity.faults.clear()
        supervisor.until(lambda: not Delivery.objects.filter(state__in=OPEN_STATES).exists(), 240)
        assert supervisor.deaths == 1
    interrupted = Attempt.objects.filter(outcome=AttemptOutcome.INTERRUPTED).exclude(delivery=poison())
    unknown = Attempt.objects.filter(outcome=AttemptOutcome.UNKNOWN)
    print(f"interrupted {interrupted.count()}, unknown {unknown.count()}")
    assert interrupted.count() >= IN_FULL_SWING - MOST_UNKNOWN
    assert not Call.objects.filter(attempt__in=interrupted, is_write=True).exists()
    assert unknown.count() <= MOST_UNKNOWN
    for used, ended in (
        (1, innocents().exclude(pk__in=unknown.values("delivery"))),
        (2, innocents().filter(pk__in=unknown.values("delivery"))),
    ):
        assert set(ended.values_list("state", "attempts_used")) <= {(state, used) for state in DONE}
    assert not interrupted.filter(in_own_process=True).exists()
    assert list(find_row_faults()) == []
