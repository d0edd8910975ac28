"""Promise I2 for batches that carry their data: several changes of one person are applied in their order."""

from pathlib import Path

import pytest

from tests.faults.consistency.batch_checks import find_batch_faults
from tests.faults.consistency.checker import observe
from tests.faults.fleet.hub_fleet import Services, running_fleet
from tests.faults.load.batch_driver import BatchDriver
from tests.faults.load.native_source import ACK, Batch, Change, add_native_sources

pytestmark = [
    pytest.mark.faults,
    pytest.mark.nightly,
    pytest.mark.worker_processes,
    pytest.mark.concurrent,
]

PEOPLE = [f"PERSON{number}" for number in range(4)]
VERSIONS, BATCHES = 6, 3
"""Changes of each person in a batch, and the number of batches."""


@pytest.mark.promise("I2")
def test_changes_of_one_person_in_a_batch_are_applied_in_their_order(
    tmp_path: Path, services: Services
) -> None:
    """Batches whose events carry the data go to a shop that is slow at times; two processes deliver."""
    services[1].faults.add("slow", seconds=0.05, probability=0.5)
    with running_fleet(tmp_path, services, webs=2, workers=1) as fleet:
        add_native_sources(fleet.hub, relays=True)
        driver = BatchDriver(services[0], lambda: [web.port for web in fleet.webs])
        driver.add_people(PEOPLE)
        for number in range(BATCHES):
            changes = [
                carried(f"carried_{number}_{version}_{person}", person, number * VERSIONS + version)
                for version in range(VERSIONS)
                for person in PEOPLE
            ]
            driver.send_batch(Batch(f"carried_{number}", ACK, tuple(changes)))
        assert fleet.wait_until_idle()
        records = services[1].list_records("customers")
        faults = find_batch_faults(driver, fleet.hub)
        report = observe(driver.sendings, *services, fleet.hub.rows)
    # Nothing is fetched, so that the addresses differ from those of the identity service.
    assert set(report.complaints) <= {"stale", "uncovered"}
    assert [line for line in report.complaints.get("stale", ()) if "went from" in line] == []
    assert faults == {}
    addresses = {record["external_id"]: record["email"] for record in records if record.get("external_id")}
    assert {person: addresses.get(person) for person in PEOPLE} == {
        person: f"{person.lower()}.v{BATCHES * VERSIONS - 1}@example.com" for person in PEOPLE
    }


def carried(event_id: str, person: str, version: int) -> Change:
    """Return a change that carries the person with an address of this version."""
    emails = [{"address": f"{person.lower()}.v{version}@example.com", "verified": True}]
    return Change(event_id, person, person={"id": person, "emails": emails})
