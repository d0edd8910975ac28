"""Promises I1, I3, I7 and I8 under random kill -9 of many processes at once."""

from dataclasses import replace
from pathlib import Path

import pytest

from sandbox.identity import IdentityService
from sandbox.shop import ShopService
from tests.faults.consistency.checker import Report
from tests.faults.fleet.hub_fleet import Services, running_fleet
from tests.faults.load.storm import StormSize, run_storm
from tests.support.hub import SIGNING_SECRET

pytestmark = [pytest.mark.faults, pytest.mark.worker_processes]

SEED = 20261124


def test_four_web_processes_and_four_workers_killed_at_random_all_converge(
    tmp_path: Path, services: Services, is_postgresql: bool, is_celery: bool, is_long: bool
) -> None:
    # With Celery, `make slow` kills workers at another load: `engines/test_celery_load.py`.
    size, gap = (2500, (40, 120)) if is_postgresql and not is_celery else (1200, (80, 240))
    size *= 4 if is_long else 1
    weather = StormSize(SEED, webhooks=size, people=200, gap=gap)
    print(f"\n{weather}")
    with running_fleet(tmp_path, services, webs=4, workers=4) as fleet:
        after = run_storm(fleet, *services, weather)
    print(after)
    after.report.assert_clean()
    assert set(after.states) <= {"succeeded", "unchanged"}, "not everything converged"
    assert after.report.sent >= size, "the storm was smaller than it says"
    assert after.receipts >= size, "an answered webhook has no receipt"
    assert after.killed["worker"], "no worker was killed"
    assert after.killed["web"], "no web process was killed"


BREEZE = StormSize(SEED, webhooks=60, people=4, gap=None, clients=8, drain_seconds=12)


@pytest.mark.one_engine  # with Celery: the storm
@pytest.mark.parametrize(
    ("mutant", "figure"),
    [
        (None, None),
        pytest.param("claim-without-constraint", "overlap", marks=pytest.mark.one_database),
        pytest.param("cover-after-fetch", "uncovered", marks=pytest.mark.one_database),
    ],
    ids=str,
)
def test_a_small_storm_catches_each_broken_variant(
    tmp_path: Path, mutant: str | None, figure: str | None
) -> None:
    """With slow systems, few people and no kills, the unbroken hub is clean and one of three runs catches the broken one."""
    reports = (run_small_storm(tmp_path / f"breeze_{turn}", mutant) for turn in range(3))
    if figure is None:
        next(reports).assert_clean()
    else:
        assert any(figure in report.complaints for report in reports)


def run_small_storm(folder: Path, mutant: str | None) -> Report:
    folder.mkdir()
    with IdentityService(secret=SIGNING_SECRET) as identity, ShopService() as shop:
        for service in (identity, shop):
            service.faults.add("slow", seconds=0.15)
        with running_fleet(folder, (identity, shop), webs=2, workers=1, mutant=mutant) as fleet:
            after = run_storm(fleet, identity, shop, BREEZE)
    print(f"\n{mutant}: {after}")
    return after.report


@pytest.mark.one_engine  # with Celery: the mix of all answers
@pytest.mark.parametrize(
    "mutant", [None, pytest.param("retry-never-due", marks=pytest.mark.one_database)], ids=str
)
def test_a_temporary_failure_is_retried_and_a_hub_whose_retries_are_never_due_is_caught(
    tmp_path: Path, services: Services, mutant: str | None
) -> None:
    """Each person has one webhook, so that no later one delivers the failed change."""
    services[1].faults.add("error", status=503, methods=["GET"], times=3)
    weather = replace(BREEZE, people=400, webhooks=30, share=0, drain_seconds=12 if mutant is None else 5)
    with running_fleet(tmp_path, services, webs=1, workers=1, mutant=mutant) as fleet:
        after = run_storm(fleet, *services, weather)
    print(f"\n{mutant}: {after}")
    assert set(after.report.complaints) == (set() if mutant is None else {"stale", "stuck"})
