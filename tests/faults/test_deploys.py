"""Promise I22: deployments lose nothing. Web process and worker are replaced one by one under load, with a migration."""

import os
import random
import re
import signal
import subprocess
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tests.faults.consistency.checker import Report, observe
from tests.faults.fleet.balancer import Balancer
from tests.faults.fleet.hub_fleet import Fleet, Member, Services, _is_healthy, running_fleet
from tests.faults.load.source_driver import Driver, Webhook
from tests.faults.variants.process_variants import environment
from tests.support.processes.hub_processes import ROOT
from tests.support.processes.workers import wait_until

pytestmark = [pytest.mark.faults, pytest.mark.worker_processes]

CLIENTS, PER_SECOND, SLOWNESS = 16, 20, 0.3
DRAIN_SECONDS = 30.0
ACCEPTED_SECONDS = 0.2  # between the last new connection to a process and its end, as with a load balancer
UNDER_WAY_SECONDS = 1.5  # after which a process surely has work in progress
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
    """The end of a process after SIGTERM: its exit code, and how long it took."""

    kind: str
    code: int
    seconds: float


@dataclass
class ImpatientWeb(Member):
    """A web process without a graceful timeout: its command differs from the Procfile."""

    instead: tuple[str, str] = (r"--graceful-timeout \d+", "--graceful-timeout 0")

    def start(self) -> None:
        line = re.search(rf"^{self.kind}: (.+)$", (ROOT / "Procfile").read_text(), re.MULTILINE)
        assert line, f"the Procfile has no {self.kind} process"
        changed = re.sub(*self.instead, line[1])
        assert changed != line[1], "the line is as it was"
        environment = self.environment | {"HUB_PORT": str(self.port)}
        command = ["sh", "-c", f"exec {changed}"]
        self.process = subprocess.Popen(
            command, cwd=ROOT, env=environment, stdout=self.log, stderr=self.log, start_new_session=True
        )


Variants = Mapping[str, Callable[[Member], Member]]
"""Kind of process → function that makes the broken process from the one that it replaces."""


@dataclass
class Deploy:
    """A fleet behind a load balancer whose processes are replaced one by one. With `variants`, only these kinds are replaced."""

    fleet: Fleet
    balancer: Balancer
    variants: Variants
    endings: list[Ending] = field(default_factory=list)

    def roll(self) -> None:
        """Replace web process and worker, or only the kinds in `variants`: start the new ones, then end the old ones."""
        rolled = [
            member for member in self.fleet.members if not self.variants or member.kind in self.variants
        ]
        ready = self._workers_ready()
        started = {member.kind: self._start(member) for member in rolled}
        if "worker" in started:
            wait_until(lambda: self._workers_ready() > ready)
        if self.variants:
            time.sleep(UNDER_WAY_SECONDS)
        if "web" in started:
            wait_until(lambda: _is_healthy(started["web"].port))
            self.balancer.backend = started["web"].port
            time.sleep(ACCEPTED_SECONDS)
        for member in rolled:
            self._end(member)

    def _start(self, old: Member) -> Member:
        make = self.variants.get(old.kind, same_again)
        new = make(old)
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
        began = time.monotonic()
        os.kill(old.process.pid, signal.SIGTERM)
        code = old.process.wait(DRAIN_SECONDS + 5)
        self.endings.append(Ending(old.kind, code, time.monotonic() - began))
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


def deploy(
    folder: Path, services: Services, rounds: int, variants: Variants | None = None, **of_the_web: str
) -> tuple[Deploy, Report, Counter[str]]:
    """Replace the processes `rounds` times under load with a migration in the middle; drain; compare.

    Returns the deployment, the report, and the number of answers by status.
    """
    # No attempt that a busy machine holds up for seconds may be taken over: that would look like one that was cut off.
    variables = {"WEB_THREADS": "16", "LEASE_SECONDS": "12"}
    with running_fleet(folder, services, webs=0, workers=1, **variables) as fleet:
        fleet.add_web(**of_the_web)
        fleet.wait_until_healthy()
        balancer = Balancer(fleet.webs[0].port)
        deployment = Deploy(fleet, balancer, variants or {})
        driver = Driver(services[0], lambda: [balancer.port])
        driver.add_people(PEOPLE)
        with load(driver):
            for number in range(rounds):
                deployment.roll()
                if number == rounds // 2 and not deployment.variants:
                    fleet.hub.manage("shell", "--verbosity", "0", "-c", MIGRATION)
                    fleet.hub.manage("migrate", "--verbosity", "0")
        fleet.wait_until_idle(60)
        balancer.close()
        report = observe(driver.sendings, *services, fleet.hub.rows)
    return deployment, report, Counter(str(sending.status) for sending in driver.sendings)


def test_five_rolling_restarts_and_a_migration_under_load_lose_and_refuse_nothing(
    tmp_path: Path, services: Services, is_long: bool
) -> None:
    rounds = 10 if is_long else 5
    deployment, report, statuses = deploy(tmp_path, services, rounds)
    slowest = max(ending.seconds for ending in deployment.endings)
    print(f"\n{rounds} rounds, slowest end {slowest:.1f} s, answers {dict(statuses)}: {report}")
    report.assert_clean()
    assert set(statuses) == {"200", "202"}
    assert deployment.balancer.refused == 0
    assert report.unknown == 0, "an attempt was cut off"
    assert [(ending.kind, ending.code) for ending in deployment.endings] == [
        ("web", 0),
        ("worker", 0),
    ] * rounds
    assert slowest <= DRAIN_SECONDS


def same_again(old: Member) -> Member:
    return Member(old.kind, old.environment, old.log)


def caught(
    folder: Path, services: Services, rounds: int, variants: Variants, **of_the_web: str
) -> tuple[Report, Counter[str]]:
    """Deploy broken variants. In the first of two rounds an unbroken process ends, in the second a broken one."""
    services[1].faults.add("slow", seconds=0.3)  # so that something is under way whenever a process ends
    deployment, report, statuses = deploy(folder, services, rounds, variants, **of_the_web)
    print(f"\n{deployment.endings}, answers {dict(statuses)}: {report}")
    return report, statuses


@pytest.mark.one_database
def test_a_web_process_that_ends_without_finishing_its_work_is_caught(
    tmp_path: Path, services: Services
) -> None:
    def without_time(old: Member) -> Member:
        return ImpatientWeb(old.kind, old.environment, old.log)

    _, statuses = caught(tmp_path, services, 2, {"web": without_time})
    assert statuses["None"], "no client was cut off"


@pytest.mark.one_database
def test_a_worker_that_ends_without_finishing_its_work_is_caught(tmp_path: Path, services: Services) -> None:
    """Celery waits for its messages itself; they go to a queue that no worker reads, so that the worker polls."""
    variables = environment(tmp_path, "no-drain")

    def without_drain(old: Member) -> Member:
        return Member(old.kind, old.environment | variables, old.log)

    report, _ = caught(tmp_path, services, 5, {"worker": without_drain}, CELERY_QUEUE="unread")
    assert report.unknown, "no attempt was cut off"
