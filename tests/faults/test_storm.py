"""Promises I1, I3, I7 and I8 under random kill -9 of many processes at once."""

from dataclasses import replace
from pathlib import Path

import pytest

from sandbox.identity import IdentityService
from sandbox.shop import ShopService
from tests.faults.consistency.checker import Report
from tests.faults.fleet.hub_fleet import Services, running_fleet
from tests.faults.load.storm import Weather, storm
from tests.support.hub import SIGNING_SECRET

pytestmark = [pytest.mark.faults, pytest.mark.worker_processes]

SEED = 20261124


def test_four_web_processes_and_four_workers_killed_at_random_all_converge(
    tmp_path: Path, services: Services, is_postgresql: bool, is_celery: bool, is_long: bool
) -> None:
    # With Celery, `make slow` sends 5,000: `engines/test_celery_load.py`.
    size = (5000 if is_postgresql and not is_celery else 1200) * (4 if is_long else 1)
    weather = Weather(SEED, webhooks=size, people=200, gap=(80, 240))
    print(f"\n{weather}")
    with running_fleet(tmp_path, services, webs=4, workers=4) as fleet:
        after = storm(fleet, *services, weather)
    print(after)
    after.report.assert_clean()
    assert set(after.states) <= {"succeeded", "unchanged"}, "not everything converged"
    assert after.report.sent >= size, "the storm was smaller than it says"
    assert after.receipts >= size, "an answered webhook has no receipt"
    assert after.killed["worker"], "no worker was killed"
    assert after.killed["web"], "no web process was killed"


BREEZE = Weather(SEED, webhooks=60, people=4, gap=None, clients=8, drain_seconds=12)


@pytest.mark.parametrize(
    ("mutant", "figure"),
    [
        (None, None),
        ("claim-without-constraint", "overlap"),
        ("cover-after-fetch", "uncovered"),
    ],
    ids=str,
)
def test_a_breeze_is_enough_to_catch_each_broken_variant(
    tmp_path: Path, mutant: str | None, figure: str | None
) -> None:
    """Slow systems, nobody killed, few people: the whole hub stands it, and of three breezes one at least shows the other."""
    reports = (breeze(tmp_path / f"breeze_{turn}", mutant) for turn in range(3))
    if figure is None:
        next(reports).assert_clean()
    else:
        assert any(figure in each.complaints for each in reports)


def breeze(folder: Path, mutant: str | None) -> Report:
    folder.mkdir()
    with IdentityService(secret=SIGNING_SECRET) as identity, ShopService() as shop:
        for service in (identity, shop):
            service.faults.add("slow", seconds=0.15)
        with running_fleet(folder, (identity, shop), webs=2, workers=1, mutant=mutant) as fleet:
            after = storm(fleet, identity, shop, BREEZE)
    print(f"\n{mutant}: {after}")
    return after.report


@pytest.mark.parametrize("mutant", [None, "retry-never-due"], ids=str)
def test_what_failed_for_a_moment_is_delivered_unless_its_retry_is_never_due(
    tmp_path: Path, services: Services, mutant: str | None
) -> None:
    """One webhook each for many people, so that no later one delivers what failed."""
    services[1].faults.add("error", status=503, methods=["GET"], times=3)
    weather = replace(BREEZE, people=400, webhooks=30, share=0, drain_seconds=12 if mutant is None else 5)
    with running_fleet(tmp_path, services, webs=1, workers=1, mutant=mutant) as fleet:
        after = storm(fleet, *services, weather)
    print(f"\n{mutant}: {after}")
    assert set(after.report.complaints) == (set() if mutant is None else {"stale", "stuck"})
