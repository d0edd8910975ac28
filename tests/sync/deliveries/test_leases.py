"""Promise I9: a process that lost its lease sends nothing more and settles nothing."""

import threading
import time
from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from sync.attempts.call_log import AttemptRecorder, ClaimLost
from sync.connectors.client.exchange import OutgoingRequest
from sync.deliveries.claims import Claim, claim_delivery
from sync.deliveries.expired_leases import release_delivery
from sync.execution.executor import run_due_deliveries
from sync.models import Attempt, Call, Delivery, MappingVersion
from tests.support.builders.history import a_delivery, a_route, a_source, an_event
from tests.support.hub import EXAMPLE, Hub
from tests.support.threads import wait_until
from webhooks.models import Event, State

ACK = EXAMPLE[:-1] + b',"respond":"ack"}'


def wait_for_shop(hub: Hub, method: str) -> None:
    until = time.monotonic() + 10
    while not any(request["method"] == method for request in hub.shop.read_journal()):
        assert time.monotonic() < until, "the attempt did not come so far"
        time.sleep(0.01)


def expire_and_redeliver() -> None:
    """Let the lease of the running delivery expire while its process is blocked, and deliver it again."""
    delivery = Delivery.objects.get()
    Delivery.objects.filter(pk=delivery.pk).update(lease_until=timezone.now() - timedelta(seconds=60))
    assert release_delivery(Delivery.objects.get())
    assert run_due_deliveries() == 1


@pytest.mark.slow
@pytest.mark.parametrize("held_up_at", ["GET", "PATCH"])
def test_a_process_that_lost_its_lease_sends_and_settles_nothing_more(hub: Hub, held_up_at: str) -> None:
    address = hub.change_email("anna.lease@example.com")
    hub.shop.faults.add("slow", seconds=1, methods=[held_up_at], applied=True, times=1)
    assert hub.post_signed(ACK).status_code == 202
    wait_for_shop(hub, held_up_at)
    if held_up_at == "PATCH":
        wait_until(lambda: hub.customer()["email"] == address)
    expire_and_redeliver()
    settled = Delivery.objects.values().get()
    hub.wait_until_shop_is_idle()
    hub.wait_until_quiet()  # the first process continues with its response

    assert Delivery.objects.values().get() == settled
    outcomes = list(Attempt.objects.order_by("pk").values_list("outcome", flat=True))
    assert outcomes == ["unknown", "succeeded" if held_up_at == "GET" else "unchanged"]
    [write] = hub.writes()
    assert Call.objects.get(key=write["key"]).attempt.number == (2 if held_up_at == "GET" else 1)
    assert hub.customer()["email"] == address
    assert Event.objects.get().state in (State.SUCCEEDED, State.UNCHANGED)


class StoppedProcess:
    """Stops the first write of this process after its row was committed, and before it is sent."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.is_stopped, self.continues = threading.Event(), threading.Event()
        record, process = AttemptRecorder.record_request, self

        def record_and_stop(recorder: AttemptRecorder, request: OutgoingRequest) -> None:
            record(recorder, request)
            if request.is_write and not process.is_stopped.is_set():
                process.is_stopped.set()
                process.continues.wait(20)

        monkeypatch.setattr(AttemptRecorder, "record_request", record_and_stop)


@pytest.mark.parametrize("is_broken", [False, True])
def test_a_write_that_is_on_record_is_not_sent_if_the_lease_ended_meanwhile(
    hub: Hub, monkeypatch: pytest.MonkeyPatch, settings: Any, is_broken: bool
) -> None:
    if is_broken:
        monkeypatch.setattr(AttemptRecorder, "check_before_sending", lambda *_: None)
    process = StoppedProcess(monkeypatch)
    hub.change_email("anna.old@example.com")
    assert hub.post_signed(ACK).status_code == 202
    assert process.is_stopped.wait(10)
    newest = hub.change_email("anna.newest@example.com")
    later = settings.LEASE_SECONDS + 1
    monkeypatch.setattr("sync.deliveries.claims.monotonic", lambda: time.monotonic() + later)
    expire_and_redeliver()
    process.continues.set()
    hub.wait_until_quiet()
    assert len(hub.writes()) == (2 if is_broken else 1)
    assert (hub.customer()["email"] == newest) is not is_broken


def _read() -> OutgoingRequest:
    return OutgoingRequest("fetch", "GET", "https://id.test/users/1", "/users/{id}", {}, None, None, False)


@pytest.fixture
def claimed(db: None) -> Claim:
    event = an_event(1, source=a_source(), state=State.PENDING)
    pk = a_delivery(event, a_route(event.source), state=State.PENDING, due_at=timezone.now()).pk
    MappingVersion.objects.update(declaration={"fields": {"email": {"path": "entity.email"}}})
    claim = claim_delivery(pk)
    assert claim is not None
    return claim


def test_a_system_that_is_slow_but_answers_does_not_end_the_lease(
    claimed: Claim, monkeypatch: pytest.MonkeyPatch
) -> None:
    recorder = AttemptRecorder(claimed, claimed.delivery.identity)
    recorder.record_request(_read())
    began = time.monotonic()
    for passed in (12, 24, 36, 48):
        monkeypatch.setattr("sync.deliveries.claims.monotonic", lambda passed=passed: began + passed)
        soon = timezone.now() + timedelta(seconds=1)
        Delivery.objects.update(lease_until=soon)
        recorder.record_request(_read())
        assert Delivery.objects.get().lease_until > soon + timedelta(seconds=15)


def test_no_read_is_started_for_a_claim_of_another_process(
    claimed: Claim, monkeypatch: pytest.MonkeyPatch
) -> None:
    recorder = AttemptRecorder(claimed, claimed.delivery.identity)
    Delivery.objects.update(lease_until=timezone.now() - timedelta(seconds=60))
    assert release_delivery(Delivery.objects.get())
    began = time.monotonic()
    monkeypatch.setattr("sync.deliveries.claims.monotonic", lambda: began + 60)
    with pytest.raises(ClaimLost):
        recorder.record_request(_read())
