"""Promise I9: a process that stood still for longer than its lease sends and settles nothing when it goes on.

One web process and one worker are stopped together (SIGSTOP), each with several attempts under way: at the fetch, when
nothing has left, or at the write, when the shop has made the change. Another worker, which is started meanwhile, takes
over; the people change meanwhile, so that whoever goes on with what it knew brings back the past.
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
WOKEN = ("lost its lease before sending", "was taken over while its attempt ran")
AT_THE_WEB, AT_THE_WORKER = ["PERSON1", "PERSON2", "PERSON3"], ["PERSON4", "PERSON5", "PERSON6"]
PEOPLE = [*AT_THE_WEB, *AT_THE_WORKER]


@dataclass
class Ice:
    """The fleet, who is stopped in it, and what the woken ones did that they must not."""

    fleet: Fleet
    services: Services
    driver: Driver
    victims: tuple[Member, Member]
    frozen: int = 0
    sent_late: list[str] = field(default_factory=list)
    settled_late: list[str] = field(default_factory=list)

    def freeze(self, turn: int) -> None:
        """Stop both for twice the lease in mid-attempt: at the fetch in even turns, at the write in odd ones."""
        identity, shop = self.services
        service, methods = (identity, ["GET"]) if turn % 2 == 0 else (shop, ["POST", "PATCH", "PUT"])
        seen = len(service.read_journal())
        service.faults.add("slow", seconds=HELD_SECONDS, methods=methods, applied=True, times=len(PEOPLE))
        # The web process begins at once, the worker when it is told or looks: no lease may end before all are held.
        waiting = [self._send_to_the_worker(turn)]
        wait_until(lambda: held(service, seen) == len(AT_THE_WORKER), 15)
        waiting.append(self._send_to_the_web(turn))
        wait_until(lambda: held(service, seen) == len(PEOPLE), 10)
        before = self._woken()
        with self._stopped():
            service.faults.clear()
            self._tell(turn, "again", PEOPLE, "ack", self.fleet.webs[1])
            with self._another_worker():
                assert self.fleet.wait_until_idle(TAKEN_OVER_SECONDS), "nobody took over"
            lost, settled = self._unknown() - self.frozen, self._settled()
        self.frozen += lost
        with suppress(AssertionError):  # who does not look at its claim never says so, and writes instead
            wait_until(lambda: max(self._woken() - before, len(self._settled() - settled) // 2) >= lost, 15)
        for each in waiting:
            each.join()
        self.settled_late += sorted(map(str, self._settled() ^ settled))
        late = shop.read_journal(only_writes=True)[self._sent :]
        self.sent_late += [f"{each['method']} {each['entity']}" for each in late]

    @contextmanager
    def _stopped(self) -> Iterator[None]:
        """Both are stopped inside, at least for twice the lease; what they send afterwards is late."""
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
        """One that is there only now, so that the one that is stopped had what came before."""
        worker = Member("worker", self.fleet.hub.environment, self.victims[1].log)
        worker.start()
        try:
            yield
        finally:
            worker.kill()

    def _stop(self) -> None:
        self._signal(signal.SIGSTOP)
        time.sleep(0.1)  # until every thread of theirs stands

    def _signal(self, number: signal.Signals) -> None:
        for member in self.victims:
            assert member.process is not None
            os.killpg(member.process.pid, number)

    def end(self) -> Report:
        """At rest: the comparison."""
        assert self.fleet.wait_until_idle(TAKEN_OVER_SECONDS)
        return observe(self.driver.sendings, *self.services, self.fleet.hub.rows)

    def _send_to_the_web(self, turn: int) -> threading.Thread:
        """Who waits for the outcome has it made by the process that was asked."""
        return begin(self._tell, turn, "first", AT_THE_WEB, "result", self.fleet.webs[0])

    def _send_to_the_worker(self, turn: int) -> threading.Thread:
        return begin(self._tell, turn, "first", AT_THE_WORKER, "ack", self.fleet.webs[1])

    def _tell(self, turn: int, word: str, people: list[str], mode: str, web: Member) -> None:
        """Each changes, and says so to this web process."""
        driver = replace(self.driver, ports=lambda: [web.port])
        driver.run([Webhook(f"msg_{turn}_{word}_{each}", each, mode, 0) for each in people], len(people))

    def _woken(self) -> int:
        """How often a process said that it gave way to another."""
        log = self.fleet.log.read_text()
        return sum(log.count(each) for each in WOKEN)

    def _unknown(self) -> int:
        query = "SELECT count(*) FROM sync_attempt WHERE outcome = 'unknown'"
        return int(self.fleet.hub.rows(query)[0][0])

    def _settled(self) -> set[tuple[Any, ...]]:
        """All that a settling writes."""
        deliveries = "SELECT 'delivery', id, state, code, tries, settled_at FROM sync_delivery"
        attempts = "SELECT 'attempt', id, outcome, code, record_id, ended_at FROM sync_attempt"
        events = "SELECT 'event', id, state, code FROM webhooks_event"
        return {row for query in (deliveries, attempts, events) for row in self.fleet.hub.rows(query)}


@contextmanager
def ice(folder: Path, services: Services, mutant: str | None = None) -> Iterator[Ice]:
    """Two web processes and a worker."""
    variables = {"LEASE_SECONDS": str(LEASE_SECONDS), "LOG_LEVEL": "WARNING"}
    with running_fleet(folder, services, webs=2, workers=1, mutant=mutant, **variables) as fleet:
        # What stands still for long on a slow machine is no failure of a system.
        fleet.hub.write("UPDATE sync_connection SET deadline_seconds = 30, breaker_failures = 30000")
        time.sleep(1.5)  # a process looks at its configuration once a second
        web, worker = fleet.webs[0], fleet.workers[0]
        driver = Driver(services[0], lambda: [fleet.webs[1].port])
        driver.add_people(PEOPLE)
        yield Ice(fleet, services, driver, (web, worker))


@contextmanager
def outside_transactions(database: str) -> Iterator[None]:
    """Nobody is writing inside (SQLite): who is stopped there stops every writer, which is another test's matter."""
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
    """Whether one of the stopped processes stands inside a transaction (PostgreSQL): its locks are another test's matter."""
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
    """Requests that the double has read, and not answered yet."""
    return sum(each["ended"] is None for each in service.read_journal()[seen:])


def test_processes_that_stood_still_past_their_lease_send_and_settle_nothing_more(
    tmp_path: Path, services: Services, is_long: bool
) -> None:
    turns = 100 if is_long else 5
    with ice(tmp_path, services) as found:
        for turn in range(turns):
            found.freeze(turn)
        report = found.end()
    print(f"\n{2 * turns} processes stopped with {found.frozen} attempts under way: {report}")
    report.assert_clean()
    assert found.sent_late == []
    assert found.settled_late == []
    assert report.unknown == found.frozen
    assert found.frozen >= turns * (len(PEOPLE) - 1), "too few attempts were under way when they were stopped"


def test_a_hub_that_does_not_look_at_its_claim_is_caught(tmp_path: Path, services: Services) -> None:
    with ice(tmp_path, services, mutant="settle-without-token") as found:
        found.freeze(1)
        settled_late = len(found.settled_late)
        for turn in (2, 4, 6):  # where a process is when it is stopped is for the machine to say
            if not found.sent_late:
                found.freeze(turn)
        report = found.end()
    print(f"\n{report}, sent late {found.sent_late}, settled late {len(found.settled_late)}")
    assert settled_late, "at the write: a woken process settled what was not its own any more"
    assert found.sent_late, "at the fetch: a woken process sent what it knew"
