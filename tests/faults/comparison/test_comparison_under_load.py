"""Promise I29: a comparison reports what differs and nothing else, while webhooks change and heal others and while the
web process and the worker are killed in each of its phases.
"""

import itertools
import json
import random
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import pytest

from sandbox.identity import IdentityService
from tests.faults.comparison.compared_fleet import (
    FleetKiller,
    KillPoint,
    Traffic,
    compare,
    found_differences,
    write,
)
from tests.faults.fleet.hub_fleet import Fleet, Services, running_fleet
from tests.support.compared_people import SHARES, entity_of, fill_systems, person_id, seed_differences

pytestmark = [pytest.mark.faults, pytest.mark.worker_processes, pytest.mark.concurrent]

SEED = 20261201
MAX_TRIES = 3_000


@dataclass(frozen=True, slots=True)
class Size:
    """`people` at both ends, of whom `differing`, spread over all pages, differ and others are changed by webhooks."""

    people: int
    differing: int
    changing: int
    rate: float

    @property
    def differing_people(self) -> range:
        return range(0, self.people, self.people // self.differing)[: self.differing]

    @property
    def changing_people(self) -> list[int]:
        others = set(range(self.people)) - set(self.differing_people)
        return random.Random(SEED).sample(sorted(others), self.changing)

    @property
    def kill_points(self) -> tuple[KillPoint, ...]:
        third, half = self.people // 3, self.people // 2
        return (
            KillPoint("worker", "records", third),
            KillPoint("web", "entities", third),
            KillPoint("worker", "entities", half),
            KillPoint("worker", "confirming"),
        )


SMALL = Size(people=1_200, differing=60, changing=240, rate=10)
LARGE = Size(people=10_000, differing=300, changing=2_000, rate=20)


class ChangingPeople:
    """People whose number changes in the identity service, each time with a webhook that lets the hub write it."""

    def __init__(self, fleet: Fleet, identity: IdentityService, people: Sequence[int]) -> None:
        self._fleet, self._identity, self._people = fleet, identity, people
        self._chance, self._numbers, self._lock = random.Random(SEED), itertools.count(1), threading.Lock()
        self.healed: set[int] = set()

    def change_one(self) -> None:
        """Change one person and report it until it is answered: a killed process answers nothing."""
        with self._lock:
            person, number = self._chance.choice(self._people), next(self._numbers)
        entity = entity_of(person, f"+35850{number:07d}")
        self._identity.store.put_record("users", person_id(person), entity)
        body = {"id": person_id(person), "entityType": "USER", "eventType": "UPDATE"}
        for _ in range(MAX_TRIES):
            try:
                hub = self._fleet.hub
                hub.port = self._fleet.webs[0].port
                reply = hub.send_signed(json.dumps(body).encode(), f"msg_{number}")
            except OSError:
                # Its process was killed, and the next one is not up yet.
                time.sleep(0.1)
                continue
            if reply.status in (200, 202):
                self.healed.add(person)
                return
        raise AssertionError("the webhook was never answered")


@pytest.mark.promise("I29")
@pytest.mark.parametrize(
    "size",
    [
        pytest.param(SMALL, id="small", marks=pytest.mark.submission),
        pytest.param(LARGE, id="large", marks=pytest.mark.nightly),
    ],
)
def test_a_comparison_finds_each_seeded_difference_and_no_other(
    tmp_path: Path, services: Services, size: Size
) -> None:
    identity, shop = services
    with running_fleet(
        tmp_path, services, webs=1, workers=1, LEASE_SECONDS="10", ABSENCE_CONFIRM_SECONDS="2"
    ) as fleet:
        run_statement = partial(write, fleet)
        fill_systems(identity, shop, size.people, run_statement)
        seeded = seed_differences(identity, shop, size.differing_people, run_statement, SEED)
        assert seeded.total == size.differing
        assert set(seeded.by_kind) == set(SHARES)
        changing = ChangingPeople(fleet, identity, size.changing_people)
        # Pages that take a moment, so that a process is killed within each phase.
        for service in services:
            service.faults.add("slow", seconds=0.05, path="/api/(users|customers)$")
        with (
            Traffic(changing.change_one, clients=4, rate=size.rate) as traffic,
            FleetKiller(fleet, size.kill_points) as killer,
        ):
            result = compare(fleet)
        assert traffic.errors == []
        assert killer.killed == list(size.kill_points), "a process was not killed where it should be"
        assert len(changing.healed) >= 20, "nothing changed meanwhile"
        document = result.document
        print(f"\n{size}\n{document}\n{len(changing.healed)} people changed meanwhile")
        assert (document["state"], document["identity_gap"], document["target_gap"]) == ("done", "", "")
        found = found_differences(fleet, document["comparison"])
    assert found == seeded.by_kind
    assert {kind: document["counts"].get(kind, 0) for kind in SHARES} == {
        kind: len(ids) for kind, ids in seeded.by_kind.items()
    }
    assert (result.status, document["in_step"]) == (1, False)
