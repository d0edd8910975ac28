"""A storm: webhooks for many people to many processes, which are killed at random and restarted."""

import random
import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from sandbox.identity import IdentityService
from sandbox.shop import ShopService
from tests.faults.consistency.checker import Report, observe
from tests.faults.fleet.hub_fleet import Fleet, Member
from tests.faults.load.batch_driver import BatchDriver
from tests.faults.load.native_source import Batch, plan_batches
from tests.faults.load.source_driver import Driver, Webhook, plan


@dataclass(frozen=True, slots=True)
class StormSize:
    """The size of a storm.

    `gap`: least and most sendings between two kills, None for no kills. `clients` send at once. One webhook in `share`
    is a copy, none if it is 0. A delivery that is still open `drain_seconds` after the storm counts as stuck. `batches` are
    requests with several events, in a mixed storm.
    """

    seed: int
    webhooks: int
    people: int
    gap: tuple[int, int] | None
    clients: int = 12
    share: int = 3
    drain_seconds: float = 60
    batches: int = 0

    @property
    def copies(self) -> int:
        return self.webhooks // self.share if self.share else 0


@dataclass
class ProcessKiller:
    """A context manager that kills a random process of `victims` after each `gap` sendings and restarts it."""

    victims: Sequence[Member]
    gap: tuple[int, int] | None
    sent: Callable[[], int]
    chance: random.Random
    killed: Counter[str] = field(default_factory=Counter)
    _stopped: threading.Event = field(default_factory=threading.Event)

    def __enter__(self) -> "ProcessKiller":
        self._thread = threading.Thread(target=self._run, name="killer")
        if self.gap is not None:
            self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopped.set()
        if self.gap is not None:
            self._thread.join()

    def _run(self) -> None:
        assert self.gap is not None, "no process is killed without a gap"
        due = self.sent() + self.chance.randint(*self.gap)
        while not self._stopped.wait(0.02):
            if self.sent() >= due:
                due += self.chance.randint(*self.gap)
                victim = self.chance.choice(self.victims)
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


def run_storm(fleet: Fleet, identity: IdentityService, shop: ShopService, weather: StormSize) -> StormResult:
    """Send all webhooks, first killing workers, then also web processes; drain; compare."""
    chance = random.Random(weather.seed)
    people = [f"PERSON{number}" for number in range(weather.people)]
    driver = Driver(identity, lambda: [web.port for web in fleet.webs])
    driver.add_people(people)
    webhooks = plan(weather.webhooks, weather.copies, people, weather.seed)
    half, killed = len(webhooks) // 2, Counter[str]()
    for part, victims in ((webhooks[:half], fleet.workers), (webhooks[half:], fleet.members)):
        with ProcessKiller(victims, weather.gap, lambda: len(driver.sendings), chance) as killer:
            send_timed(lambda part=part: driver.run(part, weather.clients), len(part))
        killed += killer.killed
    return finish_storm(fleet, driver, shop, weather, killed)


def run_mixed_storm(fleet: Fleet, driver: BatchDriver, shop: ShopService, weather: StormSize) -> StormResult:
    """Send batches and single webhooks while any process is killed; drain; compare."""
    chance = random.Random(weather.seed)
    people = [f"PERSON{number}" for number in range(weather.people)]
    driver.add_people(people)
    singles = plan(weather.webhooks, weather.copies, people, weather.seed)
    requests: list[Webhook | Batch] = [*plan_batches(weather.batches, people, weather.seed)]
    for single in singles:
        requests.insert(chance.randrange(len(requests) + 1), single)
    with ProcessKiller(fleet.members, weather.gap, lambda: driver.posts, chance) as killer:
        send_timed(lambda: driver.send_all(requests, weather.clients), len(requests))
    return finish_storm(fleet, driver, shop, weather, killer.killed)


def finish_storm(
    fleet: Fleet, driver: Driver, shop: ShopService, weather: StormSize, killed: Counter[str]
) -> StormResult:
    """Wait until everything is delivered, and compare."""
    fleet.wait_until_idle(weather.drain_seconds)
    identity = driver.identity
    report = observe(driver.sendings, identity, shop, fleet.hub.rows)
    states = fleet.hub.rows("SELECT state, count(*) FROM sync_delivery GROUP BY state")
    receipts = fleet.hub.rows("SELECT count(*) FROM webhooks_receipt")[0][0]
    ends = {str(state): int(number) for state, number in states}
    answers = Counter(str(sending.status or "cut") for sending in driver.sendings)
    return StormResult(report, ends, dict(killed), receipts, dict(answers))


def send_timed(send: Callable[[], None], number: int) -> None:
    """Send `number` requests and print how long it took."""
    started = time.monotonic()
    send()
    seconds = time.monotonic() - started
    print(f"{number} requests in {seconds:.1f} s ({number / seconds:.0f}/s)")
