"""Promise I27: the last write is the newest, even when an older one arrives late; no other webhook is needed.

The shop holds a write and applies it when the hub has given up and written newer data. One minute is one second here.
"""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import transaction
from django.db.models import F
from django.utils import timezone

from audit.models import Entry
from logins.held_permissions import ERASE
from sync.attempts.event_outcome import load_event_outcome
from sync.attempts.mass_change_guard import MIN_KNOWN_RECORDS
from sync.deliveries.event_state import refresh_event_states
from sync.erasure.erase import run_erasure
from sync.erasure.requests import decide_erasure, find_subject, request_erasure
from sync.execution.executor import run_due_deliveries
from sync.models import Attempt, Breaker, Connection, Delivery, Link, Recheck, Route
from sync.operations.held_deliveries import HeldDecision, decide_held
from sync.rechecks.due_rechecks import begin_due_rechecks, run_rechecks
from sync.rechecks.recheck_results import record_results
from tests.support.builders.bulk_replays import staff_user
from tests.support.circuit_breakers import run_at_once
from tests.support.hub import ANNA, EXAMPLE, Hub
from tests.support.people import hold_permissions_for_days
from webhooks.catalogue.reference import new_uuid
from webhooks.models import Event, State

ACK = EXAMPLE[:-1] + b',"respond":"ack"}'
DEADLINE_SECONDS = 0.5
OLD, NEWEST = "anna.old@example.com", "anna.newest@example.com"


@pytest.fixture(autouse=True)
def _scale(hub: Hub, settings: Any) -> None:
    """Scale the times of the hub down, and let the shop know Anna."""
    settings.RECHECK_SECONDS = (1.0, 5.0, 30.0)
    assert hub.post_signed(EXAMPLE).status_code == 200
    hub.wait_until_quiet()


@contextmanager
def impatient_hub() -> Iterator[None]:
    """Let the hub wait for the shop for half a second only. Otherwise a busy machine would fail attempts that must
    succeed.
    """
    target = Connection.objects.filter(side="target")
    target.update(deadline_seconds=DEADLINE_SECONDS)
    yield
    target.update(deadline_seconds=10)


def send_and_time_out(hub: Hub) -> Attempt:
    """Send a change whose write the shop holds until its faults are cleared. Returns its attempt, which has timed out."""
    hub.change_email(OLD)
    hub.shop.faults.add("slow", seconds=60, methods=["PATCH"], times=1)
    with impatient_hub():
        assert hub.post_signed(ACK).status_code == 202
        hub.wait_until_quiet()
    attempt = Attempt.objects.order_by("-pk")[0]
    assert (attempt.outcome, attempt.code) == ("failed", "target-timeout")
    return attempt


def send_newest(hub: Hub) -> Event:
    """Send newer data, which the shop applies at once."""
    hub.change_email(NEWEST)
    assert hub.post_signed(EXAMPLE).json()["status"] == "succeeded"
    hub.wait_until_quiet()
    return Event.objects.order_by("-pk")[0]


def run_until(holds: Callable[[], bool], seconds: float = 12.0) -> bool:
    """Do a worker's work until a condition holds. Returns False if it did not within so many seconds."""
    until = time.monotonic() + seconds
    while not holds():
        if time.monotonic() > until:
            return False
        run_rechecks()
        run_due_deliveries()
        time.sleep(0.05)
    return True


def run_check_now() -> None:
    """Run the next check without waiting for its delay, and record its result."""
    assert Recheck.objects.exclude(due_at=None).update(due_at=F("began_at")), "no check is due later"
    assert len(begin_due_rechecks()) == 1
    assert run_due_deliveries() == 1
    record_results()


def email(hub: Hub) -> str:
    customer = hub.customer()
    assert customer is not None
    return str(customer["email"])


def actions(attempt: Attempt) -> list[str]:
    entries = Entry.objects.filter(action__in=["attempt.confirmed", "attempt.repaired"])
    about = f'"attempt":"{attempt.key}"'
    return [entry.action for entry in entries.order_by("pk") if about in entry.body]


