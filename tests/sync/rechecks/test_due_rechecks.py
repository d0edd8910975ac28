"""Promise I27: the last write is the newest, even when an older one arrives late; no other webhook is needed.

The shop answers a write with nothing, and applies it when the hub has written newer data.
"""

from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import transaction
from django.db.models import F
from django.utils import timezone

from audit.models import Entry
from exports.row_checks.nightly_rows import find_row_faults
from logins.held_permissions import ERASE
from sync.attempts.event_outcome import load_event_outcome
from sync.deliveries.event_state import refresh_event_states
from sync.erasure.erase import run_erasure
from sync.erasure.requests import decide_erasure, find_subject, request_erasure
from sync.execution.executor import run_due_deliveries
from sync.models import Attempt, Breaker, Connection, Delivery, Recheck, Route
from sync.rechecks.due_rechecks import begin_due_rechecks
from sync.rechecks.recheck_results import record_results
from sync.rechecks.reopened_deliveries import make_due
from tests.support.builders.observing_routes import go_live, observe
from tests.support.circuit_breakers import run_at_once
from tests.support.hub import ANNA, EXAMPLE, Hub
from tests.support.people import hold_permissions_for_days
from webhooks.models import Event, State

pytestmark = pytest.mark.concurrent

ACK = EXAMPLE[:-1] + b',"respond":"ack"}'


OLD, NEWEST = "anna.old@example.com", "anna.newest@example.com"


@pytest.fixture(autouse=True)
def _known_person(hub: Hub) -> None:
    """Let the shop know Anna."""
    assert hub.post_signed(EXAMPLE).status_code == 200
    hub.wait_until_quiet()


def send_without_answer(hub: Hub) -> Attempt:
    """Send a change to which the shop does not answer. Returns its attempt, which has failed."""
    hub.change_email(OLD)
    hub.shop.faults.add("drop", methods=["PATCH"], times=1)
    assert hub.post_signed(ACK).status_code == 202
    hub.wait_until_quiet()
    attempt = Attempt.objects.order_by("-pk")[0]
    assert (attempt.outcome, attempt.code) == ("failed", "target-unavailable")
    return attempt


def let_old_data_arrive(hub: Hub) -> None:
    """Let the shop apply what it was sent first."""
    customer = hub.customer()
    assert customer is not None
    hub.shop.catalogue.update_record("customers", str(customer["id"]), {"email": OLD}, replaces=False)


def send_newest(hub: Hub) -> Event:
    """Send newer data, which the shop applies at once."""
    hub.change_email(NEWEST)
    assert hub.post_signed(EXAMPLE).json()["status"] == "succeeded"
    hub.wait_until_quiet()
    return Event.objects.order_by("-pk")[0]


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


@pytest.mark.promise("I30")
def test_while_the_route_observes_no_check_begins_and_one_that_had_begun_changes_nothing(hub: Hub) -> None:
    """Holds that the delivery of a late write keeps its success, and that the checks go on once the route is live."""
    late = send_without_answer(hub)
    send_newest(hub)
    let_old_data_arrive(hub)
    Recheck.objects.update(due_at=F("began_at"))
    observe()
    assert begin_due_rechecks() == []
    go_live()
    [checked] = begin_due_rechecks()
    observe()
    assert run_due_deliveries() == 1
    record_results()
    assert Delivery.objects.values_list("state", "code").get(pk=checked) == ("succeeded", "succeeded")
    assert Event.objects.latest("pk").state == State.SUCCEEDED
    assert (email(hub), actions(late)) == (OLD, [])
    assert list(find_row_faults()) == []
    go_live()
    run_check_now()
    assert (email(hub), actions(late)) == (NEWEST, ["attempt.repaired"])


@pytest.mark.promise("I27", "I2")
def test_the_last_of_several_checks_repairs_what_came_after_the_first(hub: Hub) -> None:
    late = send_without_answer(hub)
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
    let_old_data_arrive(hub)
    run_check_now()
    assert email(hub) == NEWEST
    recheck.refresh_from_db()
    assert (recheck.confirmed_at, recheck.repaired_by is None) == (None, False)
    assert actions(late) == ["attempt.confirmed", "attempt.repaired"]


