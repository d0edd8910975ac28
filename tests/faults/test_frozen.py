"""Promise I9: a process that was stopped for longer than its lease sends and settles nothing when it continues.

One web process and one worker are stopped together (SIGSTOP), each with several attempts in progress: at the fetch,
before anything was sent, or at the write, after the shop made the change. Another worker is started and takes over.
The people change meanwhile, so that a process that continued its attempt would write old data.
"""

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest

from database.sqlite.writer_queue import WriterQueue
from sandbox.identity import IdentityService
from sandbox.shop import ShopService
from tests.faults.consistency.checker import Report, observe
from tests.faults.fleet.hub_fleet import Fleet, Member, Services, running_fleet
from tests.faults.load.source_driver import Driver, Webhook
from tests.support.processes.hub_processes import RunningHub
from tests.support.processes.workers import wait_until

pytestmark = [pytest.mark.faults, pytest.mark.worker_processes]

LEASE_SECONDS = 4
HELD_SECONDS = 20
TAKEN_OVER_SECONDS = 20
YIELDED = ("lost its lease before sending", "was taken over while its attempt ran")
AT_THE_WEB, AT_THE_WORKER = ["PERSON1", "PERSON2", "PERSON3"], ["PERSON4", "PERSON5", "PERSON6"]
PEOPLE = [*AT_THE_WEB, *AT_THE_WORKER]


