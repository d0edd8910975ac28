"""Promise I9: a process that lost its lease sends nothing more and settles nothing."""

import time
from datetime import timedelta

import pytest
from django.utils import timezone

from sync.expiring import expire
from sync.models import Attempt, Call, Delivery
from sync.tasks import run_due
from tests.hub import EXAMPLE, Hub
from webhooks.models import Event, State

ACK = EXAMPLE[:-1] + b',"respond":"ack"}'


def wait_for_shop(hub: Hub, method: str) -> None:
    until = time.monotonic() + 10
    while not any(each["method"] == method for each in hub.shop.journal()):
        assert time.monotonic() < until, "the attempt did not come so far"
        time.sleep(0.01)


def take_over() -> None:
    """The lease of the running delivery ends while its process is held up; another one does the work."""
    delivery = Delivery.objects.get()
    Delivery.objects.filter(pk=delivery.pk).update(lease_until=timezone.now() - timedelta(seconds=60))
    assert expire(Delivery.objects.get())
    assert run_due() == 1


@pytest.mark.parametrize("held_up_at", ["GET", "PATCH"])
def test_a_process_that_lost_its_lease_sends_and_settles_nothing_more(hub: Hub, held_up_at: str) -> None:
    address = hub.change_email("anna.lease@example.com")
    hub.shop.faults.add("slow", seconds=1, methods=[held_up_at], applied=True, times=1)
    assert hub.post_signed(ACK).status_code == 202
    wait_for_shop(hub, held_up_at)
    time.sleep(0.1)  # the shop has read, or written, by now
    take_over()
    settled = Delivery.objects.values().get()
    hub.settle_down()
    time.sleep(0.3)  # the first process goes on with what it was told

    assert Delivery.objects.values().get() == settled
    outcomes = list(Attempt.objects.order_by("pk").values_list("outcome", flat=True))
    assert outcomes == ["unknown", "succeeded" if held_up_at == "GET" else "unchanged"]
    [write] = hub.writes()
    assert Call.objects.get(key=write["key"]).attempt.number == (2 if held_up_at == "GET" else 1)
    assert hub.customer()["email"] == address
    assert Event.objects.get().state in (State.SUCCEEDED, State.UNCHANGED)
