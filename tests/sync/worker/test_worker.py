"""The worker as a real process: it delivers deferred work, and stops gently."""

import signal
from datetime import timedelta

import pytest
from django.db import connection
from django.utils import timezone

from sync.execution.wakeups import notify_workers
from sync.models import Delivery
from tests.support.hub import ANNA, EXAMPLE, Hub
from tests.support.processes.workers import running_workers, wait_until
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


def is_delivered(delivery: Delivery) -> bool:
    return Delivery.objects.filter(pk=delivery.pk, state=State.SUCCEEDED).exists()


def test_a_worker_delivers_deferred_work_long_before_its_poll(hub: Hub) -> None:
    delivery = open_delivery(hub, "anna.told@example.com", due=False)
    with running_workers(POLLS_NEVER):
        make_due(delivery)
        wait_until(lambda: is_delivered(delivery))
    assert hub.customer()["email"] == "anna.told@example.com"


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


def test_ctrl_c_and_the_supervisors_signal_together_end_a_worker_as_gently_as_one(hub: Hub) -> None:
    delivery = open_delivery(hub, "anna.gently@example.com")
    hub.shop.faults.add("slow", seconds=1, methods=["PATCH", "PUT"], times=1)
    with running_workers(0.2) as [process]:
        wait_until(lambda: is_in_the_shop(hub))
        process.process.send_signal(signal.SIGINT)
        assert process.stop(signal.SIGTERM) == 0
    assert is_delivered(delivery)


def is_in_the_shop(hub: Hub) -> bool:
    return any(write["ended"] is None for write in hub.shop.read_journal(only_writes=True))


def make_due(delivery: Delivery) -> None:
    """Make the delivery due and wake workers."""
    Delivery.objects.filter(pk=delivery.pk).update(due_at=timezone.now() - timedelta(seconds=1))
    notify_workers([delivery.pk])


def listeners() -> int:
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT count(*) {LISTENING}")
        return int(cursor.fetchone()[0])


def cut_listeners() -> None:
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT pg_terminate_backend(pid) {LISTENING}")
