"""The circuit breaker: nothing is sent to a failing system, and waiting deliveries use no retries."""

from typing import Any

import pytest

from audit.models import Entry
from sync.deliveries.due_deliveries import find_isolated_ids
from sync.deliveries.predicates import ISOLATION_DEATHS
from sync.execution.executor import run_due_deliveries
from sync.limits import concurrency_slots
from sync.models import Attempt, Connection, Delivery, PayloadChoice, Route
from tests.support.circuit_breakers import (
    ENOUGH_FAILURES,
    PAST,
    ack,
    breaker,
    create_people,
    end_pause,
    is_open,
    make_due,
    open_breaker,
    send_and_wait,
    webhook,
)
from tests.support.hub import ANNA, Hub
from tests.support.threads import wait_until
from tests.support.unfinished_deliveries import close_open_deliveries
from webhooks.models import Event, State


@pytest.mark.submission
def test_no_process_is_started_for_a_blocked_delivery(cautious: Hub) -> None:
    [user] = create_people(cautious, 1)
    open_breaker(cautious, user)
    cautious.wait_until_quiet()
    Delivery.objects.update(state=State.RETRYING, deaths=ISOLATION_DEATHS, due_at=PAST, settled_at=None)
    assert find_isolated_ids(10) == []
    end_pause()
    assert len(find_isolated_ids(10)) == ENOUGH_FAILURES


@pytest.mark.submission_rows(2)
@pytest.mark.promise("I11")
@pytest.mark.parametrize(
    ("side", "fault", "word", "status"),
    [
        ("identity", {"kind": "error", "status": 401}, "credentials", 401),
        ("identity", {"kind": "drop"}, "unavailable", None),
        ("shop", {"kind": "throttle"}, "throttled", 429),
        pytest.param("shop", {"kind": "hang"}, "timeout", None, marks=pytest.mark.nightly),
    ],
    ids=["credentials", "dropped", "throttled", "hanging"],
)
def test_a_breaker_opens_after_consecutive_failures_of_the_system(
    cautious: Hub, side: str, fault: dict[str, Any], word: str, status: int | None
) -> None:
    getattr(cautious, side).faults.add_from_json(fault)
    slug, code = ("aurora", f"identity-{word}") if side == "identity" else ("shop", f"target-{word}")
    if fault["kind"] == "hang":
        Connection.objects.filter(slug=slug).update(deadline_seconds=0.3)
    users = create_people(cautious, ENOUGH_FAILURES)
    answers = []
    for user in users:
        assert not is_open(slug)
        answers.append(send_and_wait(cautious, user))
    assert answers == [(424, code)] * ENOUGH_FAILURES
    opened = breaker(slug)
    assert (opened.code, opened.status) == (code, status)
    assert not is_open("shop" if side == "identity" else "aurora")


@pytest.mark.submission
def test_a_breaker_opens_if_one_kind_of_requests_fails(cautious: Hub) -> None:
    """Every attempt to create a record searches before it writes."""
    cautious.shop.faults.add("error", status=503, methods=["POST"])
    for number, user in enumerate(create_people(cautious, ENOUGH_FAILURES)):
        assert not is_open(), f"after {number}"
        send_and_wait(cautious, user)
    assert is_open()


@pytest.mark.parametrize("status", [404, 422])
def test_a_breaker_never_opens_for_failures_of_one_record(cautious: Hub, status: int) -> None:
    cautious.shop.faults.add("refuse", status=status)
    codes = {send_and_wait(cautious, user)[1] for user in create_people(cautious, ENOUGH_FAILURES + 2)}
    assert codes == {"target-rejected"}
    assert not is_open()


