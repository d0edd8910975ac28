"""Celery in place of `run_worker`: lost messages, a missing broker and killed workers lose no webhook.

Uses a real Redis. A courier between the web process and the workers takes each message from the list that the web
process sends to, and drops, doubles, delays or passes it on to the list that the workers read.
"""

import json
import random
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from redis import Redis

from tests.faults.consistency.checker import observe
from tests.faults.fleet.hub_fleet import Fleet, Services, running_fleet
from tests.faults.load.source_driver import Driver, Webhook
from tests.support.processes.hub_processes import ROOT
from tests.support.processes.workers import wait_until
from tests.support.redis import redis_server

# They choose their engine themselves.
pytestmark = [pytest.mark.faults, pytest.mark.nightly, pytest.mark.concurrent]

SENT, READ = "sent-by-the-web-process", "read-by-workers"
PEOPLE = [f"PERSON{number}" for number in range(40)]
LATE_SECONDS = 2.0


@dataclass
class Courier:
    """An unreliable carrier of messages. `fates`: what may happen to one, in equal shares. `counted`: what did happen."""

    redis: "Redis"
    fates: Sequence[str]
    counted: Counter[str] = field(default_factory=Counter)
    _ends: threading.Event = field(default_factory=threading.Event)

    @contextmanager
    def carrying(self) -> Iterator[None]:
        thread = threading.Thread(target=self._carry)
        thread.start()
        try:
            yield
        finally:
            self._ends.set()
            thread.join()

    def _carry(self) -> None:
        chance = random.Random(20261127)
        held: list[tuple[float, bytes]] = []
        while not self._ends.is_set():
            while held and held[0][0] <= time.monotonic():
                self.redis.lpush(READ, held.pop(0)[1])
            message = self.redis.brpop([SENT], timeout=0.05)
            if message is None:
                continue
            fate = chance.choice(self.fates)
            self.counted[fate] += 1
            if fate == "late":
                held.append((time.monotonic() + LATE_SECONDS, message[1]))
            elif fate != "dropped":
                self.redis.lpush(READ, *[message[1]] * (2 if fate == "doubled" else 1))


@contextmanager
def celery_fleet(
    folder: Path, services: Services, broker: str, *, workers: int = 2, sends_to: str = READ, **variables: str
) -> Iterator[Fleet]:
    """Run one web process and Celery workers without beat."""
    chosen = {"CELERY_BROKER_URL": broker, "CELERY_QUEUE": READ, "LOG_LEVEL": "WARNING"} | variables
    with running_fleet(folder, services, webs=0, workers=workers, **chosen) as fleet:
        fleet.add_web(CELERY_QUEUE=sends_to)
        fleet.wait_until_healthy()
        yield fleet


def driver_of(fleet: Fleet, services: Services) -> Driver:
    driver = Driver(services[0], lambda: [web.port for web in fleet.webs])
    driver.add_people(PEOPLE)
    return driver


def webhooks(count: int, word: str = "msg") -> list[Webhook]:
    return [Webhook(f"{word}_{number}", PEOPLE[number % len(PEOPLE)], "ack", 0) for number in range(count)]


def assert_clean(fleet: Fleet, services: Services, driver: Driver) -> None:
    report = observe(driver.sendings, *services, fleet.hub.rows)
    print(f"\n{report}")
    report.assert_clean()


def test_dropped_doubled_and_late_messages_and_killed_workers_lose_nothing(
    tmp_path: Path, services: Services
) -> None:
    with redis_server() as (broker, _), Redis.from_url(broker) as redis:
        courier = Courier(redis, ["passed", "dropped", "doubled", "late"])
        with celery_fleet(tmp_path, services, broker, sends_to=SENT) as fleet, courier.carrying():
            driver = driver_of(fleet, services)
            services[1].faults.add("slow", seconds=0.05)
            sending = threading.Thread(target=driver.run, args=(webhooks(300), 8))
            sending.start()
            for victim in fleet.workers:
                time.sleep(1.5)
                victim.kill()
                victim.start()
            sending.join()
            assert fleet.wait_until_idle(), "something is stuck"
            assert_clean(fleet, services, driver)
            ended = "SELECT count(*) FROM sync_periodictask WHERE ended_at IS NOT NULL"
            wait_until(lambda: fleet.hub.rows(ended)[0][0] >= 1)  # without beat, workers do the periodic work
    print(dict(courier.counted))
    assert all(courier.counted[fate] > 5 for fate in courier.fates)


@pytest.mark.one_database
@pytest.mark.parametrize("how", ["gone", "hangs"])
def test_webhooks_are_answered_and_delivered_while_the_broker_is_down(
    tmp_path: Path, services: Services, how: str
) -> None:
    with redis_server() as (broker, process), celery_fleet(tmp_path, services, broker, workers=1) as fleet:
        driver = driver_of(fleet, services)
        wait_until_consumed(broker)
        process.send_signal(signal.SIGKILL if how == "gone" else signal.SIGSTOP)
        driver.run(webhooks(40, "away"), 4)
        assert fleet.wait_until_idle(), "no worker looked for work without a message"
        assert_clean(fleet, services, driver)
    assert len(driver.sendings) == 40, "one was not answered at once"


@pytest.mark.one_database
def test_a_worker_that_starts_without_its_broker_delivers(tmp_path: Path, services: Services) -> None:
    with redis_server() as (broker, process):
        process.kill()
        with celery_fleet(tmp_path, services, broker, workers=1) as fleet:
            driver = driver_of(fleet, services)
            driver.run(webhooks(10), 2)
            assert fleet.wait_until_idle()
            assert_clean(fleet, services, driver)


@pytest.mark.one_database
def test_beat_sends_the_tasks_that_workers_run(tmp_path: Path, services: Services) -> None:
    """The messages are inspected in a list that no worker reads, then moved to the list of a worker."""
    with (
        redis_server() as (broker, _),
        Redis.from_url(broker) as redis,
        celery_fleet(tmp_path, services, broker, workers=1) as fleet,
    ):
        unread = fleet.hub.environment | {"CELERY_QUEUE": "unread"}
        command = [sys.executable, "-m", "celery", "-A", "integration_hub", "beat"]
        beat = subprocess.Popen(command, cwd=ROOT, env=unread, stdout=subprocess.DEVNULL)
        try:
            wait_until(lambda: int(redis.llen("unread")) >= 6)
        finally:
            beat.terminate()
            assert beat.wait(20) == 0
        messages = [json.loads(message) for message in redis.lrange("unread", 0, -1)]
        redis.rename("unread", READ)
        wait_until(lambda: int(redis.llen(READ)) == 0)
        log = fleet.log.read_text()
    assert {message["headers"]["task"] for message in messages} == {
        "hub.dispatch_due",
        "hub.run_periodic_work",
        "hub.run_jobs",
    }
    assert all(message["headers"]["expires"] for message in messages)
    assert "Traceback" not in log


def wait_until_consumed(broker: str) -> None:
    """Wait until a worker reads the list."""
    with Redis.from_url(broker) as redis:
        wait_until(lambda: any(client["cmd"] == "brpop" for client in redis.client_list()))
