"""Promises I1 to I3, I7 and I8 for batches and single webhooks together, under random kill -9 of all processes."""

from pathlib import Path

import pytest

from tests.faults.consistency.batch_checks import find_batch_faults
from tests.faults.fleet.hub_fleet import Services, running_fleet
from tests.faults.load.batch_driver import BatchDriver
from tests.faults.load.native_source import CANARY, add_native_sources
from tests.faults.load.storm import StormSize, run_mixed_storm

pytestmark = [pytest.mark.faults, pytest.mark.worker_processes]

SEED = 20261129


def test_batches_under_random_kills_are_stored_whole_and_all_their_events_end(
    tmp_path: Path, services: Services, is_long: bool
) -> None:
    size = 6 if is_long else 1
    weather = StormSize(
        SEED, webhooks=30 * size, batches=45 * size, people=40, gap=(10, 25), clients=8, share=3
    )
    with running_fleet(tmp_path, services, webs=2, workers=2) as fleet:
        add_native_sources(fleet.hub)
        driver = BatchDriver(services[0], lambda: [web.port for web in fleet.webs])
        after = run_mixed_storm(fleet, driver, services[1], weather)
        print(after)
        faults = find_batch_faults(driver, fleet.hub)
    after.report.assert_clean()
    assert faults == {}
    assert set(after.states) <= {"succeeded", "unchanged"}, "not everything converged"
    assert set(after.killed) == {"web", "worker"}
    assert "500" not in after.answers
    assert CANARY not in (tmp_path / "fleet.log").read_text()
    assert CANARY not in f"{services[0].read_journal()}{services[1].read_journal()}"


@pytest.mark.one_database
def test_a_hub_that_loses_one_event_of_a_batch_is_caught(tmp_path: Path, services: Services) -> None:
    weather = StormSize(SEED, webhooks=4, batches=12, people=8, gap=None, clients=4, drain_seconds=10)
    with running_fleet(tmp_path, services, webs=1, workers=1, mutant="batch-loses-an-event") as fleet:
        add_native_sources(fleet.hub)
        driver = BatchDriver(services[0], lambda: [web.port for web in fleet.webs])
        after = run_mixed_storm(fleet, driver, services[1], weather)
        print(after)
        faults = find_batch_faults(driver, fleet.hub)
    assert "lost" in after.report.complaints
    assert {"answers", "partial"} <= set(faults)
