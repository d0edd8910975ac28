"""The worker as a real process: what is deferred is delivered, whatever becomes of messages, queues and workers."""

import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from django.utils import timezone

from sync.execution.queue_storage import WakeUps
from sync.models import Connection, Delivery
from tests.support.hub import ANNA, EXAMPLE, Hub
from tests.support.processes.hub_processes import free_port
from tests.support.processes.queues import KINDS, queue_of, redis_server, wait_until, worker
from webhooks.models import State

pytestmark = pytest.mark.slow  # processes that start, wait for leases and end


@pytest.fixture(params=KINDS)
def queue_url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    with queue_of(request.param, tmp_path) as url:
        yield url


@pytest.fixture
def file_queue(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path / 'queue.sqlite3'}"


def open_delivery(hub: Hub, address: str, user: str = ANNA) -> Delivery:
    """A delivery that waits and of which nobody was told; it will bring that address to the shop."""
    before = set(Delivery.objects.values_list("pk", flat=True))
    assert hub.post(EXAMPLE.replace(ANNA.encode(), user.encode())).status_code == 200
    [delivery] = Delivery.objects.exclude(pk__in=before)
    hub.change_email(address, user)
    hub.wait_until_quiet()  # the thread that delivered looks once more for what is due of this subject
    Delivery.objects.filter(pk=delivery.pk).update(
        state=State.PENDING, due_at=timezone.now(), settled_at=None, tries=0
    )
    return delivery


def outcomes(delivery: Delivery) -> list[str]:
    """Of the attempts of the worker; the first was made to have a delivery at all."""
    return list(delivery.attempts.filter(number__gt=1).order_by("number").values_list("outcome", flat=True))


def is_delivered(delivery: Delivery) -> bool:
    return Delivery.objects.filter(pk=delivery.pk, state=State.SUCCEEDED).exists()


def test_a_worker_delivers_what_it_is_told_of(hub: Hub, queue_url: str) -> None:
    delivery = open_delivery(hub, "anna.told@example.com")
    with worker(queue_url):
        WakeUps(queue_url).put(delivery.pk)
        wait_until(lambda: is_delivered(delivery))
    assert hub.customer()["email"] == "anna.told@example.com"


def test_a_doubled_message_makes_one_attempt_and_a_late_one_none(hub: Hub, queue_url: str) -> None:
    delivery = open_delivery(hub, "anna.twice@example.com")
    wake_ups = WakeUps(queue_url)
    for _ in range(5):
        wake_ups.put(delivery.pk)
    with worker(queue_url) as [process]:
        wait_until(lambda: is_delivered(delivery))
        wake_ups.put(delivery.pk)
        wake_ups.put(10**15)  # a delivery that retention took meanwhile
        wait_until(lambda: is_empty(wake_ups))
        assert process.end() == 0
    assert outcomes(delivery) == ["succeeded"]


def test_several_workers_share_one_queue_and_each_delivery_is_made_once(hub: Hub, queue_url: str) -> None:
    users = [f"PERSON{number}" for number in range(5)]
    for user in users:
        emails = [{"address": f"{user.lower()}@old.example.com", "verified": True}]
        hub.identity.directory.create("users", {"id": user, "username": user.lower(), "emails": emails})
    deliveries = [open_delivery(hub, f"{user.lower()}@example.com", user) for user in users]
    wake_ups = WakeUps(queue_url)
    for each in deliveries * 2:
        wake_ups.put(each.pk)
    with worker(queue_url, count=2) as both:
        wait_until(lambda: all(map(is_delivered, deliveries)))
        assert [each.end() for each in both] == [0, 0]
    assert [outcomes(each) for each in deliveries] == [["succeeded"]] * len(users)
    assert {hub.customer(user)["email"] for user in users} == {
        f"{each.lower()}@example.com" for each in users
    }


def test_a_message_that_was_lost_costs_a_sweep(hub: Hub, file_queue: str) -> None:
    delivery = open_delivery(hub, "anna.lost@example.com")
    WakeUps(file_queue).put(delivery.pk)
    assert WakeUps(file_queue).take() == [delivery.pk]
    with worker(file_queue, sweep=0.2):
        wait_until(lambda: is_delivered(delivery))