@pytest.mark.submission
def test_our_own_rate_limit_is_no_failure_of_the_system(
    cautious: Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All of them start at one moment, while the rate limit still allows it."""
    monkeypatch.setattr(concurrency_slots, "is_queue_full", lambda _: False)
    Connection.objects.filter(slug="shop").update(requests_per_second=0.01)
    for user in create_people(cautious, ENOUGH_FAILURES + 2):
        cautious.post(ack(user))
    cautious.wait_until_quiet()
    make_due()
    run_due_deliveries()
    assert not is_open()
    assert set(Delivery.objects.values_list("state", "attempts_used")) <= {
        (State.PENDING, 0),
        (State.RETRYING, 0),
    }
    Connection.objects.filter(slug="shop").update(requests_per_second=None)
    make_due()
    run_due_deliveries()
    assert set(Delivery.objects.values_list("state", flat=True)) <= {State.SUCCEEDED, State.UNCHANGED}


@pytest.mark.promise("I11")
def test_an_open_breaker_sends_nothing_and_answers_the_source_at_once(cautious: Hub) -> None:
    first, second = create_people(cautious, 2)
    open_breaker(cautious, first)
    before = len(cautious.shop.read_journal()), len(cautious.identity.read_journal()), Attempt.objects.count()
    answer = cautious.post(webhook(second, respond={"mode": "result", "wait": 10_000}))
    problem = answer.json()
    assert (answer.status_code, problem["code"], problem["retrying"]) == (424, "target-unavailable", True)
    make_due()
    assert run_due_deliveries() == 0
    after = len(cautious.shop.read_journal()), len(cautious.identity.read_journal()), Attempt.objects.count()
    assert after == before
    waiting = Delivery.objects.get(entity_id=second)
    assert (waiting.state, waiting.code, waiting.attempts_used) == (State.RETRYING, "target-unavailable", 0)
    assert Event.objects.get(entity_id=second).state == State.RETRYING
    assert Entry.objects.filter(stream=waiting.stream, action="delivery.postponed").count() == 1


@pytest.mark.submission
def test_a_repeated_webhook_does_not_bypass_an_open_breaker(cautious: Hub) -> None:
    first, second = create_people(cautious, 2)
    open_breaker(cautious, first)
    sent = [cautious.post_signed(webhook(second), "msg_again") for _ in range(2)]
    assert [answer.status_code for answer in sent] == [424, 424]
    assert sent[1].json()["retrying"] is True
    assert not Attempt.objects.filter(delivery__entity_id=second).exists()


@pytest.mark.submission
def test_an_attempt_in_progress_when_the_breaker_opened_uses_no_retry(cautious: Hub) -> None:
    Connection.objects.update(breaker_failures=1)
    users = create_people(cautious, 4)
    slow = cautious.shop.faults.add("slow", seconds=30)
    cautious.shop.faults.add("error", status=503)
    for user in users:
        cautious.post(ack(user))
    wait_until(lambda: len(cautious.shop.read_journal()) == len(users))
    cautious.shop.faults.clear(slow.id)
    cautious.wait_until_idle()
    assert Attempt.objects.count() == len(users), "all of them were under way"
    assert sorted(Delivery.objects.values_list("attempts_used", flat=True)) == [0, 0, 0, 1]
    assert set(Delivery.objects.values_list("state", flat=True)) == {State.RETRYING}


def relayed(user: str) -> dict[str, Any]:
    entity = {"id": user, "emails": [{"address": f"{user.lower()}@relayed.example.com", "verified": True}]}
    return webhook(user, eventType="CREATE", data=entity)


@pytest.mark.submission
@pytest.mark.parametrize(
    ("goes_on", "state", "retrying"), [(None, State.DEAD, False), (True, State.RETRYING, True)]
)
def test_the_answer_to_a_relayed_webhook_for_a_paused_shop_says_if_it_is_retried(
    cautious: Hub, goes_on: bool | None, state: State, retrying: bool
) -> None:
    first, second = create_people(cautious, 2)
    open_breaker(cautious, first)
    Route.objects.update(relays=True, continues_after_failure=goes_on)
    answer = cautious.post_signed(relayed(second))
    assert (answer.status_code, answer.json()["retrying"]) == (424, retrying)
    delivery = Delivery.objects.get(entity_id=second)
    assert (delivery.state, delivery.attempts.count()) == (state, 0)


@pytest.mark.submission
def test_relayed_webhooks_neither_wait_for_the_identity_service_nor_count_for_its_breaker(
    cautious: Hub,
) -> None:
    users = create_people(cautious, ENOUGH_FAILURES + 1)
    cautious.identity.faults.add("error", status=503)
    for user in users[1:]:
        Route.objects.filter(source__slug="aurora").update(relays=True)
        assert cautious.post_signed(relayed(users[0])).status_code == 200
        assert send_and_wait(cautious, user) == (424, "identity-unavailable")
    assert is_open("aurora")
    answer = cautious.post_signed(relayed(users[-1]))
    assert (answer.status_code, answer.json().get("status")) == (200, "succeeded")


@pytest.mark.submission
def test_a_payload_sent_as_received_does_not_wait_for_the_identity_service(cautious: Hub) -> None:
    data = {"emails": [{"address": "anna.received@example.com", "verified": True}]}
    cautious.post_signed({"id": ANNA, "entityType": "USER", "eventType": "UPDATE", "data": data})
    fault = cautious.identity.faults.add("error", status=503)
    for _ in range(ENOUGH_FAILURES):
        send_and_wait(cautious, ANNA)
    close_open_deliveries()
    assert is_open("aurora")
    received = Delivery.objects.order_by("pk")[0]
    Delivery.objects.filter(pk=received.pk).update(
        state=State.PENDING, due_at=PAST, payload_choice=PayloadChoice.RECEIVED, settled_at=None
    )
    run_due_deliveries()
    cautious.wait_until_quiet()
    received.refresh_from_db()
    assert (received.state, received.attempts_used) == (State.SUCCEEDED, 2)
    assert cautious.customer()["email"] == "anna.received@example.com"
    cautious.identity.faults.clear(fault.id)
