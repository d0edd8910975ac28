"""Promises I1, I2 and I8: references to records that arrive later, while processes are killed.

A process dies right after it has linked a record that others lack, before it wakes their deliveries.
Others are killed at random. Afterwards each record names exactly the records that exist.
"""

import random
import time
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.faults.consistency.checker import Report, observe
from tests.faults.fleet.hub_fleet import Fleet, Services, running_fleet
from tests.faults.load.native_source import add_native_sources
from tests.faults.load.reference_driver import (
    NEVER,
    Plan,
    ReferenceDriver,
    RestartingKiller,
    find_reused_keys,
    find_wrong_references,
)
from tests.faults.load.storm import send_timed
from tests.faults.variants.process_variants import environment

pytestmark = [pytest.mark.faults, pytest.mark.worker_processes]

SEED = 20261129
DRAIN_SECONDS = 60.0
SMALL = Plan(SEED, users=12, groups=4, files=10, has_missing=False)
# The references whose record has arrived, although the delivery still lacks them.
ARRIVED = (
    "SELECT count(*) FROM sync_missingreference m JOIN sync_link l ON l.entity_id = m.entity_id"
    " AND l.entity_type = m.entity_type AND l.target_id = m.target_id WHERE l.record_id <> ''"
)
LACKING = (
    "SELECT DISTINCT d.entity_id, m.entity_id FROM sync_missingreference m"
    " JOIN sync_delivery d ON d.id = m.delivery_id"
)
SETUP_SCRIPT = """
from sync.models import Connection, MappingVersion, Route
for version in MappingVersion.objects.all():
    for rule in version.declaration["fields"].values():
        if rule.get("when_missing"):
            rule["when_missing"] = {when_missing!r}
    version.declaration["reference_wait_minutes"] = {wait_minutes}
    MappingVersion.objects.filter(pk=version.pk).update(declaration=version.declaration)
Connection.objects.update(breaker_failures=30_000)
Route.objects.update(max_attempts=30, retry_base_seconds=0.5, retry_cap_seconds=2)
"""
# A worker does this every ten minutes.
SCHEDULE_SCRIPT = (
    "from sync.references.missing_references import schedule_all_arrived; print(schedule_all_arrived())"
)


@dataclass(frozen=True, slots=True)
class Result:
    """The result of a run: the comparison, the faults by kind, and what groups lack at the end, by group."""

    report: Report
    faults: dict[str, list[str]]
    lacking: dict[str, str]
    states: dict[str, int]
    killed: int
    ended: int


def wait_until_complete(fleet: Fleet, seconds: float) -> None:
    """Wait until nothing is open and no delivery lacks a record that exists, at most so long."""
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        is_idle = fleet.wait_until_idle(until - time.monotonic())
        # In this order: a delivery that is begun again forgets first what it lacked.
        if is_idle and not fleet.hub.rows(ARRIVED)[0][0] and fleet.wait_until_idle(0):
            return
        time.sleep(0.3)


def run_references(
    folder: Path,
    services: Services,
    plan: Plan,
    variant: str,
    *,
    waits: bool,
    drain: float = DRAIN_SECONDS,
    completion: float = DRAIN_SECONDS,
) -> Result:
    """Send all webhooks of a plan while processes are killed; let all be completed; compare.

    `waits`: a delivery waits for the records that it refers to; otherwise it leaves them out and is completed later.
    `drain`, `completion`: longest wait in seconds until nothing is open, and until no record that arrived is lacking.
    """
    identity, shop = services
    chance = random.Random(plan.seed)
    setup = SETUP_SCRIPT.format(
        when_missing="fail" if waits else "leave_out", wait_minutes=60 if waits else 0
    )
    with running_fleet(folder, services, webs=2, workers=2, **environment(folder, variant)) as fleet:
        fleet.hub.manage("shell", "--verbosity", "0", "-c", setup)
        add_native_sources(fleet.hub)
        time.sleep(1.0)  # a process looks at its configuration once a second
        driver = ReferenceDriver(identity, lambda: [web.port for web in fleet.webs])
        requests = plan.prepare(driver)
        with RestartingKiller(fleet.members, (8, 16), lambda: driver.posts, chance) as killer:
            send_timed(lambda: driver.send_all(requests, clients=4), len(requests))
            fleet.wait_until_idle(drain)
            fleet.hub.manage("shell", "--verbosity", "0", "-c", SCHEDULE_SCRIPT)
            wait_until_complete(fleet, completion)
        result = Result(
            observe(driver.sendings, identity, shop, fleet.hub.rows),
            _faults(services, fleet, driver),
            dict(fleet.hub.rows(LACKING)),
            dict(fleet.hub.rows("SELECT state, count(*) FROM sync_delivery GROUP BY state")),
            killer.killed.total(),
            killer.ended,
        )
    print(
        f"\n{variant}, {'waits' if waits else 'leaves out'}: {result.report}\n{result.states}, {result.killed}"
        f" killed, {result.ended} ended, {result.lacking}, {result.faults}"
    )
    return result


def _faults(services: Services, fleet: Fleet, driver: ReferenceDriver) -> dict[str, list[str]]:
    found = {
        "references": list(find_wrong_references(*services)),
        "keys": list(find_reused_keys(services[1])),
        "arrived": [str(number) for (number,) in fleet.hub.rows(ARRIVED) if number],
        "answers": driver.faults,
    }
    return {kind: faults for kind, faults in found.items() if faults}


@pytest.mark.parametrize("waits", [True, False], ids=["waits", "leaves out"])
def test_each_record_names_exactly_the_records_that_exist(
    tmp_path: Path, services: Services, is_long: bool, waits: bool
) -> None:
    size = 6 if is_long else 1
    plan = Plan(SEED, users=16 * size, groups=6 * size, files=8 * size, has_missing=not waits)
    result = run_references(tmp_path, services, plan, "dies-before-wake-up", waits=waits)
    result.report.assert_clean()
    assert result.faults == {}
    assert set(result.states) <= {"succeeded", "unchanged"}
    assert set(result.lacking.values()) == (set() if waits else {NEVER})
    assert result.killed > 0
    assert result.ended > 0, "no process died before a wake-up"


@pytest.mark.one_database
@pytest.mark.parametrize("variant", ["dies-and-forgets-to-complete", "remembers-no-reference"])
def test_a_hub_that_forgets_what_a_record_lacks_is_caught(
    tmp_path: Path, services: Services, variant: str
) -> None:
    result = run_references(tmp_path, services, SMALL, variant, waits=False, completion=12)
    assert "references" in result.faults
    assert "stuck" not in result.report.complaints, "it was not finished"


@pytest.mark.one_database
def test_a_hub_that_is_woken_only_from_memory_is_caught(tmp_path: Path, services: Services) -> None:
    result = run_references(
        tmp_path, services, SMALL, "dies-and-looks-no-more", waits=True, drain=12, completion=1
    )
    assert {"references", "arrived"} <= set(result.faults)
    assert "stuck" in result.report.complaints
