"""Promises I2, I4, I7 and I8: nothing is stale, no change is missed, duplicates and replays do no harm.

Many people change while both systems are slow, fail and answer too late; a third of the webhooks are sent more than
once, some come in bursts, and staff replay old events. Afterwards the shop must have what the identity service has.
"""

import threading
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from sandbox.identity import IdentityService
from sandbox.shop import ShopService
from tests.faults.consistency.checker import observe
from tests.faults.fleet.hub_fleet import Services, running_fleet
from tests.faults.load.source_driver import Driver, Webhook, plan
from tests.faults.load.staff import replaying_staff

pytestmark = [
    pytest.mark.faults,
    pytest.mark.nightly,
    pytest.mark.worker_processes,
    pytest.mark.concurrent,
]

SEED = 20261124
WEBHOOKS, BURSTS, BURST_SIZE, REPLAYS = 1500, 4, 50, 100
NAMES = [f"PERSON{number}" for number in range(200)]
DEADLINE_SECONDS, TOO_LATE_SECONDS = 2.0, 3.0
SETUP_SCRIPT = f"""
from sync.models import Connection, Route
Connection.objects.update(deadline_seconds={DEADLINE_SECONDS}, breaker_failures=30_000)
Route.objects.update(max_attempts=30, retry_base_seconds=0.5, retry_cap_seconds=2)
"""


@dataclass(frozen=True, slots=True)
class AsTheHubSaw:
    """A stand-in service whose journal ends a request when the hub gave it up.

    A write that was answered too late ends at its start: it was applied then.
    """

    service: IdentityService | ShopService

    def list_records(self, collection: str) -> list[dict[str, Any]]:
        return self.service.list_records(collection)

    def read_journal(self) -> list[dict[str, Any]]:
        return [_given_up(request) for request in self.service.read_journal()]


def _given_up(entry: dict[str, Any]) -> dict[str, Any]:
    ended = entry["ended"]
    if ended is not None and ended - entry["started"] < TOO_LATE_SECONDS:
        return entry
    return entry | {"ended": entry["started"] + (0.0 if entry["write"] else DEADLINE_SECONDS)}


def add_faults(services: Services) -> None:
    """Slow fetches down by 0 to 0.2 s, let a tenth of the writes fail (half of them after they were applied), and
    answer some requests after the hub's deadline.
    """
    identity, shop = services
    for seconds in (0.03, 0.06, 0.11):
        identity.faults.add("slow", seconds=seconds, probability=0.5, applied=True)
    writes = ["POST", "PATCH", "PUT"]
    shop.faults.add("error", status=503, probability=0.05, methods=writes)
    shop.faults.add("after", status=503, probability=0.05, methods=writes)
    identity.faults.add("slow", seconds=TOO_LATE_SECONDS, probability=0.025, applied=True)
    shop.faults.add("slow", seconds=TOO_LATE_SECONDS, probability=0.025, methods=writes, applied=True)


@contextmanager
def bursting(driver: Driver, people: Sequence[str]) -> Iterator[None]:
    """Let one person after the other change again and again, faster than a delivery, within the context."""

    def burst() -> None:
        for person in people:
            names = [f"burst_{person}_{number}" for number in range(BURST_SIZE)]
            driver.run([Webhook(name, person, "ack", 0) for name in names[:-1]], BURST_SIZE)
            wait_for_a_fetch(driver.identity, person)
            driver.deliver(Webhook(names[-1], person, "ack", 0))
            time.sleep(0.5)

    thread = threading.Thread(target=burst)
    thread.start()
    try:
        yield
    finally:
        thread.join()


def wait_for_a_fetch(identity: IdentityService, person: str) -> None:
    """Wait until a fetch of this person is open, at most 2 s."""
    until = time.monotonic() + 2.0
    while time.monotonic() < until:
        for entry in identity.read_journal():
            if entry["ended"] is None and (entry["entity"] or {}).get("id") == person:
                return
        time.sleep(0.01)


@pytest.mark.one_engine  # with Celery: the storm
@pytest.mark.promise("I2", "I4", "I7", "I8")
def test_under_load_with_failures_duplicates_bursts_and_replays_nothing_is_stale_or_missed(
    tmp_path: Path, services: Services
) -> None:
    """People with a burst get no other webhooks, which would correct what the burst left stale."""
    identity, shop = services
    bursting_people, others = NAMES[:BURSTS], NAMES[BURSTS:]
    webhooks = plan(WEBHOOKS, WEBHOOKS // 3, others, SEED)
    half = WEBHOOKS // 2
    with running_fleet(tmp_path, services, webs=2, workers=2, LEASE_SECONDS="10") as fleet:
        hub = fleet.hub
        hub.manage("shell", "--verbosity", "0", "-c", SETUP_SCRIPT)
        time.sleep(1.0)  # a process looks at its configuration once a second
        add_faults(services)
        driver = Driver(identity, lambda: [web.port for web in fleet.webs])
        driver.add_people(NAMES)
        driver.run(webhooks[:half], 12)
        with (
            replaying_staff(hub, REPLAYS, SEED, bursting_people) as replays,
            bursting(driver, bursting_people),
        ):
            driver.run(webhooks[half:], 12)
        fleet.wait_until_idle()
        report = observe(driver.sendings, AsTheHubSaw(identity), AsTheHubSaw(shop), hub.rows)  # type: ignore[arg-type]
        [(receipts,)] = hub.rows("SELECT count(*) FROM webhooks_receipt")
        [(events,)] = hub.rows("SELECT count(*) FROM webhooks_event")
        [(retries,)] = hub.rows("SELECT count(*) FROM sync_attempt WHERE cause = 'retry'")
        states = {state for (state,) in hub.rows("SELECT DISTINCT state FROM sync_delivery")}
        replayed = hub.rows(
            "SELECT r.id, count(a.id), min(r.requested_by_id), min(r.reason) FROM sync_personrequest r"
            " LEFT JOIN sync_attempt a ON a.person_request_id = r.id GROUP BY r.id"
        )
    fetches = sum(request["method"] == "GET" for request in identity.read_journal())
    sent = len({sending.webhook_id for sending in driver.sendings})
    final = sum(sending.is_final for sending in driver.sendings)
    cut = sum(sending.status is None for sending in driver.sendings)
    print(
        f"\n{report}\n{events} events, {receipts} receipts, {fetches} fetches, {states}, {len(replays)} replays"
    )
    report.assert_clean()
    assert states <= {"succeeded", "unchanged"}
    assert events == sent
    assert final <= receipts <= final + cut, "a cut request may or may not have a receipt"
    assert fetches <= sent + len(replays) + retries
    assert replays == [["done", "already done"]] * REPLAYS
    assert Counter(attempts for _, attempts, _, _ in replayed) == {1: REPLAYS}, "attempts a replay"
    assert all(person and reason for _, _, person, reason in replayed)