@pytest.mark.slow
@pytest.mark.parametrize(
    "seconds", [1.0, *(pytest.param(one, marks=pytest.mark.one_database) for one in (1.5, 5.0))]
)
def test_data_that_arrive_late_are_repaired(hub: Hub, seconds: float) -> None:
    began = time.monotonic()
    late = send_and_time_out(hub)
    newest = send_newest(hub)
    time.sleep(max(0.0, began + seconds - time.monotonic()))
    hub.shop.faults.clear()
    hub.wait_until_shop_is_idle()
    assert email(hub) == OLD, "the old data arrived last"
    assert run_until(lambda: Recheck.objects.exclude(repaired_by=None).exists())
    assert email(hub) == NEWEST
    repair = Recheck.objects.get(attempt=late).repaired_by
    assert repair is not None
    assert (repair.cause, repair.outcome, repair.delivery.event) == ("recheck", "succeeded", newest)
    assert actions(late)[-1] == "attempt.repaired"
    assert set(Event.objects.values_list("state", flat=True)) <= {State.SUCCEEDED, State.UNCHANGED}


BROKEN_VARIANTS = {
    "no re-check is written": ("sync.models.Delivery.gets_rechecks", False),
    "no re-check is begun": ("sync.rechecks.due_rechecks.begin_due_rechecks", list),
}


@pytest.mark.parametrize("variant", BROKEN_VARIANTS)
def test_a_hub_without_rechecks_keeps_the_old_data(
    hub: Hub, monkeypatch: pytest.MonkeyPatch, variant: str
) -> None:
    monkeypatch.setattr(*BROKEN_VARIANTS[variant])
    send_and_time_out(hub)
    send_newest(hub)
    hub.shop.faults.clear()
    hub.wait_until_shop_is_idle()
    Recheck.objects.update(due_at=F("began_at"))
    run_rechecks()
    hub.wait_until_quiet()
    assert email(hub) == OLD


def test_the_last_of_several_checks_repairs_what_came_after_the_first(hub: Hub) -> None:
    late = send_and_time_out(hub)
    newest = send_newest(hub)
    before = Delivery.objects.get(event=newest)
    run_check_now()
    recheck = Recheck.objects.get(attempt=late)
    assert recheck.confirmed_at is not None
    assert actions(late) == ["attempt.confirmed"]
    assert recheck.due_at is not None, "the others follow"
    checked = Delivery.objects.get(event=newest)
    assert (checked.state, checked.code, checked.state_before_recheck) == (State.SUCCEEDED, "succeeded", "")
    assert checked.last_number == before.last_number + 1
    hub.shop.faults.clear()
    hub.wait_until_shop_is_idle()
    assert email(hub) == OLD
    run_check_now()
    assert email(hub) == NEWEST
    recheck.refresh_from_db()
    assert (recheck.confirmed_at, recheck.repaired_by is None) == (None, False)
    assert actions(late) == ["attempt.confirmed", "attempt.repaired"]


@pytest.mark.slow
def test_the_checks_end_after_the_last_delay(hub: Hub, settings: Any) -> None:
    settings.RECHECK_SECONDS = (0.1, 0.2, 0.4)
    late = send_and_time_out(hub)
    send_newest(hub)
    threading.Timer(0.5, hub.shop.faults.clear).start()
    assert run_until(lambda: not Recheck.objects.filter(delivery=None, due_at__isnull=False).exists())
    assert run_until(lambda: Recheck.objects.get().delivery is None and Recheck.objects.get().due_at is None)
    checks = Attempt.objects.filter(cause="recheck").count()
    assert 1 <= checks <= 3
    assert not run_until(lambda: Attempt.objects.filter(cause="recheck").count() > checks, 0.5)
    ended = Recheck.objects.get(attempt=late)
    # On a slow machine the last check comes after the late write, and repairs.
    assert (ended.confirmed_at is not None) != (ended.repaired_by is not None)


def test_an_ordinary_attempt_gets_no_recheck(hub: Hub) -> None:
    send_newest(hub)
    hub.change_email("taken@example.com")
    assert hub.post_signed(EXAMPLE).status_code == 422
    hub.shop.faults.add("error", status=503, methods=["GET"], times=1)
    hub.post_signed(ACK)
    hub.wait_until_quiet()
    assert not Recheck.objects.exists()


def test_the_event_of_a_check_keeps_its_state_until_the_check_has_ended(hub: Hub) -> None:
    send_and_time_out(hub)
    newest = send_newest(hub)
    Recheck.objects.update(due_at=F("began_at"))
    assert len(begin_due_rechecks()) == 1
    assert Delivery.objects.get(event=newest).state == State.PENDING
    with transaction.atomic():
        refresh_event_states([newest.pk])
    assert Event.objects.get(pk=newest.pk).state == State.SUCCEEDED
    outcome = load_event_outcome(newest)
    assert (outcome.state, outcome.code, outcome.results[0].action) == ("succeeded", "succeeded", "updated")
    assert run_due_deliveries() == 1
    assert Event.objects.get(pk=newest.pk).state == State.SUCCEEDED


