"""The worker as a real process: deferred work is delivered despite lost wake-ups and killed workers."""

import os
import signal
import time
import uuid
from datetime import timedelta
from pathlib import Path

import pytest
from django.db import connection
from django.utils import timezone

from sync.execution.wakeups import notify_workers
from sync.models import Connection, Delivery
from tests.support.hub import ANNA, EXAMPLE, Hub
from tests.support.processes.workers import WorkerProcess, running_workers, wait_until
from tests.support.unfinished_deliveries import close_open_deliveries
from webhooks.models import State

# Processes that start, wait for leases and end.
pytestmark = [pytest.mark.nightly, pytest.mark.concurrent]

POLLS_NEVER = 3600.0  # on PostgreSQL; on SQLite polling is all there is
LISTENING = """FROM pg_stat_activity
    WHERE datname = current_database() AND query LIKE 'LISTEN%' AND application_name LIKE '%wake-ups'"""


def open_delivery(hub: Hub, address: str, user: str = ANNA, *, due: bool = True) -> Delivery:
    """Create a waiting delivery without a wake-up that will bring that address to the shop."""
    before = set(Delivery.objects.values_list("pk", flat=True))
    assert hub.post(EXAMPLE.replace(ANNA.encode(), user.encode())).status_code == 200
    [delivery] = Delivery.objects.exclude(pk__in=before)
    hub.change_email(address, user)
    hub.wait_until_quiet()  # the thread that delivered looks once more for what is due of this subject
    Delivery.objects.filter(pk=delivery.pk).update(
        state=State.PENDING,
        due_at=timezone.now() + timedelta(hours=0 if due else 1),
        settled_at=None,
        attempts_used=0,
    )
    return delivery


def outcomes(delivery: Delivery) -> list[str]:
    """Return the outcomes of the worker's attempts, without the first one, which created the delivery."""
    return list(delivery.attempts.filter(number__gt=1).order_by("number").values_list("outcome", flat=True))


def is_delivered(delivery: Delivery) -> bool:
    return Delivery.objects.filter(pk=delivery.pk, state=State.SUCCEEDED).exists()


def test_a_worker_delivers_deferred_work_long_before_its_poll(hub: Hub) -> None:
    delivery = open_delivery(hub, "anna.told@example.com", due=False)
    with running_workers(POLLS_NEVER):
        make_due(delivery)
        wait_until(lambda: is_delivered(delivery))
    assert hub.customer()["email"] == "anna.told@example.com"


def test_a_doubled_wake_up_causes_one_attempt_and_a_late_one_none(hub: Hub) -> None:
    delivery = open_delivery(hub, "anna.twice@example.com", due=False)
    with running_workers(count=2) as both:
        make_due(delivery)
        for _ in range(5):
            notify_workers([delivery.pk])
            time.sleep(0.03)
        wait_until(lambda: is_delivered(delivery))
        notify_workers([delivery.pk])
        time.sleep(0.3)
        assert [worker.stop() for worker in both] == [0, 0]
    assert outcomes(delivery) == ["succeeded"]


def test_several_workers_share_due_deliveries_and_run_each_once(hub: Hub) -> None:
    users = [f"PERSON{number}" for number in range(5)]
    for user in users:
        emails = [{"address": f"{user.lower()}@old.example.com", "verified": True}]
        hub.identity.directory.create_record(
            "users", {"id": user, "username": user.lower(), "emails": emails}
        )
    deliveries = [open_delivery(hub, f"{user.lower()}@example.com", user) for user in users]
    with running_workers(count=2) as both:
        wait_until(lambda: all(map(is_delivered, deliveries)))
        assert [worker.stop() for worker in both] == [0, 0]
    assert [outcomes(delivery) for delivery in deliveries] == [["succeeded"]] * len(users)
    assert {hub.customer(user)["email"] for user in users} == {
        f"{user.lower()}@example.com" for user in users
    }


def test_a_lost_wake_up_delays_a_delivery_until_the_next_poll(hub: Hub) -> None:
    delivery = open_delivery(hub, "anna.lost@example.com", due=False)
    with running_workers(0.5):
        time.sleep(0.5)
        make_due(delivery, tells=False)
        wait_until(lambda: is_delivered(delivery))


@pytest.mark.writers_at_once
def test_a_worker_without_its_notification_connection_polls_and_reconnects(hub: Hub) -> None:
    """PostgreSQL only; the connection pauses for some seconds before it is reopened."""
    delivery = open_delivery(hub, "anna.cut@example.com", due=False)
    with running_workers(0.5) as [process]:
        wait_until(lambda: listeners() == 1)
        cut_listeners()
        make_due(delivery)
        wait_until(lambda: is_delivered(delivery))
        # The worker logs it after the server has the connection.
        errors = process.wait_for_error("the connection for notifications is available again")
        assert listeners() == 1
        assert process.stop() == 0
        errors += process.read_errors()
    assert errors.count("the connection for notifications is unavailable") == 1
    assert errors.count("the connection for notifications is available again") == 1


