"""Promise I22: deployments lose nothing. Web process and worker are replaced one by one under load, with a migration."""

import os
import random
import signal
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tests.faults.consistency.checker import observe
from tests.faults.fleet.balancer import Balancer
from tests.faults.fleet.hub_fleet import Fleet, Member, Services, _is_healthy, running_fleet
from tests.faults.load.source_driver import Driver, Webhook
from tests.support.processes.workers import wait_until

pytestmark = [pytest.mark.faults, pytest.mark.nightly, pytest.mark.worker_processes, pytest.mark.concurrent]

CLIENTS, PER_SECOND, SLOWNESS = 16, 20, 0.3
DRAIN_SECONDS = 30.0
ACCEPTED_SECONDS = 0.2  # between the last new connection to a process and its end, as with a load balancer
ROUNDS = 5
PEOPLE = [f"PERSON{number}" for number in range(60)]
MIGRATION = """
from django.db import connection, models
from sync.models import Attempt, Delivery
from webhooks.models import Event, Receipt
for model in (Event, Receipt, Delivery, Attempt):
    field = models.CharField(max_length=8, null=True)
    field.set_attributes_from_name("deployed_by")
    with connection.schema_editor() as editor:
        editor.add_field(model, field)
"""


@dataclass(frozen=True, slots=True)
class Ending:
    """The end of a process after SIGTERM."""

    kind: str
    code: int


@dataclass
class Deploy:
    """A fleet behind a load balancer whose processes are replaced one by one."""

    fleet: Fleet
    balancer: Balancer
    endings: list[Ending] = field(default_factory=list)

    def roll(self) -> None:
        """Replace web process and worker: start the new ones, then end the old ones."""
        rolled = self.fleet.members
        ready = self._workers_ready()
        started = {member.kind: self._start(member) for member in rolled}
        wait_until(lambda: self._workers_ready() > ready, 60)
        wait_until(lambda: _is_healthy(started["web"].port), 60)
        self.balancer.backend = started["web"].port
        time.sleep(ACCEPTED_SECONDS)
        for member in rolled:
            self._end(member)

    def _start(self, old: Member) -> Member:
        new = Member(old.kind, old.environment, old.log)
        self._members(old).append(new)
        new.start()
        return new

    def _workers_ready(self) -> int:
        """Return how many workers have reported that they are ready, including ended ones."""
        return self.fleet.log.read_text().count("Delivering")

    def _members(self, like: Member) -> list[Member]:
        return self.fleet.webs if like.kind == "web" else self.fleet.workers

    def _end(self, old: Member) -> None:
        """Send SIGTERM to the process alone, as a supervisor does, and record how it ends."""
        assert old.process is not None
        os.kill(old.process.pid, signal.SIGTERM)
        code = old.process.wait(DRAIN_SECONDS + 5)  # raises TimeoutExpired
        self.endings.append(Ending(old.kind, code))
        old.process = None
        self._members(old).remove(old)


@contextmanager
def load(driver: Driver) -> Iterator[None]:
    """Send about PER_SECOND webhooks a second within the context, half of which wait for their outcome."""
    stopped, pause = threading.Event(), CLIENTS / PER_SECOND

    def keep_sending(client: int) -> None:
        chance, number = random.Random(client), 0
        while not stopped.wait(chance.uniform(0, 2 * pause)):
            number += 1
            mode = chance.choice(["ack", "result"])
            driver.deliver(Webhook(f"msg_{client}_{number}", chance.choice(PEOPLE), mode, 0))

    threads = [threading.Thread(target=keep_sending, args=(client,)) for client in range(CLIENTS)]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        stopped.set()
        for thread in threads:
            thread.join()


@pytest.fixture(autouse=True)
def _slow(services: Services) -> None:
    """Slow both systems down, so that work is always in progress when a process ends."""
    for service in services:
        service.faults.add("slow", seconds=SLOWNESS)


@pytest.mark.promise("I22")
def test_rolling_restarts_and_a_migration_under_load_lose_and_refuse_nothing(
    tmp_path: Path, services: Services
) -> None:
    # No attempt that a busy machine holds up for seconds may be taken over: that would look like one that was cut off.
    variables = {"WEB_THREADS": "16", "LEASE_SECONDS": "12"}
    with running_fleet(tmp_path, services, webs=1, workers=1, **variables) as fleet:
        balancer = Balancer(fleet.webs[0].port)
        deployment = Deploy(fleet, balancer)
        driver = Driver(services[0], lambda: [balancer.port])
        driver.add_people(PEOPLE)
        with load(driver):
            for number in range(ROUNDS):
                deployment.roll()
                if number == ROUNDS // 2:
                    fleet.hub.manage("shell", "--verbosity", "0", "-c", MIGRATION)
                    fleet.hub.manage("migrate", "--verbosity", "0")
        fleet.wait_until_idle()
        balancer.close()
        report = observe(driver.sendings, *services, fleet.hub.rows)
    statuses = Counter(str(sending.status) for sending in driver.sendings)
    print(f"\n{ROUNDS} rounds, answers {dict(statuses)}: {report}")
    report.assert_clean()
    assert set(statuses) == {"200", "202"}
    assert balancer.refused == 0
    assert report.unknown == 0, "an attempt was cut off"
    ends = [(ending.kind, ending.code) for ending in deployment.endings]
    assert ends == [("web", 0), ("worker", 0)] * ROUNDS
