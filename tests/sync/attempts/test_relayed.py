"""Relayed deliveries: the data of a signed webhook are applied in order, and never over newer data."""

import itertools
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest
from django.contrib.auth.models import User
from django.db import connections, transaction
from django.utils import timezone

from audit.models import Entry
from sync.deliveries import creation, redelivery
from sync.deliveries.due_deliveries import find_isolated_ids
from sync.deliveries.ordering import SubjectState
from sync.deliveries.predicates import ISOLATION_DEATHS
from sync.deliveries.routes import resolved_routes
from sync.delivery_service import end_reported_retries
from sync.execution.executor import run_due_deliveries
from sync.models import Attempt, Delivery, Route
from sync.replays.requests import request_replay
from tests.support.builders.history import a_replay
from tests.support.hub import ANNA, Hub, wait_until_quiet
from webhooks.models import Event, State, subject_key

pytestmark = pytest.mark.concurrent


@pytest.fixture
def relay(hub: Hub) -> Hub:
    """Yield a hub whose routes of people relay the data of verified sources."""
    Route.objects.filter(entity_type="USER").update(relays=True)
    return hub


def person(email: str, event_type: str = "UPDATE", user: str = ANNA, **members: Any) -> dict[str, Any]:
    """Return a webhook that carries Anna with this address."""
    entity = {
        "id": user,
        "emails": [{"address": email, "verified": True}],
        "name": {"givenName": "Anna", "familyName": "Aalto"},
        "mobiles": [{"number": "+358401234567"}],
        "locale": "fi",
    }
    return {"id": user, "entityType": "USER", "eventType": event_type, "data": entity} | members


def in_background(body: dict[str, Any]) -> dict[str, Any]:
    return body | {"respond": {"mode": "ack"}}


def test_the_data_of_the_webhook_are_applied_and_nothing_is_fetched(relay: Hub) -> None:
    relay.change_email("newer.at.the.source@example.com")
    answer = relay.post_signed(person("carried@example.com"))
    assert (answer.status_code, answer.json()["status"]) == (200, "succeeded")
    assert relay.customer()["email"] == "carried@example.com"
    assert relay.identity.read_journal() == []


@pytest.mark.promise("I6")
def test_a_secret_in_the_data_of_a_webhook_is_not_stored_with_the_findings(relay: Hub) -> None:
    """No system has repeated it, so no response was searched: what an attempt found is searched before it is stored."""
    given = {"givenName": "Anna", "familyName": "key shop-token end"}
    body = person("carried@example.com", respond="entity")
    body["data"]["name"] = given
    assert relay.post_signed(body).status_code == 200
    [findings] = [attempt.findings.decrypt().decode() for attempt in Attempt.objects.all()]
    assert "carried@example.com" in findings
    assert "key *** end" in findings
    assert "shop-token" not in findings


def test_the_entity_of_an_unsigned_webhook_is_always_fetched(relay: Hub) -> None:
    address = relay.change_email("truth@example.com")
    answer = relay.post(person("invented@example.com"))
    assert answer.json()["status"] == "succeeded"
    assert relay.customer()["email"] == address
    assert [request["method"] for request in relay.identity.read_journal()] == ["GET"]
    assert Delivery.objects.get().is_relayed is False


@pytest.mark.parametrize(
    "members", [{"id": ANNA}, {"id": "NOBODY1", "data": {"name": {"givenName": "Nobody"}}}]
)
def test_a_relayed_webhook_without_its_entity_or_required_fields_is_refused_for_good(
    relay: Hub, members: dict[str, Any]
) -> None:
    answer = relay.post_signed({"entityType": "USER", "eventType": "UPDATE"} | members)
    problem = answer.json()
    code = "unmappable" if "data" in members else "missing-data"
    assert (answer.status_code, problem["code"], problem["retrying"]) == (422, code, False)
    assert relay.writes() == []
    assert relay.identity.read_journal() == []


def test_a_partial_entity_changes_only_the_fields_that_it_has(relay: Hub) -> None:
    before = relay.customer()
    part = {"emails": [{"address": "part@example.com", "verified": True}]}
    answer = relay.post_signed({"id": ANNA, "entityType": "USER", "eventType": "UPDATE", "data": part})
    assert answer.json()["status"] == "succeeded"
    [write] = relay.writes()
    assert write["body"] == {"email": "part@example.com"}
    assert relay.customer()["first_name"] == before["first_name"]
    assert relay.customer()["external_id"] == before["external_id"]


