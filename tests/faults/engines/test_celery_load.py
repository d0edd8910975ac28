"""2,000 webhooks of 200 people over four web processes and four Celery workers, which are killed at random.

The longer tier sends 5,000.
"""

import random
import threading
from pathlib import Path

import pytest
from redis import Redis

from sandbox.identity import IdentityService
from sandbox.shop import ShopService
from tests.faults.consistency.checker import observe
from tests.faults.fleet.hub_fleet import Member, running_fleet
from tests.faults.load.source_driver import Driver, plan
from tests.support.hub import SIGNING_SECRET
from tests.support.redis import redis_server

pytestmark = [pytest.mark.slow, pytest.mark.writers_at_once]

CLIENTS, SEED = 12, 20261127
PEOPLE = [f"PERSON{number}" for number in range(200)]
KILL_SECONDS = (2.0, 5.0)  # between two kills
DRAIN_SECONDS = 300.0


def kill_workers(workers: list[Member], stop: threading.Event) -> int:
    """Kill one worker after the other with SIGKILL, and start it again, until `stop`. Returns how many were killed."""
    chance, killed = random.Random(SEED), 0
    while not stop.wait(chance.uniform(*KILL_SECONDS)):
        victim = chance.choice(workers)
        victim.kill()
        victim.start()
        killed += 1
    return killed


def test_nothing_is_lost_stale_overlapping_or_stuck(tmp_path: Path, is_long: bool) -> None:
    webhooks = 5_000 if is_long else 2_000
    killed: list[int] = []
    with (
        IdentityService(secret=SIGNING_SECRET) as identity,
        ShopService() as shop,
        redis_server() as (broker, _),
        Redis.from_url(broker) as redis,
    ):
        variables = {"CELERY_BROKER_URL": broker, "LOG_LEVEL": "WARNING", "DELIVERY_THREADS": "8"}
        with running_fleet(tmp_path, (identity, shop), webs=4, workers=4, **variables) as fleet:
            driver = Driver(identity, lambda: [web.port for web in fleet.webs])
            driver.add_people(PEOPLE)
            stop = threading.Event()
            killing = threading.Thread(target=lambda: killed.append(kill_workers(fleet.workers, stop)))
            killing.start()
            try:
                driver.run(plan(webhooks, webhooks // 10, PEOPLE, SEED), CLIENTS)
            finally:
                stop.set()
                killing.join()
            assert fleet.wait_until_idle(DRAIN_SECONDS), "something is stuck"
            report = observe(driver.sendings, identity, shop, fleet.hub.rows)
            print(
                f"\n{report}\nworkers killed: {killed[0]}, commands of Redis: {redis.info()['total_commands_processed']}"
            )
            report.assert_clean()
    assert killed[0] >= 5
