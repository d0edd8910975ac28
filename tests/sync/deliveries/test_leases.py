"""Promises I9, I27: a process that lost its lease sends nothing more and settles nothing; what it sent is checked."""

import threading
import time
from datetime import timedelta
from typing import Any

import psycopg
import pytest
from django.db.models import F
from django.utils import timezone

from connectors.exchange import OutgoingRequest
from exports.row_checks.nightly_rows import find_row_faults
from sync.attempts import delivery_run
from sync.attempts.call_log import AttemptRecorder, ClaimLost
from sync.deliveries.claims import Claim, claim_delivery
from sync.deliveries.due_deliveries import find_due_ids, find_isolated_ids
from sync.deliveries.expired_leases import release_delivery, release_expired_leases
from sync.execution.executor import run_due_deliveries
from sync.models import Attempt, Call, Connection, Delivery, MappingVersion, Recheck
from sync.rechecks.due_rechecks import begin_due_rechecks
from sync.rechecks.recheck_results import record_results
from tests.support.builders.history import a_delivery, a_route, a_source, an_event
from tests.support.database.expired_leases import expired_deliveries
from tests.support.hub import EXAMPLE, Hub
from tests.support.processes.hub_processes import expire_lease
from tests.support.processes.workers import own_database
from tests.support.threads import wait_until
from webhooks.models import Event, State

pytestmark = pytest.mark.concurrent

ACK = EXAMPLE[:-1] + b',"respond":"ack"}'


def expire_and_redeliver() -> None:
    """Let the lease of the running delivery expire while its process is blocked, and deliver it again."""
    delivery = Delivery.objects.get(state="running")
    Delivery.objects.filter(pk=delivery.pk).update(lease_until=timezone.now() - timedelta(seconds=60))
    assert release_delivery(Delivery.objects.get())
    assert run_due_deliveries() == 1


@pytest.mark.promise("I3", "I9")
@pytest.mark.parametrize("held_up_at", ["GET", "PATCH"])
def test_a_process_that_lost_its_lease_sends_and_settles_nothing_more(hub: Hub, held_up_at: str) -> None:
    address = hub.change_email("anna.lease@example.com")
    Connection.objects.update(deadline_seconds=30)
    hub.shop.faults.add("slow", seconds=60, methods=[held_up_at], applied=True, times=1)
    assert hub.post_signed(ACK).status_code == 202
    wait_until(lambda: any(request["method"] == held_up_at for request in hub.shop.read_journal()))
    if held_up_at == "PATCH":
        wait_until(lambda: hub.customer()["email"] == address)
    expire_and_redeliver()
    settled = Delivery.objects.values().get()
    hub.shop.faults.clear()
    hub.wait_until_shop_is_idle()
    hub.wait_until_quiet()  # the first process continues with its response

    assert Delivery.objects.values().get() == settled
    outcomes = list(Attempt.objects.order_by("pk").values_list("outcome", flat=True))
    # Nothing was sent before the read ended, so nothing is unknown, and no attempt of the route is used.
    expected = {"GET": ["interrupted", "succeeded"], "PATCH": ["unknown", "unchanged"]}
    assert outcomes == expected[held_up_at]
    assert settled["attempts_used"] == (1 if held_up_at == "GET" else 2)
    assert list(find_row_faults()) == []
    [write] = hub.writes()
    assert Call.objects.get(key=write["key"]).attempt.number == (2 if held_up_at == "GET" else 1)
    assert hub.customer()["email"] == address
    assert Event.objects.get().state in (State.SUCCEEDED, State.UNCHANGED)


class StoppedProcess:
    """Stops this process once, in a function of its recorder, as soon as the function has returned for a request.

    `record_request` has committed the row of the request, `check_before_sending` is the last step before its bytes.
    """

    def __init__(self, monkeypatch: pytest.MonkeyPatch, step: str, *, at_write: bool = True) -> None:
        self.is_stopped, self.continues = threading.Event(), threading.Event()
        function, process = getattr(AttemptRecorder, step), self

        def run_and_stop(recorder: AttemptRecorder, request: OutgoingRequest) -> None:
            function(recorder, request)
            if request.is_write is at_write and not process.is_stopped.is_set():
                process.is_stopped.set()
                process.continues.wait(60)

        monkeypatch.setattr(AttemptRecorder, step, run_and_stop)

    def send(self, hub: Hub) -> None:
        """Post a change, and return when its process has stopped."""
        hub.change_email("anna.old@example.com")
        assert hub.post_signed(ACK).status_code == 202
        assert self.is_stopped.wait(60)


@pytest.mark.promise("I9", "I27")
def test_a_write_that_is_on_record_is_not_sent_if_the_lease_ended_meanwhile(
    hub: Hub, monkeypatch: pytest.MonkeyPatch, settings: Any
) -> None:
    process = StoppedProcess(monkeypatch, "record_request")
    process.send(hub)
    newest = hub.change_email("anna.newest@example.com")
    later = settings.LEASE_SECONDS + 1
    monkeypatch.setattr("sync.deliveries.claims.monotonic", lambda: time.monotonic() + later)
    expire_and_redeliver()
    process.continues.set()
    hub.wait_until_quiet()
    assert len(hub.writes()) == 1
    assert hub.customer()["email"] == newest


def run_checks_now() -> int:
    """Run all checks that are left, an hour after the first write. Returns how many ran."""
    Recheck.objects.update(began_at=timezone.now() - timedelta(hours=1))
    count = 0
    while Recheck.objects.exclude(due_at=None).update(due_at=F("began_at")):
        count += len(begin_due_rechecks())
        run_due_deliveries()
        record_results()
    return count