@pytest.mark.submission
def test_each_check_is_due_after_its_delay_and_none_follows_the_last(hub: Hub, settings: Any) -> None:
    settings.RECHECK_SECONDS = (60.0, 300.0, 1800.0)
    late = send_without_answer(hub)
    send_newest(hub)
    for delay in settings.RECHECK_SECONDS:
        recheck = Recheck.objects.get(attempt=late)
        assert recheck.due_at is not None
        assert round((recheck.due_at - recheck.began_at).total_seconds()) == delay
        passed = recheck.due_at - timezone.now() + timedelta(seconds=1)
        Recheck.objects.update(began_at=recheck.began_at - passed, due_at=recheck.due_at - passed)
        assert len(begin_due_rechecks()) == run_due_deliveries() == record_results() == 1
    assert Recheck.objects.get(attempt=late).due_at is None
    assert Attempt.objects.filter(cause="recheck").count() == 3


@pytest.mark.nightly  # the hub gives up waiting for the shop after half a second
def test_a_write_that_the_shop_held_past_the_deadline_is_repaired(hub: Hub) -> None:
    target = Connection.objects.filter(side="target")
    hub.change_email(OLD)
    hub.shop.faults.add("slow", seconds=60, methods=["PATCH"], times=1)
    target.update(deadline_seconds=0.5)
    assert hub.post_signed(ACK).status_code == 202
    hub.wait_until_quiet()
    target.update(deadline_seconds=10)
    assert Attempt.objects.order_by("-pk")[0].code == "target-timeout"
    send_newest(hub)
    hub.shop.faults.clear()
    hub.wait_until_shop_is_idle()
    assert email(hub) == OLD, "the old data arrived last"
    run_check_now()
    assert email(hub) == NEWEST


@pytest.mark.submission
def test_an_ordinary_attempt_gets_no_recheck(hub: Hub) -> None:
    send_newest(hub)
    hub.change_email("taken@example.com")
    assert hub.post_signed(EXAMPLE).status_code == 422
    hub.shop.faults.add("error", status=503, methods=["GET"], times=1)
    hub.post_signed(ACK)
    hub.wait_until_quiet()
    assert not Recheck.objects.exists()


@pytest.mark.submission
def test_the_event_of_a_check_keeps_its_state_until_the_check_has_ended(hub: Hub) -> None:
    send_without_answer(hub)
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


@pytest.mark.submission
def test_a_check_that_fails_is_retried_like_any_delivery_and_shown(hub: Hub) -> None:
    late = send_without_answer(hub)
    newest = send_newest(hub)
    hub.shop.faults.add("error", status=503, methods=["GET"], times=1)
    run_check_now()
    assert Event.objects.get(pk=newest.pk).state == State.RETRYING
    Delivery.objects.filter(event=newest).update(due_at=F("opened_at"))
    assert run_due_deliveries() == 1
    record_results()
    assert Event.objects.get(pk=newest.pk).state == State.UNCHANGED
    assert Recheck.objects.get(attempt=late).confirmed_at is not None


@pytest.mark.submission
def test_no_check_begins_while_a_delivery_of_the_subject_is_open(hub: Hub) -> None:
    send_without_answer(hub)
    Recheck.objects.update(due_at=F("began_at"))
    assert Delivery.objects.order_by("-pk")[0].state == State.RETRYING
    assert len(begin_due_rechecks()) == 0
    send_newest(hub)
    assert len(begin_due_rechecks()) == 1
    assert run_due_deliveries() == 1


@pytest.mark.submission
def test_no_check_begins_while_its_route_is_paused_or_its_breaker_open(hub: Hub) -> None:
    send_without_answer(hub)
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
    late = send_without_answer(hub)
    send_newest(hub)
    Recheck.objects.update(due_at=F("began_at"))
    assert sum(map(len, run_at_once(*[begin_due_rechecks] * 4))) == 1
    assert run_due_deliveries() == 1
    assert sum(run_at_once(*[record_results] * 4)) == 1
    assert actions(late) == ["attempt.confirmed"]


@pytest.mark.submission
def test_one_check_serves_all_late_attempts_of_a_subject(hub: Hub) -> None:
    first = send_without_answer(hub)
    Delivery.objects.filter(state=State.RETRYING).update(due_at=F("opened_at"))
    hub.shop.faults.add("drop", methods=["PATCH"], times=1)
    assert run_due_deliveries() == 1
    send_newest(hub)
    Recheck.objects.update(due_at=F("began_at"))
    assert len(begin_due_rechecks()) == 1
    assert run_due_deliveries() == 1
    record_results()
    assert Recheck.objects.exclude(confirmed_at=None).count() == 2
    assert actions(first) == ["attempt.confirmed"]


