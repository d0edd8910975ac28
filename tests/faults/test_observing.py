"""Promise I30: a route that observes writes nothing to its target, whatever happens to it: expired tokens, errors and
retries, closed connections, and the death of the processes that deliver.
"""

import time
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from tests.faults.comparison.compared_fleet import write
from tests.faults.fleet.hub_fleet import Fleet, Services, running_fleet
from tests.faults.load.source_driver import Driver, Webhook
from tests.support.rows import in_submission_on_sqlite

pytestmark = [pytest.mark.faults, pytest.mark.worker_processes, pytest.mark.concurrent]

PEOPLE = [f"OBSERVED{number}" for number in range(40)]
MODES = ("ack", "result", "entity")


def expire_tokens(services: Services) -> None:
    for service in services:
        service.faults.add("error", status=401, times=10)


def fail(services: Services) -> None:
    for service in services:
        service.faults.add("error", status=503, times=10)
        service.faults.add("drop", times=5)


def nothing(_: Services) -> None:
    """Leave the systems as they are: the processes are killed."""


@pytest.mark.promise("I30")
@pytest.mark.parametrize(
    ("disturb", "kills"),
    [
        pytest.param(nothing, ("worker", "web", "worker"), id="kills", marks=pytest.mark.submission),
        pytest.param(expire_tokens, (), id="tokens", marks=in_submission_on_sqlite),
        pytest.param(fail, ("worker",), id="errors", marks=pytest.mark.nightly),
    ],
)
def test_an_observing_route_writes_nothing(
    tmp_path: Path, services: Services, disturb: Callable[[Services], None], kills: Sequence[str]
) -> None:
    with running_fleet(tmp_path, services, webs=1, workers=1) as fleet:
        write(
            fleet, "UPDATE sync_route SET mode = 'observe', retry_base_seconds = 0.5, retry_cap_seconds = 1"
        )
        # The pauses of a breaker double until all errors are used up; the first would take 15 s.
        write(fleet, "UPDATE sync_connection SET breaker_seconds = 1")
        driver = Driver(services[0], lambda: [fleet.webs[0].port])
        driver.add_people(PEOPLE)
        for service in services:
            service.faults.add("slow", seconds=0.1)
        disturb(services)
        driver.run(webhooks("observed"), clients=8)
        for kind in kills:
            kill_while_it_delivers(fleet, kind)
        assert fleet.wait_until_idle()
        written = [entry for service in services for entry in service.read_journal(only_writes=True)]
        ends = fleet.hub.rows("SELECT state, COUNT(*) FROM sync_delivery GROUP BY state")
        planned = fleet.hub.rows("SELECT COUNT(*) FROM sync_delivery WHERE code = 'observed'")
        links = fleet.hub.rows("SELECT COUNT(*) FROM sync_link")
        # The same people, written: the journals have what a route writes.
        write(fleet, "UPDATE sync_route SET mode = 'live'")
        for service in services:
            service.faults.clear()
        driver.run(webhooks("live"), clients=8)
        assert fleet.wait_until_idle()
        people_written = {entry["path"] for entry in services[1].read_journal(only_writes=True)}
    assert written == []
    assert (ends, links) == ([("ignored", len(PEOPLE))], [(0,)])
    assert planned[0][0] > len(PEOPLE) // 2
    assert people_written


def webhooks(name: str) -> list[Webhook]:
    return [
        Webhook(f"{name}-{person}", person, MODES[number % len(MODES)], 0)
        for number, person in enumerate(PEOPLE)
    ]


def kill_while_it_delivers(fleet: Fleet, kind: str) -> None:
    """Kill a process with SIGKILL while deliveries run, and start it again."""
    until = time.monotonic() + 60
    while not fleet.hub.rows("SELECT 1 FROM sync_delivery WHERE state = 'running'"):
        assert time.monotonic() < until, "no delivery runs"
        time.sleep(0.02)
    [member] = fleet.webs if kind == "web" else fleet.workers
    member.kill()
    member.start()
    fleet.wait_until_healthy()
