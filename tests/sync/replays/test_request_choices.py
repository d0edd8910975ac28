"""What a person chooses for a replay is what its attempts do, retries too, and stands on record with them."""

import json
from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest

from sync.deliveries import claims
from sync.execution.executor import run_due_deliveries
from sync.models import Attempt, Delivery, MappingVersion, PayloadChoice, Replay, Route
from sync.operations.held_deliveries import HeldDecision, decide_held
from sync.replays.requests import ReplayOptions, ReplayRefused, request_replay
from tests.support.builders.bulk_replays import staff
from tests.support.hub import ANNA, Hub, wait_until_quiet
from tests.support.people import entries
from webhooks.models import Event, State

RECEIVED, ANYWAY = ReplayOptions(takes=PayloadChoice.RECEIVED), ReplayOptions(takes=PayloadChoice.ANYWAY)


def carrying(hub: Hub, address: str, user: str = ANNA) -> Event:
    """A webhook that carries the entity with this address; the identity service has it at that moment."""
    hub.change_email(address, user)
    data = {"id": user, "emails": [{"address": address, "verified": True}]}
    hub.post_signed({"id": user, "entityType": "USER", "eventType": "UPDATE", "data": data})
    return Event.objects.latest("pk")


def again(hub: Hub, event: Event, choice: ReplayOptions) -> Attempt:
    request_replay([event], by=staff(), reason="to see", options=choice)
    hub.wait_until_idle()
    return Attempt.objects.filter(delivery__event=event).latest("number")


def refused(hub: Hub, address: str) -> Event:
    fault = hub.shop.faults.add("refuse")
    event = carrying(hub, address)
    hub.shop.faults.clear(fault.id)
    assert event.state == State.DEAD
    return event


def newer_mapping() -> MappingVersion:
    """Gives everybody the same address."""
    first = Attempt.objects.earliest("pk").mapping_version
    declaration = json.loads(json.dumps(first.declaration))
    declaration["fields"]["email"] = {"constant": "mapped@example.com"}
    return MappingVersion.objects.create(
        mapping=first.mapping, number=first.number + 1, declaration=declaration
    )


def waiting_for_its_next_try(hub: Hub, address: str) -> Event:
    """An event that the shop could not take; it is not due before `make_due`."""
    hub.shop.faults.add("error", status=503, times=1)
    event = carrying(hub, address)
    put_off(event)
    return event


def put_off(event: Event) -> None:
    wait_until_quiet()
    assert Event.objects.get(pk=event.pk).state == State.RETRYING
    Delivery.objects.filter(event=event).update(due_at="2030-01-01T00:00:00Z")


def make_due(event: Event) -> None:
    wait_until_quiet()
    Delivery.objects.filter(event=event).update(due_at="2020-01-01T00:00:00Z")


def test_fetched_afresh_the_entity_of_now_is_delivered(hub: Hub) -> None:
    event = refused(hub, "then@example.com")
    hub.change_email("now@example.com")
    assert again(hub, event, ReplayOptions()).takes == ""
    assert hub.customer()["email"] == "now@example.com"


def test_the_payload_as_received_is_delivered_without_asking_the_identity_service(hub: Hub) -> None:
    event = refused(hub, "then@example.com")
    hub.change_email("now@example.com")
    asked = len(hub.identity.read_journal())
    attempt = again(hub, event, RECEIVED)
    assert hub.customer()["email"] == "then@example.com"
    assert (attempt.outcome, attempt.takes) == ("succeeded", "received")
    assert len(hub.identity.read_journal()) == asked
    [entry] = entries("event.replayed")
    assert entry["details"]["takes"] == "received"


def test_the_payload_as_received_undoes_nothing_newer_unless_that_was_chosen(hub: Hub) -> None:
    event = refused(hub, "old@example.com")
    carrying(hub, "new@example.com")
    attempt = again(hub, event, RECEIVED)
    assert (attempt.outcome, Event.objects.get(pk=event.pk).state) == ("superseded", State.SUPERSEDED)
    assert hub.customer()["email"] == "new@example.com"
    assert again(hub, event, ANYWAY).outcome == "succeeded"
    assert hub.customer()["email"] == "old@example.com"


