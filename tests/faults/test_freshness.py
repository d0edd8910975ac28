"""Promises I2, I4, I7 and I8: nothing is stale, no change is missed, duplicates and replays do no harm.

Many people change while both systems are slow, fail and answer too late; a third of the webhooks are sent more than
once, some in bursts, and staff replay old events. Some changes come in requests with several events, with several changes
of one person. Afterwards the shop must have what the identity service has.
"""

import random
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from sandbox.identity import IdentityService
from sandbox.shop import ShopService
from tests.faults.consistency.batch_checks import find_batch_faults
from tests.faults.consistency.checker import Report, observe
from tests.faults.fleet.hub_fleet import Fleet, Services, running_fleet
from tests.faults.load.batch_driver import BatchDriver
from tests.faults.load.native_source import ACK, RESULT, Batch, Change, add_native_sources
from tests.faults.load.source_driver import Driver, Webhook, plan
from tests.faults.load.staff import replaying_staff
from tests.support.processes.hub_processes import RunningHub

pytestmark = [pytest.mark.faults, pytest.mark.worker_processes]

SEED = 20261124
DEADLINE_SECONDS, TOO_LATE_SECONDS = 2.0, 3.0
SETUP_SCRIPT = f"""
from sync.models import Connection, Route
Connection.objects.update(deadline_seconds={DEADLINE_SECONDS}, breaker_failures=30_000)
Route.objects.update(max_attempts=30, retry_base_seconds=0.5, retry_cap_seconds=2)
"""


@dataclass(frozen=True, slots=True)
class Load:
    """The size of a load.

    `bursts`: number of bursts of `burst_size` webhooks for one person, sent by `burst_clients` at once. `tenfold`:
    number of webhooks that are sent ten times at once. `replays`: number of replays requested during the second half.
    `batches`: number of requests of `batch_size` events for a third as many people, half of them before the replays. Every
    fourth is sent again with its events in another order.
    """

    webhooks: int
    people: int
    bursts: int = 4
    tenfold: int = 10
    replays: int = 100
    drain_seconds: float = 60
    burst_size: int = 50
    burst_clients: int = 50
    batches: int = 40
    batch_size: int = 6

    @property
    def names(self) -> list[str]:
        return [f"PERSON{number}" for number in range(self.people)]


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


@dataclass(frozen=True, slots=True)
class LoadResult:
    """The result of a load. `replays`: the results of both clicks of each replay. `final`, `cut`: requests with a final
    answer, and without any.
    """

    report: Report
    faults: Mapping[str, list[str]]
    sent: int
    final: int
    cut: int
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
            f"{self.report}\n{self.webhooks} events in {self.sent} requests, {self.receipts} receipts,"
            f" {self.events} stored, {self.fetches} fetches, attempts {self.causes}, deliveries {self.states},"
            f" {len(self.replays)} replays, {dict(self.faults)}"
        )


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


def slow_down_fetches(services: Services) -> None:
    """Slow each fetch down by half a second. Nothing fails, because a retry would fetch again."""
    services[0].faults.add("slow", seconds=0.5, applied=True)


def run_load(fleet: Fleet, services: Services, load: Load) -> LoadResult:
    """Send all webhooks, with replays and bursts during the second half; drain; compare."""
    driver = BatchDriver(services[0], lambda: [web.port for web in fleet.webs])
    driver.add_people(load.names)
    alone = load.webhooks - load.bursts * load.burst_size - load.tenfold * 10
    # People with a burst get no other webhooks, which would correct what the burst left stale.
    requests = mix_in_batches(load, plan(alone, int(alone * 0.3), load.names[load.bursts :], SEED))
    half = len(requests) // 2
    driver.send_all(requests[:half], 12)
    driver.run(tenfold(load), 8)
    bursting_people = load.names[: load.bursts]
    with replaying_staff(fleet.hub, load.replays, SEED, bursting_people) as replays, bursting(driver, load):
        driver.send_all(requests[half:], 12)
    fleet.wait_until_idle(load.drain_seconds)
    identity, shop = AsTheHubSaw(services[0]), AsTheHubSaw(services[1])
    report = observe(driver.sendings, identity, shop, fleet.hub.rows)  # type: ignore[arg-type]
    faults = find_batch_faults(driver, fleet.hub) if load.batches else {}
    return _aftermath(fleet.hub, services[0], driver, report, faults, replays)