@pytest.mark.submission
def test_a_record_created_late_is_found_and_linked(hub: Hub) -> None:
    hub.identity.directory.create_record(
        "users", {"id": "PERSON9", "username": "p9", "emails": [{"address": OLD, "verified": True}]}
    )
    hub.shop.faults.add("drop", methods=["POST"], times=1)
    body = ACK.replace(ANNA.encode(), b"PERSON9").replace(b"UPDATE", b"CREATE")
    assert hub.post_signed(body).status_code == 202
    hub.wait_until_quiet()
    Delivery.objects.filter(state=State.RETRYING).update(state=State.DEAD, due_at=None)
    hub.shop.catalogue.create_record("customers", {"email": OLD, "external_id": "PERSON9"})
    run_check_now()
    created = hub.customer("PERSON9")
    assert created is not None
    attempt = Attempt.objects.order_by("-pk")[0]
    assert (attempt.cause, attempt.outcome, attempt.record_id) == ("recheck", "unchanged", str(created["id"]))
    assert Event.objects.order_by("-pk")[0].state == State.UNCHANGED, "it had failed for good"


@pytest.mark.submission
def test_a_delivery_that_failed_for_good_is_not_written_to_for_ever(hub: Hub) -> None:
    send_without_answer(hub)
    Delivery.objects.filter(state=State.RETRYING).update(state=State.DEAD, due_at=None, attempts_used=8)
    hub.shop.faults.add("drop", methods=["PATCH"], times=1)
    run_check_now()
    assert Attempt.objects.order_by("-pk")[0].code == "target-unavailable"
    delivery = Delivery.objects.order_by("-pk")[0]
    assert (delivery.state, delivery.attempts_used) == (State.DEAD, 8), (
        "no automatic attempt of the route was used"
    )
    assert Recheck.objects.count() == 1


def test_a_closed_delivery_is_not_checked(hub: Hub) -> None:
    send_without_answer(hub)
    Delivery.objects.filter(state=State.RETRYING).update(state=State.CLOSED, due_at=None)
    Recheck.objects.update(due_at=F("began_at"))
    assert len(begin_due_rechecks()) == 0
    assert Recheck.objects.get().due_at is None


@pytest.mark.submission
def test_relayed_data_are_compared_with_the_newest_that_were_applied(hub: Hub) -> None:
    Route.objects.filter(entity_type="USER").update(relays=True)
    relayed = {"id": ANNA, "entityType": "USER", "eventType": "UPDATE"}
    emails = [{"address": OLD, "verified": True}]
    hub.shop.faults.add("drop", methods=["PATCH"], times=1)
    hub.post_signed(relayed | {"data": {"id": ANNA, "emails": emails}, "respond": {"mode": "ack"}})
    hub.wait_until_quiet()
    late = Attempt.objects.order_by("-pk")[0]
    Delivery.objects.filter(state=State.RETRYING).update(state=State.DEAD, due_at=None)
    hub.post_signed(relayed | {"data": {"id": ANNA, "emails": [{"address": NEWEST, "verified": True}]}})
    hub.wait_until_quiet()
    let_old_data_arrive(hub)
    run_check_now()
    assert email(hub) == NEWEST
    repair = Recheck.objects.get(attempt=late).repaired_by
    assert repair is not None
    assert repair.delivery.event == Event.objects.order_by("-pk")[0]


@pytest.mark.submission
def test_nothing_is_checked_after_an_erasure(hub: Hub) -> None:
    late = send_without_answer(hub)
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


def test_the_attempt_of_a_recheck_has_neither_the_approval_nor_the_permission_to_create_of_the_last_one(
    hub: Hub,
) -> None:
    hub.wait_until_quiet()
    Delivery.objects.update(is_approved=True, creates_record=True)
    with transaction.atomic():
        make_due(Delivery.objects.get())
    delivery = Delivery.objects.get()
    assert (delivery.state, delivery.is_approved, delivery.creates_record) == (State.PENDING, False, False)
    assert run_due_deliveries() == 1