def test_what_came_later_is_newer_whatever_the_clocks_of_the_hosts_say(hub: Hub) -> None:
    event = refused(hub, "old@example.com")
    newer = carrying(hub, "new@example.com")
    Event.objects.filter(pk=newer.pk).update(received_at=event.received_at - timedelta(days=3))
    assert again(hub, event, RECEIVED).outcome == "superseded"
    assert hub.customer()["email"] == "new@example.com"


def test_what_was_applied_counts_though_its_own_replay_failed_since(hub: Hub) -> None:
    event = refused(hub, "old@example.com")
    newer = carrying(hub, "new@example.com")
    Route.objects.update(tries=1)
    fault = hub.identity.faults.add("error", status=503)
    assert again(hub, newer, ReplayOptions()).outcome == "failed"
    hub.identity.faults.clear(fault.id)
    assert newer.deliveries.get().state == State.DEAD
    assert again(hub, event, RECEIVED).outcome == "superseded"
    assert hub.customer()["email"] == "new@example.com"


def test_what_was_applied_between_the_question_and_the_attempt_counts(
    hub: Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    event = refused(hub, "old@example.com")
    with monkeypatch.context() as slow:
        slow.setattr("sync.replays.requests.defer_to_workers", lambda _: None)
        request_replay([event], by=staff(), reason="to see", options=RECEIVED)
    Delivery.objects.update(due_at=None)
    carrying(hub, "new@example.com")
    hub.wait_until_quiet()  # what comes after the answer looks for what else is due
    Delivery.objects.filter(event=event).update(due_at="2020-01-01T00:00:00Z")
    assert run_due_deliveries() == 1
    assert hub.customer()["email"] == "new@example.com"
    assert Attempt.objects.filter(delivery__event=event).latest("number").outcome == "superseded"


def test_a_choice_made_after_a_worker_had_read_the_delivery_counts(
    hub: Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    event = refused(hub, "then@example.com")
    hub.change_email("now@example.com")
    hub.wait_until_quiet()
    Delivery.objects.update(state=State.PENDING, due_at="2020-01-01T00:00:00Z", settled_at=None)
    monkeypatch.setattr("sync.replays.requests.defer_to_workers", lambda _: None)

    def read_then_chosen(pk: int, read: Any = claims._load_delivery) -> Any:
        found = read(pk)
        if not Replay.objects.exists():
            request_replay([event], by=staff(), reason="to see", options=RECEIVED)
        return found

    monkeypatch.setattr(claims, "_load_delivery", read_then_chosen)
    assert run_due_deliveries() == 1
    assert Attempt.objects.latest("number").takes == "received"
    assert hub.customer()["email"] == "then@example.com"


def test_relayed_data_goes_over_newer_only_where_that_was_chosen(hub: Hub) -> None:
    Route.objects.update(relays=True)
    old, new = (
        {
            "id": ANNA,
            "entityType": "USER",
            "eventType": "UPDATE",
            "timestamp": f"2026-01-0{day}T00:00:00Z",
            "data": {"id": ANNA, "emails": [{"address": f"day{day}@example.com", "verified": True}]},
        }
        for day in (1, 2)
    )
    fault = hub.shop.faults.add("refuse")
    hub.post_signed(old)
    hub.shop.faults.clear(fault.id)
    event = Event.objects.get()
    hub.post_signed(new)
    assert again(hub, event, ReplayOptions()).outcome == "superseded"
    assert again(hub, event, ANYWAY).outcome == "succeeded"
    assert hub.customer()["email"] == "day1@example.com"
    third = new | {"timestamp": "2026-01-01T12:00:00Z"}
    hub.post_signed(third)
    assert Event.objects.latest("pk").state == State.SUPERSEDED


def test_a_retry_keeps_to_the_choice_and_the_next_replay_begins_with_none(hub: Hub) -> None:
    event = refused(hub, "then@example.com")
    hub.change_email("now@example.com")
    hub.shop.faults.add("error", status=503, times=1, methods=["PATCH", "PUT", "POST"])
    assert again(hub, event, RECEIVED).outcome == "failed"
    hub.wait_until_quiet()
    Delivery.objects.update(due_at="2020-01-01T00:00:00Z")
    assert run_due_deliveries() == 1
    retried = Attempt.objects.latest("number")
    assert (retried.cause, retried.takes, retried.outcome) == ("retry", "received", "succeeded")
    assert hub.customer()["email"] == "then@example.com"
    assert again(hub, event, ReplayOptions()).takes == ""
    assert hub.customer()["email"] == "now@example.com"


@pytest.mark.parametrize(
    ("choice", "outcome", "email"),
    [
        (RECEIVED, "superseded", "later@example.com"),
        (ANYWAY, "succeeded", "then@example.com"),
        (ReplayOptions(maps_as_then=True), "unchanged", "later@example.com"),
    ],
    ids=["received", "anyway", "mapping of then"],
)
def test_a_retry_keeps_to_the_choice_whatever_comes_meanwhile(
    hub: Hub, choice: ReplayOptions, outcome: str, email: str
) -> None:
    event = refused(hub, "then@example.com")
    hub.shop.faults.add("error", status=503, times=1)
    assert again(hub, event, choice).outcome == "failed"
    put_off(event)
    carrying(hub, "later@example.com")
    assert hub.customer()["email"] == "later@example.com"
    make_due(event)
    assert run_due_deliveries() == 1, "a newer webhook did not settle it"
    retried = Attempt.objects.get(delivery__event=event, number=3)
    assert (retried.takes, retried.outcome) == (choice.takes, outcome)
    assert hub.customer()["email"] == email


def test_the_mapping_of_then_is_the_version_of_the_first_attempt(hub: Hub) -> None:
    event = refused(hub, "anna.mapped@example.com")
    first, newer = Attempt.objects.get().mapping_version, newer_mapping()
    then = again(hub, event, ReplayOptions(maps_as_then=True))
    assert (then.mapping_version, hub.customer()["email"]) == (first, "anna.mapped@example.com")
    now = again(hub, event, ReplayOptions())
    assert (now.mapping_version, hub.customer()["email"]) == (newer, "mapped@example.com")
    assert [each["details"].get("mapping") for each in entries("event.replayed")] == ["then", None]


def test_a_payload_that_carries_no_data_cannot_be_sent_as_received(hub: Hub) -> None:
    hub.post({"id": ANNA, "entityType": "USER", "eventType": "UPDATE"})
    with pytest.raises(ReplayRefused, match="contained no data"):
        request_replay([Event.objects.get()], by=staff(), reason="to see", options=RECEIVED)


def test_as_received_it_settles_no_sibling(hub: Hub) -> None:
    """A fetch sees what every open sibling wanted to tell; what one webhook carried does not."""
    event = refused(hub, "then@example.com")
    waiting = waiting_for_its_next_try(hub, "later@example.com")
    again(hub, event, RECEIVED)
    waiting.refresh_from_db()
    assert (waiting.state, waiting.deliveries.get().covered_by) == (State.RETRYING, None)


def test_with_the_mapping_of_then_it_settles_no_sibling(hub: Hub) -> None:
    """What another webhook wanted to tell goes out as the newest mapping says."""
    event = refused(hub, "then@example.com")
    version = newer_mapping()
    waiting = waiting_for_its_next_try(hub, "later@example.com")
    again(hub, event, ReplayOptions(maps_as_then=True))
    assert hub.customer()["email"] == "later@example.com"
    waiting.refresh_from_db()
    assert (waiting.state, waiting.deliveries.get().covered_by) == (State.RETRYING, None)
    make_due(waiting)
    assert run_due_deliveries() == 1
    assert Attempt.objects.get(delivery__event=waiting, number=2).mapping_version == version
    assert hub.customer()["email"] == "mapped@example.com"


def test_with_the_newest_version_chosen_it_settles_siblings_as_any_fetch_does(hub: Hub) -> None:
    event = refused(hub, "then@example.com")
    waiting = waiting_for_its_next_try(hub, "later@example.com")
    again(hub, event, ReplayOptions(maps_as_then=True))
    waiting.refresh_from_db()
    assert waiting.state in (State.SUCCEEDED, State.UNCHANGED)


def test_what_was_closed_by_hand_can_be_replayed(hub: Hub) -> None:
    event = refused(hub, "closed@example.com")
    Delivery.objects.update(state=State.HELD, code="held")
    decide_held([Delivery.objects.get().pk], HeldDecision.CLOSE, by=staff(), reason="by hand", key=uuid4())
    assert Event.objects.get().state == State.CLOSED
    assert again(hub, event, ReplayOptions()).outcome == "succeeded"
