"""Promise I21: a full, locked, read-only or stopped storage is reported to the source, and the hub recovers by itself.

While webhooks keep coming, the database of a running web process and worker fails for some seconds.
"""

import http.client
import os
import random
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from tests.faults.consistency.checker import Report, Sending, observe
from tests.faults.fleet.hub_fleet import Fleet, Services, running_fleet
from tests.faults.fleet.storage import (
    Cluster,
    Outage,
    events_locked,
    file_locked,
    files_full_grown,
)
from tests.faults.load.source_driver import Driver, Webhook
from tests.support.hub import signature_headers
from tests.support.processes.hub_processes import JSON
from tests.support.processes.workers import wait_until

pytestmark = [pytest.mark.faults, pytest.mark.nightly, pytest.mark.worker_processes, pytest.mark.concurrent]

CLIENTS, PAUSE_SECONDS = 16, 0.25
RECOVERY_SECONDS = 30.0
# The most that one answer takes: the wait of a source for the outcome, and the limits for the database.
ANSWER_SECONDS = 15.0
PEOPLE = [f"PERSON{number}" for number in range(40)]
IS_POSTGRESQL = os.environ.get("HUB_TEST_DATABASE", "sqlite") == "postgresql"


@dataclass(frozen=True, slots=True)
class Case:
    """An outage that lasts at least `seconds`, and until the source got `status`. `pool`: connections of each process."""

    name: str
    seconds: float
    status: int = 503
    pool: int = 10


CASES = (
    [
        Case("read_only", 3, status=429),
        Case("stopped", 3),
        Case("frozen", 18, pool=32),
        Case("events_locked", 4, pool=1),
    ]
    if IS_POSTGRESQL
    else [Case("files_full_grown", 3, status=429), Case("file_locked", 4)]
)


@dataclass(frozen=True, slots=True)
class Answer:
    """One answer to the source. `at`: monotonic time. `status` is None if the connection was cut."""

    at: float
    seconds: float
    status: int | None
    retry_after: str | None


@dataclass
class RecordingDriver(Driver):
    """A source that keeps every answer, and sends from CLIENTS threads until it is stopped."""

    answers: list[Answer] = field(default_factory=list)
    stopped: threading.Event = field(default_factory=threading.Event)

    def _send(self, webhook: Webhook) -> Sending:
        sent_at, status, retry_after = time.monotonic(), None, None
        connection = http.client.HTTPConnection("127.0.0.1", self.ports()[0], timeout=60)
        try:
            headers = JSON | signature_headers(webhook.body, webhook.webhook_id)
            connection.request("POST", "/webhooks/aurora", webhook.body, headers)
            response = connection.getresponse()
            status, retry_after = response.status, response.headers["Retry-After"]
            response.read()
        except (OSError, http.client.HTTPException):
            pass  # counted as no answer
        finally:
            connection.close()
        now = time.monotonic()
        sending = Sending(webhook.webhook_id, webhook.person, sent_at, status)
        self.sendings.append(sending)
        self.answers.append(Answer(now, now - sent_at, status, retry_after))
        return sending

    def answers_with(self, *statuses: int, since: float = 0.0) -> list[Answer]:
        return [answer for answer in list(self.answers) if answer.status in statuses and answer.at >= since]

    @contextmanager
    def sending(self) -> Iterator[None]:
        threads = [threading.Thread(target=self._keep_sending, args=(client,)) for client in range(CLIENTS)]
        for thread in threads:
            thread.start()
        try:
            yield
        finally:
            self.stopped.set()
            for thread in threads:
                thread.join()

    def _keep_sending(self, client: int) -> None:
        chance, number = random.Random(client), 0
        while not self.stopped.wait(chance.uniform(0, 2 * PAUSE_SECONDS)):
            number += 1
            mode = chance.choice(["ack", "result"])
            self.deliver(Webhook(f"msg_{client}_{number}", chance.choice(PEOPLE), mode, 0))


