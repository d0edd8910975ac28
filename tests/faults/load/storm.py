"""A storm: webhooks and batches for many people to many processes, which are killed at random and restarted."""

import itertools
import random
import threading
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from sandbox.shop import ShopService
from tests.faults.consistency.checker import Report, observe
from tests.faults.fleet.hub_fleet import Fleet, Member
from tests.faults.load.batch_driver import BatchDriver
from tests.faults.load.native_source import Batch, plan_batches
from tests.faults.load.source_driver import Webhook, plan


@dataclass(frozen=True, slots=True)
class StormSize:
    """The size of a storm.

    `processes`: how many of each kind run. `gap`: least and most answered requests between two kills. `clients` send at once. A
    third of the webhooks are copies. `batches` are requests with several events.
    """

    seed: int
    processes: int
    webhooks: int
    batches: int
    people: int
    gap: tuple[int, int]
    clients: int = 12


@dataclass
class ProcessKiller:
    """A context manager that kills one process of `victims` after the other, in a random order, after each `gap`
    answered requests, and restarts it. Requests that no process takes do not count: all would be killed before one is up.
    """

    victims: Sequence[Member]
    gap: tuple[int, int]
    answered: Callable[[], int]
    chance: random.Random
    killed: Counter[str] = field(default_factory=Counter)
    _stopped: threading.Event = field(default_factory=threading.Event)

    def __enter__(self) -> "ProcessKiller":
        self._thread = threading.Thread(target=self._run, name="killer")
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopped.set()
        self._thread.join()

    def _run(self) -> None:
        order = itertools.cycle(self.chance.sample(self.victims, len(self.victims)))
        due = self.answered() + self.chance.randint(*self.gap)
        while not self._stopped.wait(0.02):
            if self.answered() >= due:
                due += self.chance.randint(*self.gap)
                victim = next(order)
                victim.kill()
                victim.start()
                self.killed[victim.kind] += 1


@dataclass(frozen=True, slots=True)
class StormResult:
    """The result of a storm: the comparison, and the states of the deliveries."""

    report: Report
    states: dict[str, int]
    killed: dict[str, int]
    receipts: int
    answers: dict[str, int]

    def __str__(self) -> str:
        return (
            f"{self.report}\ndeliveries {self.states}, {self.receipts} receipts, answers {self.answers},"
            f" killed {self.killed}"
        )


def run_storm(fleet: Fleet, driver: BatchDriver, shop: ShopService, size: StormSize) -> StormResult:
    """Send batches and single webhooks while any process is killed; wait until everything is delivered; compare."""
    chance = random.Random(size.seed)
    people = [f"PERSON{number}" for number in range(size.people)]
    driver.add_people(people)
    requests: list[Webhook | Batch] = [*plan_batches(size.batches, people, size.seed)]
    for single in plan(size.webhooks, size.webhooks // 3, people, size.seed):
        requests.insert(chance.randrange(len(requests) + 1), single)
    with ProcessKiller(fleet.members, size.gap, lambda: driver.answered, chance) as killer:
        driver.send_all(requests, size.clients)
    fleet.wait_until_idle()
    report = observe(driver.sendings, driver.identity, shop, fleet.hub.rows)
    states = fleet.hub.rows("SELECT state, count(*) FROM sync_delivery GROUP BY state")
    receipts = fleet.hub.rows("SELECT count(*) FROM webhooks_receipt")[0][0]
    answers = Counter(str(sending.status or "cut") for sending in driver.sendings)
    ends = {str(state): int(number) for state, number in states}
    return StormResult(report, ends, dict(killer.killed), receipts, dict(answers))
