"""Promises I1, I3, I7 and I8 under kill -9 of all processes, at random: single webhooks and requests with several events.

`.ci/run` runs the smaller storm once for each engine: `run_worker` on both databases, and Celery.
"""

from pathlib import Path

import pytest

from tests.faults.consistency.batch_checks import find_batch_faults
from tests.faults.fleet.hub_fleet import Services, running_fleet
from tests.faults.load.batch_driver import BatchDriver
from tests.faults.load.native_source import CANARY, add_native_sources
from tests.faults.load.storm import StormSize, run_storm

pytestmark = [pytest.mark.faults, pytest.mark.worker_processes, pytest.mark.concurrent]

SEED = 20261124
SMALL = StormSize(SEED, processes=2, webhooks=240, batches=30, people=60, gap=(20, 45))
LARGE = StormSize(SEED, processes=4, webhooks=1500, batches=120, people=200, gap=(60, 160))
# Longer than a busy machine may hold up a thread: an attempt that loses its lease although nothing was killed is no fault,
# and repairs itself, but this test does not wait for re-checks.
LEASE_SECONDS = "10"


@pytest.mark.promise("I1", "I3", "I7", "I8")
@pytest.mark.parametrize(
    "size",
    [
        pytest.param(SMALL, id="small", marks=pytest.mark.submission),
        pytest.param(LARGE, id="large", marks=pytest.mark.nightly),
    ],
)
def test_web_processes_and_workers_killed_at_random_all_converge(
    tmp_path: Path, services: Services, size: StormSize
) -> None:
    count = size.processes
    with running_fleet(tmp_path, services, webs=count, workers=count, LEASE_SECONDS=LEASE_SECONDS) as fleet:
        add_native_sources(fleet.hub)
        driver = BatchDriver(services[0], lambda: [web.port for web in fleet.webs])
        after = run_storm(fleet, driver, services[1], size)
        print(f"\n{size}\n{after}")
        faults = find_batch_faults(driver, fleet.hub)
    after.report.assert_clean()
    assert faults == {}
    assert set(after.states) <= {"succeeded", "unchanged"}, "not everything converged"
    assert after.receipts >= size.webhooks, "an answered webhook has no receipt"
    assert set(after.killed) == {"web", "worker"}, "a kind of process was not killed"
    assert "500" not in after.answers
    assert CANARY not in (tmp_path / "fleet.log").read_text()
    assert CANARY not in f"{services[0].read_journal()}{services[1].read_journal()}"