@pytest.mark.submission_rows(2)
@pytest.mark.promise("I2", "T14")
@pytest.mark.parametrize(
    ("applied", "late", "status", "email"),
    [
        ("2026-01-01T00:00:00.000002Z", "2026-01-01T00:00:00.000001Z", "superseded", "first@example.com"),
        ("2026-01-01T01:00:00Z", "2026-01-01T02:30:00+02:00", "superseded", "first@example.com"),
        ("2026-01-01T00:00:00Z", "2026-01-01T00:00:00Z", "succeeded", "second@example.com"),
        ("2026-01-01T00:00:00Z", None, "succeeded", "second@example.com"),
        (None, "1999-01-01T00:00:00Z", "succeeded", "second@example.com"),
    ],
)
def test_an_older_timestamp_never_overwrites_a_newer_one(
    relay: Hub, applied: str | None, late: str | None, status: str, email: str
) -> None:
    for address, timestamp in (("first@example.com", applied), ("second@example.com", late)):
        moment, request_count = {"timestamp": timestamp} if timestamp else {}, len(relay.shop.read_journal())
        answer = relay.post_signed(person(address, **moment))
    assert (answer.status_code, answer.json()["status"]) == (200, status)
    assert relay.customer()["email"] == email
    assert Event.objects.latest("pk").state == status
    assert status != "superseded" or len(relay.shop.read_journal()) == request_count


@pytest.mark.submission
def test_a_time_in_the_future_makes_no_later_webhook_an_older_one(relay: Hub) -> None:
    """Without the limit, one wrong clock would keep a person's record as it is for years."""
    ahead = (datetime.now(UTC) + timedelta(days=2)).isoformat()
    timestamps = ["2026-01-01T00:00:01Z", ahead, "2026-01-01T00:00:02Z", "2026-01-01T00:00:00Z"]
    answers = [
        relay.post_signed(person(f"m{index}@example.com", timestamp=timestamp)).json()["status"]
        for index, timestamp in enumerate(timestamps)
    ]
    assert answers == ["succeeded", "succeeded", "succeeded", "superseded"]
    assert relay.customer()["email"] == "m2@example.com"


def test_a_clock_that_is_hours_ahead_still_decides_the_order(relay: Hub) -> None:
    now = datetime.now(UTC)
    for address, hours in (("new@example.com", 14), ("old@example.com", 13)):
        moment = (now + timedelta(hours=hours)).isoformat()
        answer = relay.post_signed(person(address, timestamp=moment))
    assert answer.json()["status"] == "superseded"
    assert relay.customer()["email"] == "new@example.com"