@dataclass(frozen=True, slots=True)
class OutageResult:
    """The result of an outage: the answers during and after it, and the comparison at the end."""

    report: Report
    answers: list[Answer]
    recovery_seconds: float

    def __str__(self) -> str:
        statuses = Counter(str(answer.status) for answer in self.answers)
        slowest = max(answer.seconds for answer in self.answers)
        return (
            f"{self.report}\nanswers {dict(statuses)}, slowest {slowest:.1f} s,"
            f" back after {self.recovery_seconds:.2f} s"
        )


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster | None]:
    """Yield a separate PostgreSQL server if the run is about PostgreSQL, otherwise None."""
    if not IS_POSTGRESQL:
        yield None
        return
    cluster_server = Cluster()
    cluster_server.start()
    yield cluster_server
    cluster_server.close()


@contextmanager
def fleet_with_outage(
    folder: Path,
    services: Services,
    case: Case,
    cluster: Cluster | None,
) -> Iterator[tuple[Fleet, Outage]]:
    """Yield a web process and a worker, and the outage that will affect their database."""
    variables = {
        "DATABASE_POOL": str(case.pool),
        "DATABASE_WAIT_SECONDS": "2",
        "WEB_THREADS": str(CLIENTS),
        "UNAVAILABLE_STATUS": str(case.status),
    }
    outages = {outage.__name__: outage for outage in (events_locked, file_locked, files_full_grown)}
    with ExitStack() as stack:
        if cluster is not None:
            patched = stack.enter_context(pytest.MonkeyPatch.context())
            patched.setenv("TEST_POSTGRESQL_URL", cluster.url)
            outages |= {"stopped": cluster.stopped, "read_only": cluster.read_only, "frozen": cluster.frozen}
        fleet = running_fleet(folder, services, webs=1, workers=1, **variables)
        yield stack.enter_context(fleet), outages[case.name]


def run_outage(
    fleet: Fleet,
    services: Services,
    case: Case,
    outage: Outage,
) -> OutageResult:
    """Send webhooks, start the outage, end it once each client was refused, send more, and wait until all is delivered."""
    witness = RecordingDriver(services[0], lambda: [fleet.webs[0].port])
    witness.add_people(PEOPLE)
    with witness.sending():
        wait_until(lambda: len(witness.answers_with(200, 202)) >= 30, 20)
        with outage(fleet):
            began = time.monotonic()
            wait_until(lambda: time.monotonic() >= began + case.seconds, case.seconds + 1)
            wait_until(lambda: len(witness.answers_with(case.status, since=began)) >= CLIENTS, 60)
        ended = time.monotonic()
        wait_until(lambda: bool(witness.answers_with(200, 202, since=ended)), RECOVERY_SECONDS)
        back = witness.answers_with(200, 202, since=ended)[0].at - ended
        wait_until(lambda: len(witness.answers_with(200, 202, since=ended)) >= 30, 20)
    fleet.wait_until_idle()
    report = observe(witness.sendings, *services, fleet.hub.rows)
    return OutageResult(report, witness.answers, back)


def marked(case: Case) -> Any:
    """Return the case as a parameter. With Celery, only the outage runs that ends every connection of a worker."""
    marks = () if case.name == "stopped" else (pytest.mark.one_engine,)
    return pytest.param(case, marks=marks, id=case.name)


@pytest.mark.promise("I21")
@pytest.mark.parametrize("case", [marked(case) for case in CASES])
def test_webhooks_that_cannot_be_stored_are_refused_and_the_hub_recovers_by_itself(
    tmp_path: Path, services: Services, case: Case, cluster: Cluster | None
) -> None:
    with fleet_with_outage(tmp_path, services, case, cluster) as (fleet, outage):
        after = run_outage(fleet, services, case, outage)
        ended = [member.kind for member in fleet.members if member.has_ended()]
    print(f"\n{case.name}: {after}")
    after.report.assert_clean()
    # 424: the outage interrupted the attempt, which is retried; the webhook itself was stored before.
    assert {answer.status for answer in after.answers} - {200, 202, 424} == {case.status}
    refused = [answer for answer in after.answers if answer.status == case.status]
    assert all(1 <= int(answer.retry_after or 0) <= 10 for answer in refused)
    slowest = max(answer.seconds for answer in after.answers)
    assert slowest < ANSWER_SECONDS, f"an answer took {slowest:.1f} s"
    assert ended == [], "a process had to be started again"
