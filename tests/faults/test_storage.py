"""Promise I21: storage that is full, locked, read-only or away is told honestly, and comes back by itself.

While webhooks keep coming, something happens to the database of a running web process and worker, and ends again.
"""

import http.client
import os
import random
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tests.faults.consistency.checker import Report, Sending, observe
from tests.faults.fleet.hub_fleet import Fleet, Services, running_fleet
from tests.faults.fleet.storage import (
    Cluster,
    Outage,
    disk_full,
    events_locked,
    file_locked,
    files_full_grown,
    may_mount,
    small_disk,
)
from tests.faults.load.source_driver import Driver, Webhook
from tests.support.hub import signed
from tests.support.processes.hub_processes import JSON
from tests.support.processes.workers import wait_until

pytestmark = [pytest.mark.faults, pytest.mark.worker_processes]

CLIENTS, PAUSE_SECONDS = 16, 0.25
RECOVERY_SECONDS = 30.0
PEOPLE = [f"PERSON{number}" for number in range(40)]
IS_POSTGRESQL = os.environ.get("HUB_TEST_DATABASE", "sqlite") == "postgresql"


@dataclass(frozen=True, slots=True)
class Case:
    """An outage that lasts at least `seconds`, and until the source was told of it. `pool`: connections a process."""

    name: str
    seconds: float
    status: int = 503
    pool: int = 10


CASES = (
    [Case("read_only", 3, status=429), Case("stopped", 3), Case("events_locked", 4, pool=1)]
    if IS_POSTGRESQL
    else [Case("files_full_grown", 3, status=429), Case("file_locked", 4)]
    + [Case("disk_full", 3)] * may_mount()
)


@dataclass(frozen=True, slots=True)
class Answer:
    """What the source was told, and when. `status` is None where the connection was cut."""

    at: float
    seconds: float
    status: int | None
    retry_after: str | None


@dataclass
class Witness(Driver):
    """A source that keeps every answer, and sends from `CLIENTS` threads until it is stopped."""

    answers: list[Answer] = field(default_factory=list)
    stopped: threading.Event = field(default_factory=threading.Event)

    def _send(self, webhook: Webhook) -> Sending:
        sent_at, status, retry_after = time.monotonic(), None, None
        connection = http.client.HTTPConnection("127.0.0.1", self.ports()[0], timeout=60)
        try:
            headers = JSON | signed(webhook.body, webhook.webhook_id)
            connection.request("POST", "/webhooks/aurora", webhook.body, headers)
            told = connection.getresponse()
            status, retry_after = told.status, told.headers["Retry-After"]
            told.read()
        except (OSError, http.client.HTTPException):
            pass  # counted as no answer
        finally:
            connection.close()
        now = time.monotonic()
        sending = Sending(webhook.webhook_id, webhook.person, sent_at, status)
        self.sendings.append(sending)
        self.answers.append(Answer(now, now - sent_at, status, retry_after))
        return sending

    def told(self, *statuses: int, since: float = 0.0) -> list[Answer]:
        return [each for each in list(self.answers) if each.status in statuses and each.at >= since]

    @contextmanager
    def sending(self) -> Iterator[None]:
        threads = [threading.Thread(target=self._keep_sending, args=(each,)) for each in range(CLIENTS)]
        for each in threads:
            each.start()
        try:
            yield
        finally:
            self.stopped.set()
            for each in threads:
                each.join()

    def _keep_sending(self, client: int) -> None:
        chance, number = random.Random(client), 0
        while not self.stopped.wait(chance.uniform(0, 2 * PAUSE_SECONDS)):
            number += 1
            mode = chance.choice(["ack", "result"])
            self.deliver(Webhook(f"msg_{client}_{number}", chance.choice(PEOPLE), mode, 0))


@dataclass(frozen=True, slots=True)
class Aftermath:
    """What the source was told during an outage and after it, and what became of it all."""

    report: Report
    answers: list[Answer]
    recovery_seconds: float
    recovered: int

    def __str__(self) -> str:
        statuses = Counter(str(each.status) for each in self.answers)
        slowest = max(each.seconds for each in self.answers)
        return (
            f"{self.report}\nanswers {dict(statuses)}, slowest {slowest:.1f} s,"
            f" back after {self.recovery_seconds:.2f} s"
        )


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster | None]:
    """A PostgreSQL of its own, where the run is about PostgreSQL."""
    if not IS_POSTGRESQL:
        yield None
        return
    made = Cluster()
    made.start()
    yield made
    made.close()


