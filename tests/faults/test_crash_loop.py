"""Promises I1, I3 and I9 under random kill -9: the source, the two systems and the database are compared."""

import itertools
import json
import random
import threading
import time
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.client import HTTPException
from pathlib import Path

import pytest

from sandbox.identity import IdentityService
from sandbox.shop import ShopService
from tests.support.hub import SIGNING_SECRET
from tests.support.processes.hub_processes import RunningHub, running_hub

pytestmark = pytest.mark.slow

KILLS, CLIENTS, PEOPLE = 12, 4, 10


@dataclass
class Driver:
    """A source that sends webhooks from several threads and keeps the answers outside the hub."""

    hub: RunningHub
    identity: IdentityService
    answered: dict[str, int] = field(default_factory=dict)
    sent: set[str] = field(default_factory=set)
    stop: threading.Event = field(default_factory=threading.Event)
    numbers: Iterator[int] = field(default_factory=itertools.count)

    def run(self) -> None:
        while not self.stop.is_set():
            number = next(self.numbers)
            person, name = f"PERSON{number % PEOPLE}", f"msg_{number}"
            emails = [{"address": f"{person.lower()}.{number}@example.com", "verified": True}]
            self.identity.directory.update_record("users", person, {"emails": emails}, replaces=False)
            self.send(person, name)

    def send(self, person: str, name: str) -> None:
        respond = {"mode": random.choice(["ack", "result"]), "wait": 5000}
        body = {"id": person, "entityType": "USER", "eventType": "UPDATE", "respond": respond}
        self.sent.add(name)
        try:
            self.answered[name] = self.hub.send_signed(json.dumps(body).encode(), name).status
        except (OSError, EOFError, ValueError, HTTPException):
            time.sleep(0.02)  # the hub was killed meanwhile: nothing was acknowledged


@pytest.fixture
def services() -> Iterator[tuple[IdentityService, ShopService]]:
    with IdentityService(secret=SIGNING_SECRET) as identity, ShopService() as shop:
        for number in range(PEOPLE):
            person = f"PERSON{number}"
            emails = [{"address": f"{person.lower()}@example.com", "verified": True}]
            identity.directory.create_record(
                "users", {"id": person, "username": person.lower(), "emails": emails}
            )
        shop.faults.add("slow", seconds=0.03)
        yield identity, shop


def test_no_kill_loses_a_webhook_or_leaves_a_request_without_its_row(
    tmp_path: Path, services: tuple[IdentityService, ShopService]
) -> None:
    seed = random.randrange(10**6)
    print(f"seed {seed}")
    random.seed(seed)
    identity, shop = services
    with running_hub(tmp_path, identity, shop, LEASE_SECONDS="3") as hub:
        driver = Driver(hub, identity)
        storm(driver)
        shop.faults.clear()
        for number in range(PEOPLE):  # a source repeats what a dead hub did not answer
            driver.send(f"PERSON{number}", f"msg_last_{number}")
        hub.manage("deliver_due", "--early")
        check(driver, hub, shop)


def storm(driver: Driver) -> None:
    clients = [threading.Thread(target=driver.run, daemon=True) for _ in range(CLIENTS)]
    for client in clients:
        client.start()
    for _ in range(KILLS):
        time.sleep(random.uniform(0.3, 1.2))
        driver.hub.kill()
        driver.hub.start()
    driver.stop.set()
    for client in clients:
        client.join(30)


def check(driver: Driver, hub: RunningHub, shop: ShopService) -> None:
    stored = {row[0] for row in hub.rows("SELECT event_id FROM webhooks_event")}
    promised = {name for name, status in driver.answered.items() if status in (200, 202)}
    attempts = {str(row[0]).replace("-", "") for row in hub.rows("SELECT key FROM sync_attempt")}
    keys = {row[0] for row in hub.rows("SELECT key FROM sync_call WHERE is_write")}
    journal = shop.read_journal()
    states = dict(hub.rows("SELECT state, count(*) FROM sync_delivery GROUP BY state"))
    unknown = hub.rows("SELECT count(*) FROM sync_attempt WHERE outcome = 'unknown'")[0][0]
    print(
        f"{len(promised)} acknowledged, {len(stored)} stored, {unknown} attempts of unknown outcome, {states}"
    )
    assert len(promised) > 50, "the storm was too weak to show anything"
    assert unknown > 0, "no kill hit an attempt"
    assert promised - stored == set(), "lost"
    assert stored - driver.sent == set(), "phantom"
    unaccounted = [request for request in journal if str(request["attempt"]).replace("-", "") not in attempts]
    assert unaccounted == [], "a request that no attempt accounts for"
    assert [request["n"] for request in journal if request["write"] and request["key"] not in keys] == []
    assert set(states) <= {"succeeded", "unchanged"}, "stuck"
    assert stale(driver.identity, shop) == []


def stale(identity: IdentityService, shop: ShopService) -> list[str]:
    """Return people whose record differs from the identity service once all is delivered."""
    found = defaultdict(list)
    for record in shop.list_records("customers"):
        found[record.get("external_id")].append(record["email"])
    wanted = {user["id"]: user["emails"][0]["address"] for user in identity.list_records("users")}
    return [
        person
        for person in found
        if person in wanted and found[person] != [wanted[person]] and "PERSON" in person
    ]