def test_a_check_that_fails_is_retried_like_any_delivery_and_shown(hub: Hub) -> None:
    late = send_and_time_out(hub)
    newest = send_newest(hub)
    hub.shop.faults.add("error", status=503, methods=["GET"], times=1)
    run_check_now()
    assert Event.objects.get(pk=newest.pk).state == State.RETRYING
    Delivery.objects.filter(event=newest).update(due_at=F("opened_at"))
    assert run_due_deliveries() == 1
    record_results()
    assert Event.objects.get(pk=newest.pk).state == State.UNCHANGED
    assert Recheck.objects.get(attempt=late).confirmed_at is not None


def test_a_repair_beyond_the_limits_of_the_route_is_held(hub: Hub) -> None:
    late = send_and_time_out(hub)
    newest = send_newest(hub)
    hub.shop.faults.clear()
    hub.wait_until_shop_is_idle()
    assert email(hub) == OLD
    first = Link.objects.get(entity_id=ANNA)
    Link.objects.bulk_create(
        Link(
            identity=first.identity,
            target=first.target,
            entity_type="USER",
            entity_id=f"KNOWN{number}",
            record_id=f"known-{number}",
            applied_at=first.applied_at,
        )
        for number in range(MIN_KNOWN_RECORDS)
    )
    Route.objects.update(max_changed_percent=0.1)  # of so few records none may change
    run_check_now()
    held = Delivery.objects.get(event=newest)
    assert (held.state, held.event.state, email(hub)) == (State.HELD, State.HELD, OLD)
    decide_held([held.pk], HeldDecision.APPROVE, by=staff_user(), reason="It was late.", key=new_uuid())
    run_due_deliveries()
    hub.wait_until_quiet()
    held.refresh_from_db()
    assert (held.state, email(hub)) == (State.SUCCEEDED, NEWEST)
    record_results()
    assert Recheck.objects.get(attempt=late).due_at is not None, "the later checks follow"


def test_no_check_begins_while_a_delivery_of_the_subject_is_open(hub: Hub) -> None:
    send_and_time_out(hub)
    Recheck.objects.update(due_at=F("began_at"))
    assert Delivery.objects.order_by("-pk")[0].state == State.RETRYING
    assert len(begin_due_rechecks()) == 0
    send_newest(hub)
    assert len(begin_due_rechecks()) == 1
    assert run_due_deliveries() == 1


def test_no_check_begins_while_its_route_is_paused_or_its_breaker_open(hub: Hub) -> None:
    send_and_time_out(hub)
    send_newest(hub)
    Recheck.objects.update(due_at=F("began_at"))
    Route.objects.update(paused_at=timezone.now())
    assert len(begin_due_rechecks()) == 0
    Route.objects.update(paused_at=None)
    Connection.objects.filter(side="identity").update(is_enabled=False)
    assert len(begin_due_rechecks()) == 0
    Connection.objects.update(is_enabled=True)
    Breaker.objects.update(open_until=timezone.now() + timedelta(minutes=1))
    assert len(begin_due_rechecks()) == 0


def test_several_workers_begin_a_check_and_record_its_result_once(hub: Hub) -> None:
    late = send_and_time_out(hub)
    send_newest(hub)
    Recheck.objects.update(due_at=F("began_at"))
    assert sum(map(len, run_at_once(*[begin_due_rechecks] * 4))) == 1
    assert run_due_deliveries() == 1
    assert sum(run_at_once(*[record_results] * 4)) == 1
    assert actions(late) == ["attempt.confirmed"]


@pytest.mark.slow
def test_one_check_serves_all_late_attempts_of_a_subject(hub: Hub) -> None:
    first = send_and_time_out(hub)
    Delivery.objects.filter(state=State.RETRYING).update(due_at=F("opened_at"))
    hub.shop.faults.add("slow", seconds=60, methods=["PATCH"], times=1)
    with impatient_hub():
        assert run_due_deliveries() == 1
    send_newest(hub)
    Recheck.objects.update(due_at=F("began_at"))
    assert len(begin_due_rechecks()) == 1
    assert run_due_deliveries() == 1
    record_results()
    assert Recheck.objects.exclude(confirmed_at=None).count() == 2
    assert actions(first) == ["attempt.confirmed"]


