"""Promise I30: a comparison writes nothing to either system, whatever happens to it: an expired token, errors and retries,
closed connections, and the death of the processes that run it.
"""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from sandbox.base.service import SandboxService
from tests.faults.comparison.compared_fleet import FleetKiller, KillPoint, compare, write
from tests.faults.fleet.hub_fleet import Services, running_fleet
from tests.support.compared_people import fill_systems, seed_differences
from tests.support.rows import in_submission_on_sqlite

pytestmark = [pytest.mark.faults, pytest.mark.worker_processes, pytest.mark.concurrent]

SEED = 20261202
KILLS = (
    KillPoint("worker", "records", 100),
    KillPoint("web", "entities", 100),
    KillPoint("worker", "confirming"),
)
LISTS = "/api/(users|customers)$"


def expire_tokens(service: SandboxService) -> None:
    service.faults.add("error", status=401, times=1)


def fail(service: SandboxService) -> None:
    service.faults.add("error", status=503, times=1, path=LISTS)
    service.faults.add("throttle", retry_after=1, times=1)
    service.faults.add("drop", times=1)


def nothing(service: SandboxService) -> None:
    """Leave the service as it is: the processes are killed."""


@pytest.mark.promise("I30")
@pytest.mark.parametrize(
    ("disturb", "kills"),
    [
        pytest.param(nothing, KILLS, id="kills", marks=in_submission_on_sqlite),
        # It takes minutes: each error is followed by a wait.
        pytest.param(fail, (), id="errors", marks=pytest.mark.nightly),
        pytest.param(expire_tokens, (), id="tokens", marks=in_submission_on_sqlite),
    ],
)
def test_a_comparison_writes_nothing_to_either_system(
    tmp_path: Path,
    services: Services,
    disturb: Callable[[SandboxService], None],
    kills: tuple[KillPoint, ...],
) -> None:
    with running_fleet(tmp_path, services, webs=1, workers=1, ABSENCE_CONFIRM_SECONDS="1") as fleet:
        fill_systems(*services, 400, partial(write, fleet))
        seed_differences(*services, range(40), partial(write, fleet), SEED)
        before = [stored_records(service) for service in services]
        for service in services:
            service.faults.add("slow", seconds=0.05, path=LISTS)
            disturb(service)
        with FleetKiller(fleet, kills) as killer:
            result = compare(fleet)
        print(f"\n{result}")
        assert killer.killed == list(kills), "a process was not killed where it should be"
        assert result.document["state"] in ("done", "failed")
        written = [entry for service in services for entry in service.read_journal(only_writes=True)]
        read = [entry for service in services for entry in service.read_journal()]
        deliveries = fleet.hub.rows("SELECT count(*) FROM sync_delivery")
    assert read, "the comparison sent nothing at all"
    assert written == []
    assert [stored_records(service) for service in services] == before
    assert deliveries == [(0,)]


def stored_records(service: SandboxService) -> dict[str, list[dict[str, Any]]]:
    return {collection: service.list_records(collection) for collection in service.collections}
