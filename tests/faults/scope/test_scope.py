"""The scope of a route while processes are killed: people leave and return by events, and the try of a condition."""

import random
from collections import Counter
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import pytest

from tests.faults.comparison.compared_fleet import FleetKiller, write
from tests.faults.first_load.killed_fleet import RowCount, decide
from tests.faults.fleet.hub_fleet import Fleet, Services, running_fleet
from tests.faults.load.source_driver import Driver, Webhook
from tests.support.compared_people import fill_systems

pytestmark = [
    pytest.mark.faults,
    pytest.mark.worker_processes,
    pytest.mark.concurrent,
    pytest.mark.submission,
]

PEOPLE = [f"SCOPED{number}" for number in range(40)]
LEAVERS, RETURNED = PEOPLE[:20], PEOPLE[:10]
_RUNNING = "SELECT COUNT(*) FROM sync_delivery WHERE state = 'running'"
_READ = "SELECT COALESCE(MAX(read_count), 0) FROM sync_conditiontry"


def test_who_leaves_and_returns_has_one_record_or_none_whatever_is_killed(
    tmp_path: Path, services: Services
) -> None:
    """Holds that an interrupted removal or creation is finished, and none is done twice."""
    identity, shop = services
    with running_fleet(tmp_path, services, webs=1, workers=1, LEASE_SECONDS="5") as fleet:
        write(
            fleet,
            "UPDATE sync_route SET condition = 'entity.locale == ''fi''', on_leaving = 'delete', max_removals = NULL,"
            " max_changed_percent = NULL, retry_base_seconds = 0.5, retry_cap_seconds = 1"
            " WHERE slug = 'aurora-user-shop'",
        )
        driver = Driver(identity, lambda: [fleet.webs[0].port])
        driver.add_people(PEOPLE)
        deliver = partial(deliver_killed, fleet, driver)
        for name, locale, people in (
            ("come", "fi", PEOPLE),
            ("leave", "sv", LEAVERS),
            ("return", "fi", RETURNED),
        ):
            for person in people:
                identity.directory.update_record("users", person, {"locale": locale}, replaces=False)
            deliver(name, people)
            owners = Counter(record["external_id"] for record in shop.list_records("customers"))
            outside = set(LEAVERS) - (set(RETURNED) if name == "return" else set())
            inside = set(PEOPLE) - (set() if name == "come" else outside)
            assert {person: owners[person] for person in PEOPLE} == {
                person: int(person in inside) for person in PEOPLE
            }, name
        states = dict(fleet.hub.rows("SELECT state, COUNT(*) FROM sync_delivery GROUP BY state"))
    assert set(states) <= {"succeeded", "unchanged", "superseded"}


def deliver_killed(fleet: Fleet, driver: Driver, name: str, people: Sequence[str]) -> None:
    """Send a webhook about each of these people, and kill processes while their deliveries run."""
    modes = random.Random(name)
    webhooks = [Webhook(f"{name}-{person}", person, modes.choice(["ack", "result"]), 0) for person in people]
    moments = [RowCount(kind, _RUNNING, 1) for kind in ("web", "worker", "web")]
    driver.identity.faults.add("slow", seconds=0.1)
    with FleetKiller(fleet, moments) as killer:
        driver.run(webhooks, clients=4)
        assert fleet.wait_until_idle()
    driver.identity.faults.clear()
    assert killer.killed, "no process was killed"


def test_a_try_whose_worker_is_killed_counts_each_person_once(tmp_path: Path, services: Services) -> None:
    identity, shop = services
    people = 600
    with running_fleet(tmp_path, services, webs=1, workers=1, LEASE_SECONDS="5") as fleet:
        fill_systems(identity, shop, people, partial(write, fleet))
        identity.faults.add("slow", seconds=0.3, path="/api/users$")
        moments = [RowCount("worker", _READ, number) for number in (50, 250, 500)]
        with FleetKiller(fleet, moments) as killer:
            tried = decide(fleet, "try-condition", "ends_with(entity.id, '7')", seconds=240)
        restarts = fleet.hub.rows("SELECT restarts FROM sync_conditiontry")
    assert killer.killed == moments
    assert tried == {
        "counts": {"stay": people // 10, "leave": people * 9 // 10},
        "read": people,
        "complete": True,
    }
    assert restarts == [(0,)], "a killed worker lost the place in the list"
