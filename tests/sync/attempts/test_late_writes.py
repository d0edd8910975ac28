"""Promise I27: a process that was taken over after it sent a write makes the record be checked again."""

import threading
from collections.abc import Callable
from datetime import timedelta

import pytest
from django.db.models import F
from django.utils import timezone

from sync.attempts.call_log import AttemptRecorder
from sync.connectors.client.exchange import OutgoingRequest
from sync.deliveries.expired_leases import release_delivery
from sync.execution.executor import run_due_deliveries
from sync.models import Attempt, Delivery, Recheck
from sync.rechecks.due_rechecks import begin_due_rechecks
from sync.rechecks.recheck_results import record_results
from tests.support.hub import EXAMPLE, Hub
from webhooks.models import Event

pytestmark = pytest.mark.concurrent

ACK = EXAMPLE[:-1] + b',"respond":"ack"}'


class StoppedProcess:
    """Stops this process once, in a function of its recorder, as soon as the function has returned for a request."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, step: str, *, at_write: bool) -> None:
        self.is_stopped, self.continues = threading.Event(), threading.Event()
        function, process = getattr(AttemptRecorder, step), self

        def run_and_stop(recorder: AttemptRecorder, request: OutgoingRequest) -> None:
            function(recorder, request)
            if request.is_write is at_write and not process.is_stopped.is_set():
                process.is_stopped.set()
                process.continues.wait(60)

        monkeypatch.setattr(AttemptRecorder, step, run_and_stop)


def take_over() -> None:
    """Let the lease of the stopped process expire, and deliver again."""
    delivery = Delivery.objects.get(state="running")
    Delivery.objects.filter(pk=delivery.pk).update(lease_until=timezone.now() - timedelta(seconds=60))
    assert release_delivery(Delivery.objects.get(pk=delivery.pk))
    assert run_due_deliveries() == 1


def run_checks_now() -> int:
    """Run all checks that are left, an hour after the first write. Returns how many ran."""
    Recheck.objects.update(began_at=timezone.now() - timedelta(hours=1))
    count = 0
    while Recheck.objects.exclude(due_at=None).update(due_at=F("began_at")):
        count += len(begin_due_rechecks())
        run_due_deliveries()
        record_results()
    return count


def stop_and_take_over(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> Callable[[], str]:
    """Stop a process with old data right before its first byte, and let another send newer data.

    Returns a function that lets the first continue, and returns the e-mail address in the shop afterwards.
    """
    process = StoppedProcess(monkeypatch, "check_before_sending", at_write=True)
    hub.change_email("anna.old@example.com")
    assert hub.post_signed(ACK).status_code == 202
    assert process.is_stopped.wait(60)
    hub.change_email("anna.newest@example.com")
    take_over()

    def let_continue() -> str:
        process.continues.set()
        hub.wait_until_quiet()
        customer = hub.customer()
        assert customer is not None
        return str(customer["email"])

    return let_continue


@pytest.mark.promise("I27")
def test_old_data_that_a_stopped_process_sends_are_repaired(
    hub: Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    let_continue = stop_and_take_over(hub, monkeypatch)
    assert run_checks_now() == 1, "the last delay has passed"
    late = Attempt.objects.order_by("pk")[0]
    assert (late.outcome, late.recheck.confirmed_at is None) == ("unknown", False)

    assert let_continue() == "anna.old@example.com"
    assert run_checks_now() > 0
    customer = hub.customer()
    assert customer is not None
    assert customer["email"] == "anna.newest@example.com"
    late.recheck.refresh_from_db()
    assert late.recheck.repaired_by is not None
    assert Attempt.objects.get(pk=late.pk).outcome == "unknown"


def test_a_process_that_died_with_a_write_on_record_leaves_a_recheck(
    hub: Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    let_continue = stop_and_take_over(hub, monkeypatch)
    recheck = Recheck.objects.get()
    assert (recheck.attempt.outcome, recheck.attempt.number) == ("unknown", 1)
    assert recheck.due_at is not None
    assert 55 < (recheck.due_at - recheck.began_at).total_seconds() < 65
    let_continue()


def test_a_process_that_was_stopped_before_it_recorded_a_write_leaves_none(
    hub: Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    process = StoppedProcess(monkeypatch, "record_request", at_write=False)
    hub.change_email("anna.old@example.com")
    assert hub.post_signed(ACK).status_code == 202
    assert process.is_stopped.wait(60)
    take_over()
    process.continues.set()
    hub.wait_until_quiet()
    assert not Recheck.objects.exists()
    assert Event.objects.get().state == "succeeded"
