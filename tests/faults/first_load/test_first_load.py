"""The first load of a target that was in use before the hub, from observing to going live, while the web process and the
worker are killed in each step: nothing is written before a person lets the route go live, nobody gets a second record,
and the records of nobody stay as they are.
"""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from tests.faults.comparison.compared_fleet import (
    FleetKiller,
    KillPoint,
    compare,
    found_differences,
)
from tests.faults.first_load.killed_fleet import RowCount, decide
from tests.faults.fleet.hub_fleet import Fleet, Services, running_fleet
from tests.support.compared_people import person_id, record_id
from tests.support.first_load import FirstLoad, owners_of, records_of, shared_addresses
from tests.support.rows import in_submission_on_sqlite

pytestmark = [pytest.mark.faults, pytest.mark.worker_processes, pytest.mark.concurrent]

_MEMBERS = "SELECT count(*) FROM sync_matchlinkingmember"
_LINKS = "SELECT count(*) FROM sync_link WHERE record_id <> ''"
_WRITTEN = "SELECT count(*) FROM sync_delivery WHERE state = 'succeeded'"
_HELD = "SELECT entity_id FROM sync_delivery WHERE state = 'held'"
# Lists of at most this number of differences of a kind are confirmed one by one.
CONFIRMED = 1_000


@pytest.mark.promise("I30", "I26")
@pytest.mark.parametrize(
    "scale",
    [
        pytest.param(2, id="small", marks=in_submission_on_sqlite),
        pytest.param(100, id="large", marks=pytest.mark.nightly),
    ],
)
def test_a_first_load_writes_nothing_before_it_goes_live_and_duplicates_nobody(
    tmp_path: Path, services: Services, scale: int
) -> None:
    identity, shop = services
    load = FirstLoad(scale)
    with running_fleet(tmp_path, services, webs=1, workers=1, ABSENCE_CONFIRM_SECONDS="1") as fleet:
        load.fill(identity, shop)
        before = shop.list_records("customers")
        # Several pages, each of which takes a moment: so that a process is killed within each step.
        assert decide(fleet, "observe", str(5 * scale)) == {"mode": "observe"}
        for service in services:
            service.faults.add("slow", seconds=0.05, path="/api/(users|customers)$")

        seen = [*load.certain[:2], *load.ambiguous[:2], *load.unverified[:2], *load.new[:2]]
        assert report(fleet, seen) == [(200, "observed")] * len(seen)
        linked = observe_and_link(fleet, load)
        assert linked["counts"] == {"linked": len(load.certain)}
        assert writes_of(services) == []
        assert shop.list_records("customers") == before

        comparison = compare(fleet).document["comparison"]
        assert decide(fleet, "go-live", comparison) == {"mode": "live"}
        written = fleet.hub.rows(_WRITTEN)[0][0]
        moments = tuple(
            RowCount(kind, _WRITTEN, written + count)
            for kind, count in (("worker", 3 * scale), ("web", 6 * scale), ("worker", 9 * scale))
        )
        with FleetKiller(fleet, moments) as killer:
            assert decide(fleet, "make-equal", comparison) == {"state": "finished"}
            assert fleet.wait_until_idle()
        assert killer.killed == list(moments), "a process was not killed where it should be"

        assert_loaded(services, load, before)
        # What a webhook says later of those about whom nobody has decided waits for a person.
        report(fleet, load.undecided)
        assert {key for (key,) in fleet.hub.rows(_HELD)} == people(load.undecided)
        assert_loaded(services, load, before)
        after = compare(fleet)
        if len(load.certain) <= CONFIRMED:
            assert found_differences(fleet, after.document["comparison"]) == {
                "found-by-value": {person_id(number) for number in load.undecided},
                "unknown-record": {record_id(number) for number in load.strangers},
            }
    counts = after.document["counts"]
    assert counts["found-by-value"] == 2 * scale
    assert counts["unknown-record"] == 4 * scale
    assert counts["in-step"] == 17 * scale


def observe_and_link(fleet: Fleet, load: FirstLoad) -> dict[str, Any]:
    """Compare, and link all whose verified value is equal and unique, while processes are killed. Returns its numbers."""
    points = (
        KillPoint("worker", "records", 6 * load.scale),
        KillPoint("web", "entities", 6 * load.scale),
        KillPoint("worker", "confirming"),
    )
    with FleetKiller(fleet, points) as comparing:
        document = compare(fleet).document
    assert comparing.killed == list(points), "a process was not killed where it should be"
    counts = document["counts"]
    assert (document["state"], document["identity_gap"], document["target_gap"]) == ("done", "", "")
    assert counts["missing-record"] == len(load.new)
    assert counts["found-by-value"] == len(load.certain) + len(load.undecided)
    assert counts["unknown-record"] == len(load.strangers)
    moments = (
        RowCount("worker", _MEMBERS, 4 * load.scale),
        RowCount("worker", _LINKS, 4 * load.scale),
        RowCount("web", _LINKS, 8 * load.scale),
    )
    with FleetKiller(fleet, moments) as linking:
        linked = decide(fleet, "link-all", document["comparison"])
    assert linking.killed == list(moments), "a process was not killed where it should be"
    return linked


def report(fleet: Fleet, numbers: Sequence[int]) -> list[tuple[int, str]]:
    """Send a webhook of an update of each person. Returns the status and the word of each answer."""
    answers = []
    fleet.wait_until_healthy()
    fleet.hub.port = fleet.webs[0].port
    for number in numbers:
        body = {"id": person_id(number), "entityType": "USER", "eventType": "UPDATE"}
        answer = fleet.hub.send_signed(json.dumps(body).encode(), f"msg_{uuid4()}")
        answers.append((answer.status, json.loads(answer.body)["status"]))
    assert fleet.wait_until_idle()
    return answers


def writes_of(services: Services) -> list[dict[str, Any]]:
    return [entry for service in services for entry in service.read_journal(only_writes=True)]


def assert_loaded(services: Services, load: FirstLoad, before: list[dict[str, Any]]) -> None:
    """Each person has the record that was theirs, or a new one; all other records are as before."""
    identity, shop = services
    owners = owners_of(shop)
    assert {person: ids for person, ids in owners.items() if len(ids) > 1} == {}
    assert {person: ids[0] for person, ids in owners.items() if person not in people(load.new)} == {
        person_id(number): record_id(number) for number in load.certain
    }
    assert owners.keys() == people(load.certain) | people(load.new)
    assert len(shop.list_records("customers")) == len(before) + len(load.new)
    assert shared_addresses(shop) == {load.address_of(number) for number in load.ambiguous}
    untouched = [*load.undecided, *load.strangers]
    known = {str(record["id"]): record for record in before}
    assert records_of(shop, untouched) == [known[record_id(number)] for number in untouched]
    assert identity.read_journal(only_writes=True) == []


def people(numbers: Sequence[int]) -> set[str]:
    return {person_id(number) for number in numbers}