def mix_in_batches(load: Load, webhooks: Sequence[Webhook]) -> list[Webhook | Batch]:
    """Return the webhooks with the batches among them, in the order of their sending."""
    chance = random.Random(SEED)
    mixed: list[Webhook | Batch] = [*webhooks]
    for number in range(load.batches):
        people = chance.sample(load.names[load.bursts :], load.batch_size // 3)
        changes = [Change(f"batch_{number}_{at}", people[at % len(people)]) for at in range(load.batch_size)]
        batch = Batch(f"batch_{number}", (ACK, RESULT)[number % 2], tuple(changes))
        at = chance.randrange(len(mixed) + 1)
        mixed.insert(at, batch)
        if number % 4 == 0:
            again = replace(batch, name=f"batch_{number}_again", changes=batch.changes[::-1])
            mixed.insert(chance.randrange(at + 1, len(mixed) + 1), again)
    return mixed


def _aftermath(
    hub: RunningHub,
    identity: IdentityService,
    driver: BatchDriver,
    report: Report,
    faults: Mapping[str, list[str]],
    replays: list[list[str]],
) -> LoadResult:
    in_batches = {event_id for sent in driver.requests for event_id in sent.batch.stored_ids}
    alone = [sending.status for sending in driver.sendings if sending.webhook_id not in in_batches]
    statuses = [*alone, *(sent.status for sent in driver.requests)]
    replayed = "SELECT r.id, count(a.id), min(r.requested_by_id), min(r.reason) FROM sync_replay r"
    joined = f"{replayed} LEFT JOIN sync_attempt a ON a.replay_id = r.id GROUP BY r.id"
    return LoadResult(
        report,
        faults,
        sent=len(statuses),
        final=sum(status is not None and status < 500 and status != 429 for status in statuses),
        cut=sum(status is None for status in statuses),
        webhooks=len({sending.webhook_id for sending in driver.sendings}),
        receipts=hub.rows("SELECT count(*) FROM webhooks_receipt")[0][0],
        events=hub.rows("SELECT count(*) FROM webhooks_event")[0][0],
        fetches=sum(request["method"] == "GET" for request in identity.read_journal()),
        causes=dict(hub.rows("SELECT cause, count(*) FROM sync_attempt GROUP BY cause")),
        replays=replays,
        replayed=hub.rows(joined),
        states=dict(hub.rows("SELECT state, count(*) FROM sync_delivery GROUP BY state")),
    )


def tenfold(load: Load) -> list[Webhook]:
    """Return ten copies in a row of each webhook, for clients that send at once."""
    return [
        Webhook(f"tenfold_{person}", person, "result", copy)
        for person in load.names[load.bursts : load.bursts + load.tenfold]
        for copy in range(10)
    ]


@contextmanager
def bursting(driver: Driver, load: Load) -> Iterator[None]:
    """Let one person after the other change again and again, faster than a delivery, within the context."""

    def burst() -> None:
        for number, person in enumerate(load.names[: load.bursts]):
            names = [f"burst_{number}_{webhook_number}" for webhook_number in range(load.burst_size)]
            driver.run([Webhook(name, person, "ack", 0) for name in names[:-1]], load.burst_clients)
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


@contextmanager
def fleet_under_load(
    folder: Path,
    services: Services,
    mutant: str | None = None,
    trouble: Callable[[Services], None] = add_faults,
) -> Iterator[Fleet]:
    """Run two web processes and two workers with eight threads each, long leases, short deadlines and quick retries."""
    variables = {"LEASE_SECONDS": "10"}
    with running_fleet(folder, services, webs=2, workers=2, mutant=mutant, **variables) as fleet:
        fleet.hub.manage("shell", "--verbosity", "0", "-c", SETUP_SCRIPT)
        add_native_sources(fleet.hub)
        time.sleep(1.0)  # a process looks at its configuration once a second
        trouble(services)
        yield fleet


@pytest.mark.one_engine  # with Celery: the storm, and `make slow` under load
def test_under_load_with_failures_duplicates_bursts_and_replays_nothing_is_stale_or_missed(
    tmp_path: Path, services: Services, is_long: bool
) -> None:
    load = (
        Load(20_000, 200, bursts=40, tenfold=100, replays=1000, batches=400) if is_long else Load(2000, 200)
    )
    started = time.monotonic()
    with fleet_under_load(tmp_path, services) as fleet:
        after = run_load(fleet, services, load)
    print(f"\n{load}, {time.monotonic() - started:.0f} s: {after}")
    after.report.assert_clean()
    assert after.faults == {}
    assert set(after.states) <= {"succeeded", "unchanged"}
    assert after.events == after.webhooks
    assert after.final <= after.receipts <= after.final + after.cut, (
        "a cut request may or may not have a receipt"
    )
    assert after.fetches <= after.webhooks + len(after.replays) + after.causes["retry"]
    assert after.replays == [["done", "already done"]] * load.replays
    assert Counter(attempt[1] for attempt in after.replayed) == {1: load.replays}, "attempts a replay"
    assert all(person and reason for _, _, person, reason in after.replayed)


@pytest.mark.one_database
@pytest.mark.parametrize(
    ("mutant", "figure"),
    [
        ("claim-without-constraint", "overlap"),
        ("cover-after-fetch", "uncovered"),
        ("batch-loses-an-event", "lost"),
    ],
)
def test_a_small_load_catches_each_broken_variant(
    tmp_path: Path, services: Services, mutant: str, figure: str
) -> None:
    """Each change of a burst is made when the one before it is acknowledged, during a slow fetch.

    The last one comes while a fetch is open, and no replay or retry follows it.
    """
    load = Load(240, 12, bursts=4, burst_clients=4, tenfold=0, replays=5, drain_seconds=10, batches=8)
    with fleet_under_load(tmp_path, services, mutant, slow_down_fetches) as fleet:
        after = run_load(fleet, services, load)
    print(f"\n{mutant}: {after}")
    assert figure in after.report.complaints, "the variant was not caught"
