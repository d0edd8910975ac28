"""Promises I1 and I20: the web process ends by SIGTERM or kill -9 while it receives a batch of 100 events.

Also promise I2 for batches that carry their data: several changes of one person are applied in their order.
"""

import os
import signal
import threading
import time
from pathlib import Path

import pytest

from tests.faults.consistency.batch_checks import find_batch_faults
from tests.faults.consistency.checker import observe
from tests.faults.fleet.hub_fleet import Fleet, Services, running_fleet
from tests.faults.load.batch_driver import BatchDriver
from tests.faults.load.native_source import ACK, MAX_EVENTS, RESULT, Batch, Change, add_native_sources

pytestmark = [pytest.mark.faults, pytest.mark.worker_processes]

PEOPLE = [f"PERSON{number}" for number in range(25)]


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


def test_a_batch_of_100_events_survives_the_end_of_its_web_process(
    tmp_path: Path, services: Services
) -> None:
    """Each batch is sent, the process ends a moment later, and the source repeats what was not answered."""
    with running_fleet(tmp_path, services, webs=1, workers=1) as fleet:
        add_native_sources(fleet.hub)
        driver = BatchDriver(services[0], lambda: [fleet.webs[0].port])
        driver.add_people(PEOPLE)
        for number, ending in enumerate((signal.SIGTERM, signal.SIGKILL)):
            for source, moment in ((ACK, 0.03), (RESULT, 0.4)):
                batch = large_batch(f"large_{number}_{source}", source)
                sending = threading.Thread(target=driver.deliver_batch, args=[batch])
                sending.start()
                wait_until_posted(driver, batch)
                time.sleep(moment)
                stop(fleet, ending)
                sending.join(60)
                assert not sending.is_alive()
                first = next(request for request in driver.requests if request.batch is batch)
                assert first.status is not None or ending == signal.SIGKILL, "a graceful end cuts no request"
        assert fleet.wait_until_idle(60)
        report = observe(driver.sendings, *services, fleet.hub.rows)
        faults = find_batch_faults(driver, fleet.hub)
    print(f"\n{report}; {[request.status for request in driver.requests]}")
    report.assert_clean()
    assert faults == {}
    assert report.stored == 4 * MAX_EVENTS


def wait_until_posted(driver: BatchDriver, batch: Batch) -> None:
    """Wait until all people of the batch are changed and its request has begun."""
    until = time.monotonic() + 20
    while batch.name not in driver.begun and time.monotonic() < until:
        time.sleep(0.005)
    assert batch.name in driver.begun, f"{batch.name} was not sent"


def test_changes_of_one_person_in_a_batch_are_applied_in_their_order(
    tmp_path: Path, services: Services
) -> None:
    """The events carry the data. The shop is slow and fails at times, and two processes deliver."""
    services[1].faults.add("slow", seconds=0.05, probability=0.5)
    people = PEOPLE[:4]
    with running_fleet(tmp_path, services, webs=2, workers=1) as fleet:
        add_native_sources(fleet.hub, relays=True)
        driver = BatchDriver(services[0], lambda: [web.port for web in fleet.webs])
        driver.add_people(people)
        for number in range(3):
            changes = [
                carried(f"carried_{number}_{version}_{person}", person, number * 6 + version)
                for version in range(6)
                for person in people
            ]
            driver.send_batch(Batch(f"carried_{number}", ACK, tuple(changes)))
        assert fleet.wait_until_idle(60)
        records = services[1].list_records("customers")
        faults = find_batch_faults(driver, fleet.hub)
        report = observe(driver.sendings, *services, fleet.hub.rows)
    versions = {record["external_id"]: record["email"] for record in records if record.get("external_id")}
    assert {person: versions[person] for person in people} == {
        person: f"{person.lower()}.v17@example.com" for person in people
    }
    assert not [line for line in report.stale if "went from" in line]
    assert set(report.complaints) <= {"stale", "uncovered"}, "nothing is fetched"
    assert faults == {}


def carried(event_id: str, person: str, version: int) -> Change:
    """Return a change that carries the person with an address of this version."""
    emails = [{"address": f"{person.lower()}.v{version}@example.com", "verified": True}]
    return Change(event_id, person, person={"id": person, "emails": emails})