def test_a_record_created_late_is_found_and_linked(hub: Hub) -> None:
    hub.identity.directory.create_record(
        "users", {"id": "PERSON9", "username": "p9", "emails": [{"address": OLD, "verified": True}]}
    )
    hub.shop.faults.add("slow", seconds=60, methods=["POST"], times=1)
    body = ACK.replace(ANNA.encode(), b"PERSON9").replace(b"UPDATE", b"CREATE")
    with impatient_hub():
        assert hub.post_signed(body).status_code == 202
        hub.wait_until_quiet()
    Delivery.objects.filter(state=State.RETRYING).update(state=State.DEAD, due_at=None)
    hub.shop.faults.clear()
    hub.wait_until_shop_is_idle()
    run_check_now()
    created = hub.customer("PERSON9")
    assert created is not None
    attempt = Attempt.objects.order_by("-pk")[0]
    assert (attempt.cause, attempt.outcome, attempt.record_id) == ("recheck", "unchanged", str(created["id"]))
    assert Event.objects.order_by("-pk")[0].state == State.UNCHANGED, "it had failed for good"


@pytest.mark.slow
def test_a_delivery_that_failed_for_good_is_not_written_to_for_ever(hub: Hub) -> None:
    send_and_time_out(hub)
    Delivery.objects.filter(state=State.RETRYING).update(state=State.DEAD, due_at=None, attempts_used=8)
    hub.shop.faults.add("slow", seconds=60, methods=["PATCH"], times=1)
    with impatient_hub():
        run_check_now()
    assert Attempt.objects.order_by("-pk")[0].code == "target-timeout"
    delivery = Delivery.objects.order_by("-pk")[0]
    assert (delivery.state, delivery.attempts_used) == (State.DEAD, 8), (
        "no automatic attempt of the route was used"
    )
    assert Recheck.objects.count() == 1


def test_a_closed_delivery_is_not_checked(hub: Hub) -> None:
    send_and_time_out(hub)
    Delivery.objects.filter(state=State.RETRYING).update(state=State.CLOSED, due_at=None)
    Recheck.objects.update(due_at=F("began_at"))
    assert len(begin_due_rechecks()) == 0
    assert Recheck.objects.get().due_at is None


def test_relayed_data_are_compared_with_the_newest_that_were_applied(hub: Hub) -> None:
    Route.objects.filter(entity_type="USER").update(relays=True)
    relayed = {"id": ANNA, "entityType": "USER", "eventType": "UPDATE"}
    emails = [{"address": OLD, "verified": True}]
    hub.shop.faults.add("slow", seconds=60, methods=["PATCH"], times=1)
    with impatient_hub():
        hub.post_signed(relayed | {"data": {"id": ANNA, "emails": emails}, "respond": {"mode": "ack"}})
        hub.wait_until_quiet()
    late = Attempt.objects.order_by("-pk")[0]
    Delivery.objects.filter(state=State.RETRYING).update(state=State.DEAD, due_at=None)
    hub.post_signed(relayed | {"data": {"id": ANNA, "emails": [{"address": NEWEST, "verified": True}]}})
    hub.wait_until_quiet()
    hub.shop.faults.clear()
    hub.wait_until_shop_is_idle()
    assert email(hub) == OLD
    run_check_now()
    assert email(hub) == NEWEST
    repair = Recheck.objects.get(attempt=late).repaired_by
    assert repair is not None
    assert repair.delivery.event == Event.objects.order_by("-pk")[0]


def test_nothing_is_checked_after_an_erasure(hub: Hub) -> None:
    late = send_and_time_out(hub)
    send_newest(hub)
    asker, other = (User.objects.create_user(name) for name in ("asker", "other"))
    hold_permissions_for_days(other, ERASE)
    subject = find_subject("USER", ANNA)
    assert subject is not None
    erasure = request_erasure(subject, ground="consent-withdrawn", reason="a letter", by=asker)
    decide_erasure(erasure, confirms=True, by=other)
    assert len(begin_due_rechecks()) == 0
    assert run_erasure(erasure)
    assert not Recheck.objects.exists()
    Recheck.objects.create(attempt=late, began_at=late.started_at, due_at=late.started_at)
    assert len(begin_due_rechecks()) == 0, "a process that was stopped wrote it after the erasure"
    assert Recheck.objects.get().due_at is None
