"""Promises I2, I4, I7 and I8: nothing stale, no change missed, duplicates harmless, replays in line with the rest.

Many people change while both systems are slow, fail and answer too late; a third of the webhooks come more than once,
some in bursts, and staff replay what is long over. Afterwards the shop must have what the identity service has.
"""

import json
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from sandbox.identity import IdentityService
from sandbox.shop import ShopService
from tests.faults.checker import Report, observe
from tests.faults.storm_driver import Driver, Webhook, plan
from tests.faults.storm_fleet import Fleet, running_fleet
from tests.hub import SIGNING_SECRET
from tests.running import ROOT, RunningHub

pytestmark = pytest.mark.faults

SEED = 20261124
DEADLINE_SECONDS, TOO_LATE_SECONDS = 2.0, 3.0
SETTING_UP = f"""
from sync.models import Connection, Route
Connection.objects.update(deadline_seconds={DEADLINE_SECONDS}, breaker_failures=30_000)
Route.objects.update(tries=30, retry_base_seconds=0.5, retry_cap_seconds=2)
"""
REPLAYING = """
import json, random, sys, threading, time, uuid
from django.contrib.auth import get_user_model
from django.db import connections
from sync.replaying import AlreadyRequested, request_replay
from webhooks.models import Event

def ask(event, person, key, told):
    try:
        request_replay([event], by=person, reason=f"asked by {person}", key=key)
        told.append("done")
    except AlreadyRequested:
        told.append("done already")
    finally:
        connections.close_all()

def work(person, events):
    for event in events:
        key, told = uuid.uuid4(), []
        clicks = [threading.Thread(target=ask, args=(event, person, key, told)) for _ in range(2)]
        for each in clicks: each.start()
        for each in clicks: each.join()
        answers.append(sorted(told))
        time.sleep(random.uniform(0, 0.2))

answers, chance = [], random.Random(%(seed)d)
people = [get_user_model().objects.create(username=f"staff{number}", is_staff=True) for number in range(5)]
events = list(Event.objects.order_by("pk"))
chosen = chance.sample(events, min(%(replays)d, len(events)))
staff = [threading.Thread(target=work, args=(each, chosen[at::5])) for at, each in enumerate(people)]
for each in staff: each.start()
for each in staff: each.join()
print(json.dumps(answers))
"""

Services = tuple[IdentityService, ShopService]


@dataclass(frozen=True, slots=True)
class Load:
    """How much comes. Each of `bursts` is fifty webhooks for one person at once. `replays` are asked for in the middle."""

    webhooks: int
    people: int
    bursts: int = 4
    replays: int = 100
    drain_seconds: float = 60
    burst_size: int = 50

    @property
    def names(self) -> list[str]:
        return [f"PERSON{number}" for number in range(self.people)]


@dataclass(frozen=True, slots=True)
class AsTheHubSaw:
    """A double whose journal ends a request when the hub had given it up. A write that was answered late was made when
    it came.
    """

    service: IdentityService | ShopService

    def records(self, collection: str) -> list[dict[str, Any]]:
        return self.service.records(collection)

    def journal(self) -> list[dict[str, Any]]:
        return [_given_up(each) for each in self.service.journal()]


def _given_up(entry: dict[str, Any]) -> dict[str, Any]:
    if entry["ended"] - entry["started"] < TOO_LATE_SECONDS:
        return entry
    return entry | {"ended": entry["started"] + (0.0 if entry["write"] else DEADLINE_SECONDS)}


@dataclass(frozen=True, slots=True)
class Aftermath:
    """What the load left. `replays`: for each that was asked for twice at once, what the two clicks were told."""

    report: Report
    sent: int
    webhooks: int
    receipts: int
    events: int
    fetches: int
    causes: Mapping[str, int]
    replays: list[list[str]]
    replayed: list[tuple[Any, ...]]
    states: Mapping[str, int]

    def __str__(self) -> str:
        return (
            f"{self.report}\n{self.webhooks} webhooks in {self.sent} sendings, {self.receipts} receipts,"
            f" {self.events} events, {self.fetches} fetches, attempts {self.causes}, deliveries {self.states},"
            f" {len(self.replays)} replays"
        )


@pytest.fixture
def services() -> Iterator[Services]:
    with IdentityService(secret=SIGNING_SECRET) as identity, ShopService() as shop:
        yield identity, shop


def disturb(services: Services) -> None:
    """Fetches take 0 to 0.2 s after they were read; a tenth of the writes fail, half of those after they were made; a
    twentieth of all is answered after our patience.
    """
    identity, shop = services
    for seconds in (0.03, 0.06, 0.11):
        identity.faults.add("slow", seconds=seconds, probability=0.5, applied=True)
    writes = ["POST", "PATCH", "PUT"]
    shop.faults.add("error", status=503, probability=0.05, methods=writes)
    shop.faults.add("after", status=503, probability=0.05, methods=writes)
    identity.faults.add("slow", seconds=TOO_LATE_SECONDS, probability=0.025, applied=True)
    shop.faults.add("slow", seconds=TOO_LATE_SECONDS, probability=0.025, methods=writes, applied=True)