def test_a_delivery_that_cannot_be_claimed_is_not_retried_in_a_loop(hub: Hub) -> None:
    """The only other delivery of its entity is running, in a process that died; its lease lasts a minute."""
    first, second = both(hub)
    Delivery.objects.filter(pk=second.pk).update(entity_id=first.entity_id)
    Delivery.objects.filter(pk=first.pk).update(
        state=State.RUNNING, token=uuid.uuid4(), lease_until=timezone.now() + timedelta(minutes=1)
    )
    with running_workers() as [process]:
        time.sleep(1)
        before = cpu_seconds(process)
        time.sleep(3)
        assert cpu_seconds(process) - before < 1.0
    assert Delivery.objects.get(pk=second.pk).state == State.PENDING
    close_open_deliveries()


def test_a_stopping_worker_finishes_its_deliveries_and_leaves_the_rest_to_others(
    hub: Hub,
) -> None:
    delivery, other = both(hub)
    Delivery.objects.filter(pk=other.pk).update(due_at=timezone.now() + timedelta(hours=1))
    Connection.objects.update(deadline_seconds=30)  # a busy machine is no slow shop
    hub.shop.faults.add("slow", seconds=60, methods=["PATCH", "PUT"], times=1)
    with running_workers(DELIVERY_THREADS="2") as [process]:
        wait_until(lambda: is_in_the_shop(hub))
        process.process.send_signal(signal.SIGTERM)
        time.sleep(1.5)
        make_due(other)
        time.sleep(0.5)
        hub.shop.faults.clear()
        assert process.process.wait(30) == 0
    assert is_delivered(delivery), process.read_errors()
    assert Delivery.objects.get(pk=other.pk).state == State.PENDING
    with running_workers():
        wait_until(lambda: is_delivered(other))


def test_ctrl_c_and_the_supervisors_signal_together_end_a_worker_as_gently_as_one(hub: Hub) -> None:
    delivery = open_delivery(hub, "anna.gently@example.com")
    hub.shop.faults.add("slow", seconds=1, methods=["PATCH", "PUT"], times=1)
    with running_workers(0.2) as [process]:
        wait_until(lambda: is_in_the_shop(hub))
        process.process.send_signal(signal.SIGINT)
        assert process.stop(signal.SIGTERM) == 0
    assert is_delivered(delivery)


def test_deliveries_of_a_killed_worker_run_on_another_one_after_their_lease(hub: Hub) -> None:
    delivery = open_delivery(hub, "anna.killed@example.com")
    hub.shop.faults.add("slow", seconds=20, methods=["PATCH", "PUT"], times=1)
    with running_workers(0.2, LEASE_SECONDS="3") as [first]:
        wait_until(lambda: is_in_the_shop(hub))
        assert first.stop(signal.SIGKILL) == -signal.SIGKILL
    with running_workers(0.2):
        wait_until(lambda: is_delivered(delivery))
    assert outcomes(delivery) == ["unknown", "succeeded"]


def test_a_delivery_whose_processes_died_twice_runs_in_isolation(hub: Hub) -> None:
    isolated = open_delivery(hub, "anna.isolated@example.com")
    Delivery.objects.filter(pk=isolated.pk).update(deaths=2)
    with running_workers(0.2) as [process]:
        wait_until(lambda: is_delivered(isolated))
        assert process.stop() == 0
    assert list(isolated.attempts.filter(number__gt=1).values_list("in_own_process", flat=True)) == [True]


def both(hub: Hub) -> tuple[Delivery, Delivery]:
    return (
        open_delivery(hub, "anna.first@example.com"),
        open_delivery(hub, "mikko.second@example.com", "5f2a9c0e7b1d4e8890aa0001"),
    )


def is_in_the_shop(hub: Hub) -> bool:
    return any(write["ended"] is None for write in hub.shop.read_journal(only_writes=True))


def make_due(delivery: Delivery, *, tells: bool = True) -> None:
    """Make the delivery due and wake workers, unless the wake-up is to be lost."""
    Delivery.objects.filter(pk=delivery.pk).update(due_at=timezone.now() - timedelta(seconds=1))
    if tells:
        notify_workers([delivery.pk])


def listeners() -> int:
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT count(*) {LISTENING}")
        return int(cursor.fetchone()[0])


def cut_listeners() -> None:
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT pg_terminate_backend(pid) {LISTENING}")


def cpu_seconds(process: WorkerProcess) -> float:
    """Return the CPU seconds of the worker so far."""
    fields = Path(f"/proc/{process.process.pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