@pytest.mark.promise("I3", "I27")
def test_old_data_that_a_stopped_process_sends_are_repaired(
    hub: Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is stopped right before its first byte, and another one sends newer data meanwhile."""
    process = StoppedProcess(monkeypatch, "check_before_sending")
    process.send(hub)
    newest = hub.change_email("anna.newest@example.com")
    expire_and_redeliver()
    recheck = Recheck.objects.get()
    assert (recheck.attempt.outcome, recheck.attempt.number) == ("unknown", 1)
    assert recheck.due_at is not None
    assert 55 < (recheck.due_at - recheck.began_at).total_seconds() < 65
    assert run_checks_now() == 1, "the last delay has passed"
    recheck.refresh_from_db()
    assert recheck.confirmed_at is not None

    process.continues.set()
    hub.wait_until_quiet()
    assert hub.customer()["email"] == "anna.old@example.com"
    assert run_checks_now() > 0
    assert hub.customer()["email"] == newest
    recheck.refresh_from_db()
    assert recheck.repaired_by is not None
    assert Attempt.objects.get(pk=recheck.attempt_id).outcome == "unknown"


@pytest.mark.promise("I27")
def test_a_write_is_checked_again_if_the_request_after_it_finds_the_lease_lost(
    hub: Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Holds that the checks begin anew: those of the process that took over may have ended before the write arrived."""
    apply = delivery_run.plan_and_apply

    def apply_and_lose_lease(*arguments: Any) -> Any:
        monkeypatch.setattr(delivery_run, "plan_and_apply", apply)
        apply(*arguments)
        expire_and_redeliver()
        assert run_checks_now() == 1
        assert Recheck.objects.get().confirmed_at is not None
        raise ClaimLost

    monkeypatch.setattr(delivery_run, "plan_and_apply", apply_and_lose_lease)
    hub.change_email("anna.lease@example.com")
    assert hub.post_signed(ACK).status_code == 202
    hub.wait_until_quiet()
    recheck = Recheck.objects.get()
    assert (recheck.confirmed_at, recheck.due_at is None) == (None, False)
    assert [str(attempt.outcome) for attempt in Attempt.objects.order_by("pk")[:2]] == [
        "unknown",
        "unchanged",
    ]


@pytest.mark.submission
def test_a_process_that_was_stopped_before_it_recorded_a_write_leaves_no_recheck(
    hub: Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    process = StoppedProcess(monkeypatch, "record_request", at_write=False)
    process.send(hub)
    expire_and_redeliver()
    process.continues.set()
    hub.wait_until_quiet()
    assert not Recheck.objects.exists()
    assert Event.objects.get().state == "succeeded"


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


@pytest.mark.promise("T13")
def test_a_delivery_whose_process_died_runs_alone_in_workers_and_the_third_death_ends_it(
    database: None,
) -> None:
    [key, other] = expired_deliveries(2)
    Delivery.objects.filter(pk=key).update(deaths=1)
    assert release_expired_leases(10) == 2
    assert set(find_isolated_ids(10)) == {key, other}
    assert find_due_ids(10) == [], "after the first death no worker runs it beside others"
    assert claim_delivery(key) is None
    assert claim_delivery(other), "after the first death a waiting request may"
    assert claim_delivery(key, in_own_process=True)
    expire_lease(key)
    settled = Delivery.objects.get(pk=key)
    assert (settled.state, settled.code, settled.due_at) == (State.DEAD, "crashes-hub", None)
    assert Delivery.objects.get(pk=other).state == State.RUNNING


def test_the_death_of_a_process_of_its_own_may_have_another_cause_once(database: None) -> None:
    """A machine that stops ends all processes: one that ran only this delivery too."""
    [key] = expired_deliveries(1)
    assert release_expired_leases(10) == 1
    for deaths, state in ((2, State.RETRYING), (3, State.DEAD)):
        assert claim_delivery(key, in_own_process=True)
        expire_lease(key)
        assert Delivery.objects.filter(pk=key, deaths=deaths, state=state).exists()


def test_another_webhook_of_the_same_entity_waits_for_the_suspect(database: None) -> None:
    [key] = expired_deliveries(1)
    assert release_expired_leases(10) == 1
    suspect = Delivery.objects.select_related("event__source", "route").get(pk=key)
    event = an_event(99, source=suspect.event.source, state=State.PENDING, entity_id=suspect.entity_id)
    newer = a_delivery(event, suspect.route, state=State.PENDING, due_at=timezone.now())
    assert find_due_ids(10) == []
    Delivery.objects.filter(pk=key).update(deaths=0)
    assert len(find_due_ids(10)) == 1
    assert newer.pk


def test_all_deliveries_with_expired_leases_are_released_at_once(database: None) -> None:
    keys = expired_deliveries(3)
    assert release_expired_leases(10) == 3
    assert set(Delivery.objects.filter(pk__in=keys).values_list("state", "deaths")) == {(State.RETRYING, 1)}
    assert release_expired_leases(10) == 0


@pytest.mark.writers_at_once
def test_a_delivery_locked_by_a_frozen_process_delays_no_other(database: None) -> None:
    locked, *others = expired_deliveries(3)
    with psycopg.connect(own_database()) as frozen:
        frozen.execute("SELECT 1 FROM sync_delivery WHERE id = %s FOR UPDATE", [locked])
        assert release_expired_leases(10) == 2
    assert set(Delivery.objects.filter(pk__in=others).values_list("state", flat=True)) == {State.RETRYING}
    assert release_expired_leases(10) == 1