@dataclass
class FreezingFleet:
    """A fleet of which two processes (`victims`) are stopped and continued.

    `sent_late` and `settled_late`: what they did after they continued, which must be nothing.
    """

    fleet: Fleet
    services: Services
    driver: Driver
    victims: tuple[Member, Member]
    frozen: int = 0
    sent_late: list[str] = field(default_factory=list)
    settled_late: list[str] = field(default_factory=list)

    def freeze(self, turn: int) -> None:
        """Stop both processes for twice the lease during an attempt: at the fetch in even turns, at the write in odd ones."""
        identity, shop = self.services
        service, methods = (identity, ["GET"]) if turn % 2 == 0 else (shop, ["POST", "PATCH", "PUT"])
        seen = len(service.read_journal())
        service.faults.add("slow", seconds=HELD_SECONDS, methods=methods, applied=True, times=len(PEOPLE))
        # The worker may start later than the web process: no lease may end before all requests are held.
        waiting = [self._send_to_the_worker(turn)]
        wait_until(lambda: held(service, seen) == len(AT_THE_WORKER), 15)
        waiting.append(self._send_to_the_web(turn))
        wait_until(lambda: held(service, seen) == len(PEOPLE), 10)
        before = self._count_yielded()
        with self._stopped():
            service.faults.clear()
            self._change_and_send(turn, "again", PEOPLE, "ack", self.fleet.webs[1])
            with self._another_worker():
                assert self.fleet.wait_until_idle(TAKEN_OVER_SECONDS), "no other worker took over"
            lost, settled = self._unknown() - self.frozen, self._settled()
        self.frozen += lost
        with suppress(
            AssertionError
        ):  # the broken variant does not check its claim: it logs nothing and writes
            wait_until(
                lambda: max(self._count_yielded() - before, len(self._settled() - settled) // 2) >= lost, 15
            )
        for thread in waiting:
            thread.join()
        self.settled_late += sorted(map(str, self._settled() ^ settled))
        late = shop.read_journal(only_writes=True)[self._sent :]
        self.sent_late += [f"{request['method']} {request['entity']}" for request in late]

    @contextmanager
    def _stopped(self) -> Iterator[None]:
        """Stop both processes within the context, for at least twice the lease; what they send afterwards is late."""
        until = time.monotonic() + 2 * LEASE_SECONDS
        with outside_transactions(self.fleet.hub.database):
            self._stop()
            while in_transaction(self.fleet.hub):
                self._signal(signal.SIGCONT)
                time.sleep(0.05)
                self._stop()
        try:
            yield
            wait_until(lambda: time.monotonic() >= until, 2 * LEASE_SECONDS + 1)
        finally:
            self._sent = len(self.services[1].read_journal(only_writes=True))
            self._signal(signal.SIGCONT)

    @contextmanager
    def _another_worker(self) -> Iterator[None]:
        """Run another worker within the context, so that the stopped one had claimed everything sent before."""
        worker = Member("worker", self.fleet.hub.environment, self.victims[1].log)
        worker.start()
        try:
            yield
        finally:
            worker.kill()

    def _stop(self) -> None:
        self._signal(signal.SIGSTOP)
        time.sleep(0.1)  # until all of their threads are stopped

    def _signal(self, number: signal.Signals) -> None:
        for member in self.victims:
            assert member.process is not None
            os.killpg(member.process.pid, number)

    def end(self) -> Report:
        """Wait until no delivery is open, and compare."""
        assert self.fleet.wait_until_idle(TAKEN_OVER_SECONDS)
        return observe(self.driver.sendings, *self.services, self.fleet.hub.rows)

    def _send_to_the_web(self, turn: int) -> threading.Thread:
        """Send webhooks that wait for the outcome, which the web process itself delivers."""
        return begin(self._change_and_send, turn, "first", AT_THE_WEB, "result", self.fleet.webs[0])

    def _send_to_the_worker(self, turn: int) -> threading.Thread:
        return begin(self._change_and_send, turn, "first", AT_THE_WORKER, "ack", self.fleet.webs[1])

    def _change_and_send(self, turn: int, word: str, people: list[str], mode: str, web: Member) -> None:
        """Change each person and send a webhook to this web process."""
        driver = replace(self.driver, ports=lambda: [web.port])
        driver.run(
            [Webhook(f"msg_{turn}_{word}_{person}", person, mode, 0) for person in people], len(people)
        )

    def _count_yielded(self) -> int:
        """Return how often a process logged that it gave up an attempt to another one."""
        log = self.fleet.log.read_text()
        return sum(log.count(line) for line in YIELDED)

    def _unknown(self) -> int:
        query = "SELECT count(*) FROM sync_attempt WHERE outcome = 'unknown'"
        return int(self.fleet.hub.rows(query)[0][0])

    def _settled(self) -> set[tuple[Any, ...]]:
        """Return all values that settling an attempt writes."""
        deliveries = "SELECT 'delivery', id, state, code, attempts_used, settled_at FROM sync_delivery"
        attempts = "SELECT 'attempt', id, outcome, code, record_id, ended_at FROM sync_attempt"
        events = "SELECT 'event', id, state, code FROM webhooks_event"
        return {row for query in (deliveries, attempts, events) for row in self.fleet.hub.rows(query)}


@contextmanager
def freezing_fleet(folder: Path, services: Services, mutant: str | None = None) -> Iterator[FreezingFleet]:
    """Run two web processes and a worker."""
    # Re-checks would change deliveries that have ended.
    variables = {"LEASE_SECONDS": str(LEASE_SECONDS), "RECHECK_SECONDS": "3600", "LOG_LEVEL": "WARNING"}
    with running_fleet(folder, services, webs=2, workers=1, mutant=mutant, **variables) as fleet:
        # A slow machine must not cause timeouts or open a breaker.
        fleet.hub.write("UPDATE sync_connection SET deadline_seconds = 30, breaker_failures = 30000")
        time.sleep(1.5)  # a process looks at its configuration once a second
        web, worker = fleet.webs[0], fleet.workers[0]
        driver = Driver(services[0], lambda: [fleet.webs[1].port])
        driver.add_people(PEOPLE)
        yield FreezingFleet(fleet, services, driver, (web, worker))


@contextmanager
def outside_transactions(database: str) -> Iterator[None]:
    """Keep all processes out of write transactions (SQLite): one that is stopped in a transaction blocks every writer."""
    if database.startswith("postgres"):
        yield
        return
    line = WriterQueue(lambda: database, 30)
    line.acquire()
    try:
        yield
    finally:
        line.release()


def in_transaction(hub: RunningHub) -> bool:
    """Return True if a stopped process is inside a transaction (PostgreSQL): its locks would block others."""
    if not hub.database.startswith("postgres"):
        return False
    query = "SELECT count(*) FROM pg_stat_activity WHERE state LIKE 'idle in transaction%'"
    stands = (
        f"{query} AND datname = current_database() AND state_change < clock_timestamp() - INTERVAL '0.08 s'"
    )
    return bool(hub.rows(stands)[0][0])


def begin(target: Callable[..., None], *arguments: object) -> threading.Thread:
    thread = threading.Thread(target=target, args=arguments, daemon=True)
    thread.start()
    return thread


def held(service: IdentityService | ShopService, seen: int) -> int:
    """Return the number of requests that the service has read and not answered yet."""
    return sum(request["ended"] is None for request in service.read_journal()[seen:])


@pytest.mark.one_engine  # with Celery: the write in flight of a killed process
def test_processes_that_were_stopped_past_their_lease_send_and_settle_nothing_afterwards(
    tmp_path: Path, services: Services, is_long: bool
) -> None:
    turns = 100 if is_long else 5
    with freezing_fleet(tmp_path, services) as freezing:
        for turn in range(turns):
            freezing.freeze(turn)
        report = freezing.end()
    print(f"\n{2 * turns} processes stopped with {freezing.frozen} attempts under way: {report}")
    report.assert_clean()
    assert freezing.sent_late == []
    assert freezing.settled_late == []
    assert report.unknown == freezing.frozen
    assert freezing.frozen >= turns * (len(PEOPLE) - 1), (
        "too few attempts were under way when they were stopped"
    )


@pytest.mark.one_database
def test_a_hub_that_does_not_check_its_claim_is_caught(tmp_path: Path, services: Services) -> None:
    with freezing_fleet(tmp_path, services, mutant="settle-without-token") as freezing:
        freezing.freeze(1)
        settled_late = len(freezing.settled_late)
        for turn in (2, 4, 6):  # where a process is when it is stopped is for the machine to say
            if not freezing.sent_late:
                freezing.freeze(turn)
        report = freezing.end()
    print(f"\n{report}, sent late {freezing.sent_late}, settled late {len(freezing.settled_late)}")
    assert settled_late, "at the write: a woken process settled what was not its own any more"
    assert freezing.sent_late, "at the fetch: a woken process sent what it knew"