def test_a_worker_that_is_told_to_end_finishes_what_it_delivers_and_leaves_the_rest_to_others(
    hub: Hub, queue_url: str
) -> None:
    delivery, other = both(hub)
    Connection.objects.update(deadline_seconds=30)  # a busy machine is no slow shop
    hub.shop.faults.add("slow", seconds=2, methods=["PATCH", "PUT"], times=1)
    wake_ups = WakeUps(queue_url)
    with worker(queue_url, DELIVERY_THREADS="2") as [process]:
        assert wake_ups.put(delivery.pk)
        wait_until(lambda: is_in_the_shop(hub))
        process.process.send_signal(signal.SIGTERM)
        for _ in range(8):  # the last look into the queue takes half a second, and finds one of them
            time.sleep(0.05)
            wake_ups.put(other.pk)
        assert process.process.wait(30) == 0
    assert is_delivered(delivery), process.said()
    assert Delivery.objects.get(pk=other.pk).state == State.PENDING
    with worker(queue_url):
        wait_until(lambda: is_delivered(other))


def test_ctrl_c_and_the_supervisors_signal_together_end_a_worker_as_gently_as_one(
    hub: Hub, file_queue: str
) -> None:
    delivery = open_delivery(hub, "anna.gently@example.com")
    hub.shop.faults.add("slow", seconds=1, methods=["PATCH", "PUT"], times=1)
    with worker(file_queue, sweep=0.2) as [process]:
        wait_until(lambda: is_in_the_shop(hub))
        process.process.send_signal(signal.SIGINT)
        assert process.end(signal.SIGTERM) == 0
    assert is_delivered(delivery)


def test_what_a_killed_worker_held_is_delivered_by_another_when_the_lease_ends(
    hub: Hub, file_queue: str
) -> None:
    delivery = open_delivery(hub, "anna.killed@example.com")
    hub.shop.faults.add("slow", seconds=20, methods=["PATCH", "PUT"], times=1)
    with worker(file_queue, sweep=0.2, LEASE_SECONDS="2") as [first]:
        wait_until(lambda: is_in_the_shop(hub))
        assert first.end(signal.SIGKILL) == -signal.SIGKILL
    with worker(file_queue, sweep=0.2, LEASE_SECONDS="2"):
        wait_until(lambda: is_delivered(delivery))
    assert outcomes(delivery) == ["unknown", "succeeded"]


def test_a_worker_whose_queue_is_away_delivers_by_its_sweep(hub: Hub) -> None:
    delivery = open_delivery(hub, "anna.swept@example.com")
    with worker(f"redis://127.0.0.1:{free_port()}/0", sweep=0.2) as [process]:
        wait_until(lambda: is_delivered(delivery))
        assert process.end() == 0
        assert process.said().count("the queue is away") == 1


def test_a_worker_sweeps_while_its_queue_hangs(hub: Hub, tmp_path: Path) -> None:
    delivery = open_delivery(hub, "anna.hangs@example.com")
    with redis_server(tmp_path) as (url, server):
        server.send_signal(signal.SIGSTOP)
        with worker(url, sweep=0.2) as [process]:
            wait_until(lambda: is_delivered(delivery))
            assert process.end() == 0


def test_a_delivery_under_which_processes_died_twice_runs_alone(hub: Hub, file_queue: str) -> None:
    suspect = open_delivery(hub, "anna.suspect@example.com")
    Delivery.objects.filter(pk=suspect.pk).update(deaths=2)
    with worker(file_queue, sweep=0.2) as [process]:
        wait_until(lambda: is_delivered(suspect))
        assert process.end() == 0
    assert list(suspect.attempts.filter(number__gt=1).values_list("is_alone", flat=True)) == [True]


def both(hub: Hub) -> tuple[Delivery, Delivery]:
    return (
        open_delivery(hub, "anna.first@example.com"),
        open_delivery(hub, "mikko.second@example.com", "5f2a9c0e7b1d4e8890aa0001"),
    )


def is_in_the_shop(hub: Hub) -> bool:
    return any(each["ended"] is None for each in hub.shop.journal(writes=True))


def is_empty(wake_ups: WakeUps) -> bool:
    """Taken by whom it is for: looking must not take it."""
    storage = wake_ups._storage
    return bool(storage.queue_size() == 0)