def press(fleet: Fleet, services: Services, load: Load) -> Aftermath:
    """Send it all, replay in the middle, let the systems recover, drain, compare."""
    driver = Driver(services[0], lambda: [each.port for each in fleet.webs])
    driver.add_people(load.names)
    alone = load.webhooks - load.bursts * load.burst_size
    webhooks = plan(alone, int(alone * 0.3), load.names, SEED)
    half = len(webhooks) // 2
    driver.run(webhooks[:half], 12)
    with replaying(fleet.hub, load.replays) as replays, bursting(driver, load):
        driver.run(webhooks[half:], 12)
    fleet.wait_until_idle(load.drain_seconds)
    identity, shop = AsTheHubSaw(services[0]), AsTheHubSaw(services[1])
    report = observe(driver.sendings, identity, shop, fleet.hub.rows)  # type: ignore[arg-type]
    return _aftermath(fleet.hub, services[0], driver, report, replays)


def _aftermath(
    hub: RunningHub, identity: IdentityService, driver: Driver, report: Report, replays: list[list[str]]
) -> Aftermath:
    replayed = "SELECT r.id, count(a.id), min(r.requested_by_id), min(r.reason) FROM sync_replay r"
    joined = f"{replayed} LEFT JOIN sync_attempt a ON a.replay_id = r.id GROUP BY r.id"
    return Aftermath(
        report,
        sent=len(driver.sendings),
        webhooks=len({each.webhook_id for each in driver.sendings}),
        receipts=hub.rows("SELECT count(*) FROM webhooks_receipt")[0][0],
        events=hub.rows("SELECT count(*) FROM webhooks_event")[0][0],
        fetches=sum(each["method"] == "GET" for each in identity.journal()),
        causes=dict(hub.rows("SELECT cause, count(*) FROM sync_attempt GROUP BY cause")),
        replays=replays,
        replayed=hub.rows(joined),
        states=dict(hub.rows("SELECT state, count(*) FROM sync_delivery GROUP BY state")),
    )


@contextmanager
def replaying(hub: RunningHub, replays: int) -> Iterator[list[list[str]]]:
    """Five of the staff, in a process of their own, each confirming every replay twice at the same moment."""
    answers: list[list[str]] = []
    script = REPLAYING % {"seed": SEED, "replays": replays}
    command = [sys.executable, "manage.py", "shell", "--verbosity", "0", "-c", script]
    process = subprocess.Popen(command, cwd=ROOT, env=hub.environment, stdout=subprocess.PIPE, text=True)
    try:
        yield answers
        printed, _ = process.communicate(timeout=120)
        answers += json.loads(printed)
    finally:
        process.kill()


@contextmanager
def bursting(driver: Driver, load: Load) -> Iterator[None]:
    """Meanwhile, one person after the other changes fifty times at once."""

    def burst() -> None:
        for number, person in enumerate(load.names[: load.bursts]):
            names = [f"burst_{number}_{each}" for each in range(load.burst_size)]
            driver.run([Webhook(each, person, "ack", 0) for each in names], load.burst_size)
            time.sleep(0.5)

    thread = threading.Thread(target=burst)
    thread.start()
    try:
        yield
    finally:
        thread.join()


@contextmanager
def pressed_fleet(folder: Path, services: Services, mutant: str | None = None) -> Iterator[Fleet]:
    """Two web processes and two workers with eight threads each; patient leases, short deadlines, quick retries."""
    variables = {"LEASE_SECONDS": "10", "QUEUE_URL": ""}
    with running_fleet(folder, services, webs=2, workers=2, mutant=mutant, **variables) as fleet:
        fleet.hub.manage("shell", "--verbosity", "0", "-c", SETTING_UP)
        time.sleep(1.0)  # a process looks at its configuration once a second
        disturb(services)
        yield fleet


def test_under_load_with_failures_duplicates_bursts_and_replays_nothing_is_stale_or_missed(
    tmp_path: Path, services: Services, is_long: bool
) -> None:
    load = Load(20_000, 200, bursts=40, replays=1000) if is_long else Load(2000, 200)
    started = time.monotonic()
    with pressed_fleet(tmp_path, services) as fleet:
        after = press(fleet, services, load)
    print(f"\n{load}, {time.monotonic() - started:.0f} s: {after}")
    after.report.assert_clean()
    assert set(after.states) <= {"succeeded", "unchanged"}
    assert after.events == after.webhooks
    assert after.receipts == after.sent
    assert after.fetches <= after.webhooks + len(after.replays) + after.causes["retry"]
    assert after.replays == [["done", "done already"]] * load.replays
    assert Counter(each[1] for each in after.replayed) == {1: load.replays}, "attempts a replay"
    assert all(person and reason for _, _, person, reason in after.replayed)


@pytest.mark.parametrize(
    ("mutant", "figure"), [("claim-without-constraint", "overlap"), ("cover-after-fetch", "uncovered")]
)
def test_a_load_of_little_catches_each_broken_variant(
    tmp_path: Path, services: Services, mutant: str, figure: str
) -> None:
    load = Load(160, 4, bursts=2, replays=5, drain_seconds=15)
    with pressed_fleet(tmp_path, services, mutant) as fleet:
        after = press(fleet, services, load)
    print(f"\n{mutant}: {after}")
    assert figure in after.report.complaints
