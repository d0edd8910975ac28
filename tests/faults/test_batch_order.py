"""Promise I8: batches that are sent many times at once, and batches that overlap in another order."""

import random
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from tests.faults.consistency.batch_checks import find_batch_faults
from tests.faults.consistency.checker import Report, observe
from tests.faults.fleet.hub_fleet import Fleet, Services, running_fleet
from tests.faults.load.batch_driver import BatchDriver
from tests.faults.load.native_source import ACK, RESULT, Batch, Change, add_native_sources

pytestmark = [pytest.mark.faults, pytest.mark.worker_processes]

CLIENTS, COPIES, SIZE = 8, 8, 12
PEOPLE = [f"PERSON{number}" for number in range(SIZE)]
COPIED, SHUFFLED = (0, 1), (2, 3)
"""The numbers of the rounds whose batches are copies, and of those whose batches have another order each."""


def plan_rounds(chance: random.Random, numbers: Sequence[int]) -> list[list[Batch]]:
    """Return rounds of batches that are sent at once: copies of one batch, then its events in many orders.

    The people are the same in all rounds, so that only the ids of the events are new.
    """
    rounds = []
    for number in numbers:
        source = (ACK, RESULT)[number % 2]
        changes = tuple(Change(f"event_{number}_{person}", person) for person in PEOPLE)
        batch = Batch(f"round_{number}", source, changes)
        if number in COPIED:
            rounds.append([batch] * COPIES)
        else:
            rounds.append([shuffled(batch, copy, chance) for copy in range(COPIES)])
    return rounds


def shuffled(batch: Batch, copy: int, chance: random.Random) -> Batch:
    """Return a batch with most of these events in another order, one of them twice."""
    changes = chance.sample(batch.changes, len(batch.changes) - 2)
    if copy == 0:
        changes = list(reversed(batch.changes))
    return replace(batch, name=f"{batch.name}_{copy}", changes=(*changes, changes[0]))


def send_rounds(fleet: Fleet, services: Services, rounds: Sequence[Sequence[Batch]]) -> BatchDriver:
    driver = BatchDriver(services[0], lambda: [web.port for web in fleet.webs])
    driver.add_people(PEOPLE)
    with ThreadPoolExecutor(CLIENTS) as clients:
        for batches in rounds:
            list(clients.map(driver.deliver_batch, batches))
    return driver


@dataclass(frozen=True, slots=True)
class Result:
    """The result of all rounds. `faults` has what both checkers found, by kind. `begun_again`: how often a batch met
    another one that was being stored.
    """

    report: Report
    faults: dict[str, object]
    statuses: frozenset[str]
    requests: int
    receipts: int
    begun_again: int


def run_rounds(folder: Path, services: Services, numbers: Sequence[int], mutant: str | None = None) -> Result:
    rounds = plan_rounds(random.Random(20261129), numbers)
    with running_fleet(folder, services, webs=2, workers=1, mutant=mutant, LOG_LEVEL="INFO") as fleet:
        add_native_sources(fleet.hub)
        driver = send_rounds(fleet, services, rounds)
        assert fleet.wait_until_idle(60)
        report = observe(driver.sendings, *services, fleet.hub.rows)
        faults = {**report.complaints, **find_batch_faults(driver, fleet.hub)}
        receipts = fleet.hub.rows("SELECT count(*) FROM webhooks_receipt")[0][0]
    statuses = frozenset(str(request.status) for request in driver.requests)
    begun_again = (folder / "fleet.log").read_text().count("collided with another one")
    result = Result(report, faults, statuses, len(driver.requests), receipts, begun_again)
    print(
        f"\n{mutant}: {report}; {sorted(statuses)}, {receipts} receipts of {result.requests} requests,"
        f" {begun_again} begun again, {faults}"
    )
    return result


def test_batches_that_arrive_at_once_in_any_order_store_each_event_once_and_never_fail(
    tmp_path: Path, services: Services
) -> None:
    result = run_rounds(tmp_path, services, COPIED + SHUFFLED)
    assert result.faults == {}
    assert result.report.stored == len(COPIED + SHUFFLED) * SIZE
    assert result.statuses <= {"200", "202"}
    assert result.receipts == result.requests == len(COPIED + SHUFFLED) * COPIES
    # tests/webhooks/receiving/test_batch_races.py has the variant without the lock.
    assert result.begun_again == 0, "the batches of one source do not take turns"


@pytest.mark.one_database
@pytest.mark.parametrize(
    ("mutant", "kind"), [("batch-answers-reversed", "answers"), ("batch-forgets-ids", "lost")]
)
def test_each_broken_variant_is_caught(tmp_path: Path, services: Services, mutant: str, kind: str) -> None:
    assert kind in run_rounds(tmp_path, services, COPIED[:1], mutant).faults