def test_a_change_that_another_process_applied_before_the_claim_counts(
    relay: Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    relay.post_signed(person("new@example.com", timestamp="2026-01-01T00:00:01Z"))
    seen = creation.read_subject_state

    def as_it_was_before(delivery: Delivery) -> SubjectState:
        return replace(seen(delivery), is_free=True, link=None)

    monkeypatch.setattr(creation, "read_subject_state", as_it_was_before)
    late = relay.post_signed(person("old@example.com", timestamp="2026-01-01T00:00:00Z"))
    assert late.json()["status"] == "superseded"
    assert relay.customer()["email"] == "new@example.com"


def test_relayed_webhooks_of_a_person_run_one_by_one_in_order_of_arrival(relay: Hub) -> None:
    sent = [f"address.{number}@example.com" for number in range(3)]
    for address in sent:
        assert relay.post_signed(in_background(person(address))).status_code == 202
    relay.wait_until_idle()
    writes = relay.writes()
    assert [write["body"]["email"] for write in writes] == sent
    assert all(one["ended"] <= following["started"] for one, following in itertools.pairwise(writes))
    assert list(Delivery.objects.values_list("state", "covered_by")) == [(State.SUCCEEDED, None)] * 3


def test_a_relayed_webhook_waits_for_an_older_one_that_is_retried(relay: Hub) -> None:
    relay.shop.faults.add("error", status=503)
    relay.post_signed(in_background(person("first@example.com")))
    relay.wait_until_idle()
    relay.shop.faults.clear()
    answer = relay.post_signed(person("second@example.com") | {"respond": {"mode": "result", "wait": 100}})
    assert answer.status_code == 202
    assert relay.writes() == []
    make_due()
    run_due_deliveries()
    assert [write["body"]["email"] for write in relay.writes()] == ["first@example.com", "second@example.com"]


def test_no_process_is_started_for_a_relayed_webhook_behind_an_older_one(relay: Hub) -> None:
    relay.shop.faults.add("error", status=503)
    for address in ("first@example.com", "second@example.com"):
        relay.post_signed(in_background(person(address)))
    wait_until_quiet()
    Delivery.objects.update(state=State.RETRYING, deaths=ISOLATION_DEATHS, due_at="2000-01-01T00:00:00Z")
    assert find_isolated_ids(10) == [Delivery.objects.earliest("pk").pk]


@pytest.mark.parametrize(
    ("goes_on", "state", "retrying"),
    [(None, State.DEAD, False), (True, State.RETRYING, True)],
)
def test_a_failure_reported_to_the_source_is_final_unless_the_route_keeps_retrying(
    relay: Hub, goes_on: bool | None, state: State, retrying: bool
) -> None:
    Route.objects.update(continues_after_failure=goes_on)
    relay.shop.faults.add("error", status=503)
    answer = relay.post_signed(person("later@example.com"))
    assert (answer.status_code, answer.json()["code"]) == (424, "target-unavailable")
    assert answer.json()["retrying"] is retrying
    assert (Delivery.objects.get().state, Event.objects.get().state) == (state, state)
    delivery = Delivery.objects.get()
    assert (delivery.settled_at is None) is (delivery.due_at is not None) is retrying
    actions = Entry.objects.filter(stream=delivery.stream).order_by("pk").values_list("action", flat=True)
    assert list(actions) == ["attempt.started", "attempt.failed"] + (
        [] if retrying else ["delivery.given_up"]
    )
    relay.shop.faults.clear()
    make_due()
    run_due_deliveries()
    assert (relay.customer()["email"] == "later@example.com") is retrying


def send_again(relay: Hub, event_id: str, body: dict[str, Any]) -> tuple[int, bool, str]:
    """Send the webhook again. Returns the status, True for a stored answer, and Anna's address in the shop."""
    answer = relay.post_signed(body, event_id)
    return answer.status_code, "Webhook-Replayed" in answer, relay.customer()["email"]


@pytest.mark.submission
def test_a_delivery_that_failed_temporarily_is_retried_when_its_webhook_is_repeated(relay: Hub) -> None:
    relay.shop.faults.add("error", status=503)
    assert relay.post_signed(person("later@example.com"), "msg_1").json()["retrying"] is False
    assert send_again(relay, "msg_1", person("later@example.com"))[:2] == (424, False)
    relay.shop.faults.clear()
    assert send_again(relay, "msg_1", person("later@example.com")) == (200, False, "later@example.com")
    assert (Delivery.objects.get().state, Event.objects.get().state) == (State.SUCCEEDED, State.SUCCEEDED)
    assert send_again(relay, "msg_1", person("later@example.com"))[:2] == (200, True)


@pytest.mark.submission
def test_a_repeated_webhook_gets_the_answer_of_its_rejected_or_closed_delivery(relay: Hub) -> None:
    relay.shop.faults.add("refuse", times=1)
    assert relay.post_signed(person("later@example.com"), "msg_1").status_code == 422
    assert send_again(relay, "msg_1", person("later@example.com"))[:2] == (422, True)
    relay.shop.faults.add("error", status=503, times=1)
    relay.post_signed(person("other@example.com"), "msg_2")
    Delivery.objects.filter(event__event_id="msg_2").update(state=State.CLOSED, code="closed")
    Event.objects.filter(event_id="msg_2").update(state=State.CLOSED, code="closed")
    status, _, address = send_again(relay, "msg_2", person("other@example.com"))
    assert status == 422
    assert address != "other@example.com"


def test_a_repeated_webhook_never_overwrites_a_later_one(relay: Hub) -> None:
    relay.shop.faults.add("error", status=503, times=1)
    assert relay.post_signed(person("older@example.com"), "msg_1").status_code == 424
    assert send_again(relay, "msg_2", person("newer@example.com"))[::2] == (200, "newer@example.com")
    status, _, address = send_again(relay, "msg_1", person("older@example.com"))
    assert (status, address) == (424, "newer@example.com")


def test_a_repeated_webhook_waits_for_a_newer_one_that_is_being_stored(relay: Hub) -> None:
    """Storing locks the key of the person until the commit; on SQLite the writer queue does."""
    relay.shop.faults.add("error", status=503, times=1)
    relay.post_signed(person("older@example.com"), "msg_1")
    event = Event.objects.get()

    def again() -> None:
        redelivery.retry_events([event])
        connections.close_all()

    with ThreadPoolExecutor(1) as threads, transaction.atomic():
        subject_key(event.source_id, event.entity_type, event.entity_id)
        asked = threads.submit(again)
        with pytest.raises(TimeoutError):
            asked.result(timeout=0.2)
        newer = Event.objects.get()
        newer.pk, newer.uuid, newer.event_id, newer._state.adding = None, uuid4(), "msg_2", True
        newer.save(force_insert=True)
        delivery = Delivery.objects.get()
        delivery.pk, delivery.event, delivery._state.adding = None, newer, True
        delivery.save(force_insert=True)
    asked.result(timeout=60)
    assert Delivery.objects.get(event=event).state == State.DEAD


def test_a_replay_that_waits_for_its_turn_is_not_given_up(relay: Hub) -> None:
    relay.shop.faults.add("error", status=503)
    relay.post_signed(in_background(person("later@example.com")))
    relay.wait_until_idle()
    replay = a_replay(User.objects.create_user("staff"))
    Delivery.objects.update(person_request=replay)  # while the attempt ran
    with transaction.atomic():
        assert end_reported_retries(Event.objects.get()) == []
    relay.shop.faults.clear()
    make_due()
    assert run_due_deliveries() == 1
    assert Attempt.objects.latest("number").person_request == replay


@pytest.mark.submission_rows(2)
@pytest.mark.parametrize(
    ("when_deleted", "is_known"),
    [
        (Route.DeletionPolicy.DELETE, True),
        (Route.DeletionPolicy.DEACTIVATE, True),
        (Route.DeletionPolicy.IGNORE, False),
    ],
)
def test_an_older_update_does_not_restore_a_deleted_record(
    relay: Hub, when_deleted: str, is_known: bool
) -> None:
    Route.objects.filter(entity_type="USER").update(when_deleted=when_deleted)
    user = ANNA if is_known else "NOBODY1"
    relay.post_signed(
        {"id": user, "entityType": "USER", "eventType": "DELETE", "timestamp": "2026-01-01T00:00:01Z"}
    )
    assert relay.identity.read_journal() == [], "a relayed deletion fetches nothing"
    after = relay.customer(user)
    late = relay.post_signed(person("back@example.com", user=user, timestamp="2026-01-01T00:00:00Z"))
    assert late.json()["status"] == "superseded"
    assert relay.customer(user) == after


def test_a_later_creation_after_a_deletion_is_applied(relay: Hub) -> None:
    Route.objects.filter(entity_type="USER").update(when_deleted=Route.DeletionPolicy.DELETE)
    relay.post_signed(
        {"id": ANNA, "entityType": "USER", "eventType": "DELETE", "timestamp": "2026-01-01T00:00:01Z"}
    )
    assert relay.customer() is None
    again = relay.post_signed(person("again@example.com", "CREATE", timestamp="2026-01-01T00:00:02Z"))
    assert again.json()["results"][0]["action"] == "created"
    assert relay.customer()["email"] == "again@example.com"
    assert Attempt.objects.count() == 2


def make_due() -> None:
    wait_until_quiet()
    Delivery.objects.filter(state=State.RETRYING).update(due_at="2000-01-01T00:00:00Z")


OVERTAKEN = ["the route fetches by now", "another source fetched"]


@pytest.mark.promise("I2")
@pytest.mark.parametrize("how", OVERTAKEN)
def test_relayed_data_never_overwrite_what_was_fetched_later(relay: Hub, how: str) -> None:
    relay.shop.faults.add("error", status=503, methods=["PATCH"], times=1)
    assert relay.post_signed(in_background(person("relayed@example.com"))).status_code == 202
    wait_until_quiet()
    assert Delivery.objects.get().state == State.RETRYING
    newest = relay.change_email("fetched@example.com")
    post = relay.post
    if how == OVERTAKEN[0]:
        Route.objects.update(relays=False)
        resolved_routes.invalidate()
        post = relay.post_signed
    assert post({"id": ANNA, "entityType": "USER", "eventType": "UPDATE"}).json()["status"] == "succeeded"
    Delivery.objects.filter(state=State.RETRYING).update(due_at=timezone.now() - timedelta(seconds=1))
    run_due_deliveries()
    wait_until_quiet()
    assert relay.customer()["email"] == newest
    assert Delivery.objects.order_by("pk")[0].state == State.SUPERSEDED


@pytest.mark.promise("I4")
def test_a_replay_of_an_older_webhook_without_a_time_never_overwrites_a_newer_one(relay: Hub) -> None:
    staff = User.objects.create_user("staff")
    assert relay.post_signed(person("older@example.com")).status_code == 200
    assert relay.post_signed(person("newer@example.com")).status_code == 200
    older, newer = Event.objects.order_by("pk")
    request_replay([older], by=staff, reason="the second one was forgotten")
    run_due_deliveries()
    wait_until_quiet()
    assert relay.customer()["email"] == "newer@example.com"
    assert Delivery.objects.get(event=older).state == State.SUPERSEDED
    request_replay([newer], by=staff, reason="to see that it is applied")
    run_due_deliveries()
    wait_until_quiet()
    assert Delivery.objects.get(event=newer).state == State.UNCHANGED
