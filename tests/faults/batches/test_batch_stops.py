"""Promises I1 and I20: the web process ends by SIGTERM or kill -9 while it receives a batch of 100 events.

Also promise I2 for batches that carry their data: several changes of one person are applied in their order.
"""

import os
import signal
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.faults.consistency.batch_checks import find_batch_faults
from tests.faults.consistency.checker import Report, observe
from tests.faults.fleet.hub_fleet import Fleet, Services, running_fleet
from tests.faults.load.batch_driver import BatchDriver
from tests.faults.load.native_source import ACK, MAX_EVENTS, RESULT, Batch, Change, add_native_sources

pytestmark = [pytest.mark.faults, pytest.mark.worker_processes]

PEOPLE = [f"PERSON{number}" for number in range(25)]
VERSIONS = 6
"""Changes of each person in a batch that carries the data."""


def large_batch(name: str, source: str) -> Batch:
    changes = (Change(f"{name}_{number}", PEOPLE[number % len(PEOPLE)]) for number in range(MAX_EVENTS))
    return Batch(name, source, tuple(changes))


def stop(fleet: Fleet, number: signal.Signals) -> None:
    """End the only web process by a signal to its group, wait for its end, and start it again."""
    web = fleet.webs[0]
    assert web.process is not None
    if number == signal.SIGTERM:
        os.kill(web.process.pid, number)
        web.process.wait(40)
        web.process = None
    web.kill()
    web.start()
    fleet.wait_until_healthy()


@dataclass(frozen=True, slots=True)
class Stop:
    """A batch to a source, and the end of its web process `seconds` after the request began; with None as soon as it
    is answered.
    """

    ending: signal.Signals
    source: str
    seconds: float | None = None


STOPS = (Stop(signal.SIGTERM, RESULT, 0.4), Stop(signal.SIGKILL, ACK, 0.03))
MORE_STOPS = (
    Stop(signal.SIGTERM, ACK, 0.03),
    Stop(signal.SIGKILL, RESULT, 0.4),
    Stop(signal.SIGKILL, ACK),
)


def run_stops(
    folder: Path, services: Services, stops: Sequence[Stop], mutant: str | None = None
) -> tuple[Report, dict[str, object]]:
    """Send a batch for each stop, which the source repeats until it is answered. Returns the comparison, and the faults
    that both checkers found, by kind.
    """
    with running_fleet(folder, services, webs=1, workers=1, mutant=mutant) as fleet:
        add_native_sources(fleet.hub)
        driver = BatchDriver(services[0], lambda: [fleet.webs[0].port])
        driver.add_people(PEOPLE)
        for number, planned in enumerate(stops):
            send_and_stop(fleet, driver, large_batch(f"large_{number}", planned.source), planned)
        assert fleet.wait_until_idle(60)
        report = observe(driver.sendings, *services, fleet.hub.rows)
        faults = {**report.complaints, **find_batch_faults(driver, fleet.hub)}
    print(f"\n{mutant}: {report}; {[request.status for request in driver.requests]}, {list(faults)}")
    return report, faults


def send_and_stop(fleet: Fleet, driver: BatchDriver, batch: Batch, planned: Stop) -> None:
    sending = threading.Thread(target=driver.deliver_batch, args=[batch])
    sending.start()
    if planned.seconds is None:
        sending.join(60)
    else:
        wait_until_posted(driver, batch)
        time.sleep(planned.seconds)
    stop(fleet, planned.ending)
    sending.join(60)
    assert not sending.is_alive()
    first = next(request for request in driver.requests if request.batch is batch)
    assert first.status is not None or planned.ending == signal.SIGKILL, "a graceful end cuts no request"


def test_a_batch_of_100_events_survives_the_end_of_its_web_process(
    tmp_path: Path, services: Services, is_long: bool
) -> None:
    stops = STOPS + MORE_STOPS if is_long else STOPS
    report, faults = run_stops(tmp_path, services, stops)
    assert faults == {}
    assert report.stored == len(stops) * MAX_EVENTS


@pytest.mark.one_database
@pytest.mark.parametrize(
    ("mutant", "kind"), [("batch-in-two-commits", "partial"), ("batch-answer-first", "lost")]
)
def test_each_broken_variant_is_caught(tmp_path: Path, services: Services, mutant: str, kind: str) -> None:
    assert kind in run_stops(tmp_path, services, [Stop(signal.SIGKILL, ACK)], mutant)[1]


def wait_until_posted(driver: BatchDriver, batch: Batch) -> None:
    """Wait until all people of the batch are changed and its request has begun."""
    until = time.monotonic() + 20
    while batch.name not in driver.begun and time.monotonic() < until:
        time.sleep(0.005)
    assert batch.name in driver.begun, f"{batch.name} was not sent"


def run_carried_changes(
    folder: Path, services: Services, batches: int, mutant: str | None = None
) -> tuple[set[str], dict[str, str | None]]:
    """Send batches whose events carry the data, to a shop that is slow at times; two processes deliver.

    Returns the kinds of faults, and the shop's address of each person.
    """
    services[1].faults.add("slow", seconds=0.05, probability=0.5)
    people = PEOPLE[:4]
    with running_fleet(folder, services, webs=2, workers=1, mutant=mutant) as fleet:
        add_native_sources(fleet.hub, relays=True)
        driver = BatchDriver(services[0], lambda: [web.port for web in fleet.webs])
        driver.add_people(people)
        for number in range(batches):
            changes = [
                carried(f"carried_{number}_{version}_{person}", person, number * VERSIONS + version)
                for version in range(VERSIONS)
                for person in people
            ]
            driver.send_batch(Batch(f"carried_{number}", ACK, tuple(changes)))
        fleet.wait_until_idle(60)
        records = services[1].list_records("customers")
        faults = find_batch_faults(driver, fleet.hub)
        report = observe(driver.sendings, *services, fleet.hub.rows)
    addresses = {record["external_id"]: record["email"] for record in records if record.get("external_id")}
    # Nothing is fetched, so that the addresses differ from those of the identity service.
    kinds = {*faults, *report.complaints} - {"stale", "uncovered"}
    kinds |= {"dropped" for line in report.complaints.get("stale", ()) if "went from" in line}
    print(f"\n{mutant}: {report}; {kinds}, {addresses}")
    return kinds, {person: addresses.get(person) for person in people}


def test_changes_of_one_person_in_a_batch_are_applied_in_their_order(
    tmp_path: Path, services: Services
) -> None:
    kinds, addresses = run_carried_changes(tmp_path, services, batches=3)
    assert kinds == set()
    assert addresses == {person: f"{person.lower()}.v{3 * VERSIONS - 1}@example.com" for person in PEOPLE[:4]}


@pytest.mark.one_database
def test_a_hub_that_stores_a_batch_in_the_opposite_order_is_caught(
    tmp_path: Path, services: Services
) -> None:
    kinds, _ = run_carried_changes(tmp_path, services, 1, "batch-stored-reversed")
    assert {"order", "dropped"} <= kinds


def carried(event_id: str, person: str, version: int) -> Change:
    """Return a change that carries the person with an address of this version."""
    emails = [{"address": f"{person.lower()}.v{version}@example.com", "verified": True}]
    return Change(event_id, person, person={"id": person, "emails": emails})