@contextmanager
def stricken_fleet(
    folder: Path,
    services: Services,
    case: Case,
    cluster: Cluster | None,
    mutant: str | None = None,
) -> Iterator[tuple[Fleet, Outage]]:
    """A web process and a worker, and what will happen to their database."""
    variables = {
        "DATABASE_POOL": str(case.pool),
        "DATABASE_WAIT_SECONDS": "2",
        "WEB_THREADS": str(CLIENTS),
        "UNAVAILABLE_STATUS": str(case.status),
    }
    outages = {each.__name__: each for each in (events_locked, file_locked, files_full_grown, disk_full)}
    with ExitStack() as stack:
        if cluster is not None:
            patched = stack.enter_context(pytest.MonkeyPatch.context())
            patched.setenv("TEST_POSTGRESQL_URL", cluster.url)
            outages |= {"stopped": cluster.stopped, "read_only": cluster.read_only}
        if case.name == "disk_full":
            folder = stack.enter_context(small_disk(folder / "disk"))
        fleet = running_fleet(folder, services, webs=1, workers=1, mutant=mutant, **variables)
        yield stack.enter_context(fleet), outages[case.name]


def strike(
    fleet: Fleet, services: Services, case: Case, outage: Outage, felt: Callable[[Witness, float], bool]
) -> Aftermath:
    """Send; let it happen until it was `felt`, since it began; undo it; send a while more; come to rest."""
    witness = Witness(services[0], lambda: [fleet.webs[0].port])
    witness.add_people(PEOPLE)
    with witness.sending():
        wait_until(lambda: len(witness.told(200, 202)) >= 30, 20)
        with outage(fleet):
            began = time.monotonic()
            wait_until(lambda: time.monotonic() >= began + case.seconds, case.seconds + 1)
            wait_until(lambda: felt(witness, began), 30)
        ended = time.monotonic()
        wait_until(lambda: bool(witness.told(200, 202, since=ended)), RECOVERY_SECONDS)
        back = witness.told(200, 202, since=ended)[0].at - ended
        wait_until(lambda: len(witness.told(200, 202, since=ended)) >= 30, 20)
    fleet.wait_until_idle(RECOVERY_SECONDS)
    report = observe(witness.sendings, *services, fleet.hub.rows)
    return Aftermath(report, witness.answers, back, len(witness.told(200, 202, since=ended)))


@pytest.mark.parametrize("case", CASES, ids=lambda each: each.name)
def test_what_cannot_be_stored_is_refused_honestly_and_the_hub_comes_back_by_itself(
    tmp_path: Path, services: Services, case: Case, cluster: Cluster | None
) -> None:
    with stricken_fleet(tmp_path, services, case, cluster) as (fleet, outage):

        def is_refused(witness: Witness, began: float) -> bool:
            return len(witness.told(case.status, since=began)) >= CLIENTS

        after = strike(fleet, services, case, outage, is_refused)
        ended = [each.kind for each in fleet.members if each.has_ended()]
    print(f"\n{case.name}: {after}")
    after.report.assert_clean()
    # 424: its attempt was cut off by the outage, and goes on; the webhook itself was stored before.
    assert {each.status for each in after.answers} - {200, 202, 424} == {case.status}
    refused = [each for each in after.answers if each.status == case.status]
    assert all(1 <= int(each.retry_after or 0) <= 10 for each in refused)
    assert ended == [], "a process had to be started again"


def test_a_hub_that_answers_before_it_has_stored_is_caught(
    tmp_path: Path, services: Services, cluster: Cluster | None
) -> None:
    """A file may grow for a while before it is full: the outage lasts until something was told and not stored."""
    case = CASES[0]
    with stricken_fleet(tmp_path, services, case, cluster, "answer-before-storing") as (fleet, outage):

        def is_lost(witness: Witness, _: float) -> bool:
            [(stored,)] = fleet.hub.rows("SELECT count(*) FROM webhooks_event")
            return len(witness.told(200, 202)) - stored >= 2 * CLIENTS

        after = strike(fleet, services, case, outage, is_lost)
    print(f"\n{case.name}: {after}")
    assert after.report.lost
