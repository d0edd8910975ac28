"""The choices for a replay apply to its attempts and their retries, and are recorded with them."""

import json
from datetime import timedelta

import pytest

from sync.execution.executor import run_due_deliveries
from sync.models import Attempt, Delivery, MappingVersion, PayloadChoice, Route
from sync.replays.requests import ReplayOptions, ReplayRefused, request_replay
from tests.support.builders.bulk_replays import staff_user
from tests.support.hub import ANNA, Hub, wait_until_quiet
from tests.support.people import entries
from webhooks.models import Event, State

RECEIVED = ReplayOptions(payload_choice=PayloadChoice.RECEIVED)
ANYWAY = ReplayOptions(payload_choice=PayloadChoice.ANYWAY)


def carrying(hub: Hub, address: str, user: str = ANNA) -> Event:
    """Return a webhook that carries the entity with this address, which the identity service has too."""
    hub.change_email(address, user)
    data = {"id": user, "emails": [{"address": address, "verified": True}]}
    hub.post_signed({"id": user, "entityType": "USER", "eventType": "UPDATE", "data": data})
    return Event.objects.latest("pk")


def again(hub: Hub, event: Event, choice: ReplayOptions) -> Attempt:
    request_replay([event], by=staff_user(), reason="to see", options=choice)
    hub.wait_until_idle()
    return Attempt.objects.filter(delivery__event=event).latest("number")


def refused(hub: Hub, address: str) -> Event:
    fault = hub.shop.faults.add("refuse")
    event = carrying(hub, address)
    hub.shop.faults.clear(fault.id)
    assert event.state == State.DEAD
    return event


def newer_mapping() -> MappingVersion:
    """Activate a mapping that gives everyone the same address."""
    first = Attempt.objects.earliest("pk").mapping_version
    declaration = json.loads(json.dumps(first.declaration))
    declaration["fields"]["email"] = {"constant": "mapped@example.com"}
    return MappingVersion.objects.create(
        mapping=first.mapping, number=first.number + 1, declaration=declaration
    )


def waiting_for_its_next_try(hub: Hub, address: str) -> Event:
    """Create an event that waits for a retry, which is not due before `make_due`."""
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


def test_a_replay_of_the_received_payload_does_not_fetch(hub: Hub) -> None:
    event = refused(hub, "then@example.com")
    hub.change_email("now@example.com")
    request_count = len(hub.identity.read_journal())
    attempt = again(hub, event, RECEIVED)
    assert hub.customer()["email"] == "then@example.com"
    assert (attempt.outcome, attempt.payload_choice) == ("succeeded", "received")
    assert len(hub.identity.read_journal()) == request_count
    [entry] = entries("event.replayed")
    assert entry["details"]["payload_choice"] == "received"


@pytest.mark.submission
def test_the_received_payload_overwrites_newer_data_only_if_chosen(hub: Hub) -> None:
    event = refused(hub, "old@example.com")
    newer = carrying(hub, "new@example.com")
    # The order of events does not depend on the clocks of hosts.
    Event.objects.filter(pk=newer.pk).update(received_at=event.received_at - timedelta(days=3))
    attempt = again(hub, event, RECEIVED)
    assert (attempt.outcome, Event.objects.get(pk=event.pk).state) == ("superseded", State.SUPERSEDED)
    assert hub.customer()["email"] == "new@example.com"
    assert again(hub, event, ANYWAY).outcome == "succeeded"
    assert hub.customer()["email"] == "old@example.com"


@pytest.mark.submission
def test_an_applied_event_counts_although_its_own_replay_failed_later(hub: Hub) -> None:
    event = refused(hub, "old@example.com")
    newer = carrying(hub, "new@example.com")
    Route.objects.update(max_attempts=1)
    fault = hub.identity.faults.add("error", status=503)
    assert again(hub, newer, ReplayOptions()).outcome == "failed"
    hub.identity.faults.clear(fault.id)
    assert newer.deliveries.get().state == State.DEAD
    assert again(hub, event, RECEIVED).outcome == "superseded"
    assert hub.customer()["email"] == "new@example.com"


@pytest.mark.submission
def test_an_event_applied_between_preview_and_attempt_counts(
    hub: Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    event = refused(hub, "old@example.com")
    with monkeypatch.context() as slow:
        slow.setattr("sync.replays.requests.defer_to_workers", lambda _: None)
        request_replay([event], by=staff_user(), reason="to see", options=RECEIVED)
    Delivery.objects.update(due_at=None)
    carrying(hub, "new@example.com")
    hub.wait_until_quiet()  # what comes after the answer looks for what else is due
    Delivery.objects.filter(event=event).update(due_at="2020-01-01T00:00:00Z")
    assert run_due_deliveries() == 1
    assert hub.customer()["email"] == "new@example.com"
    assert Attempt.objects.filter(delivery__event=event).latest("number").outcome == "superseded"


@pytest.mark.submission
def test_relayed_data_overwrites_newer_data_only_if_chosen(hub: Hub) -> None:
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


@pytest.mark.submission
@pytest.mark.parametrize(
    ("choice", "outcome", "email"),
    [
        (RECEIVED, "superseded", "later@example.com"),
        (ANYWAY, "succeeded", "then@example.com"),
        (ReplayOptions(uses_first_version=True), "unchanged", "later@example.com"),
    ],
    ids=["received", "anyway", "mapping of then"],
)
def test_a_retry_keeps_the_choice_despite_new_webhooks(
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
    assert (retried.payload_choice, retried.outcome) == (choice.payload_choice, outcome)
    assert hub.customer()["email"] == email


@pytest.mark.submission
def test_the_original_mapping_is_the_version_of_the_first_attempt(hub: Hub) -> None:
    event = refused(hub, "anna.mapped@example.com")
    first, newer = Attempt.objects.get().mapping_version, newer_mapping()
    then = again(hub, event, ReplayOptions(uses_first_version=True))
    assert (then.mapping_version, hub.customer()["email"]) == (first, "anna.mapped@example.com")
    now = again(hub, event, ReplayOptions())
    assert (now.mapping_version, hub.customer()["email"]) == (newer, "mapped@example.com")
    assert [entry["details"].get("mapping") for entry in entries("event.replayed")] == ["then", None]


def test_a_payload_that_carries_no_data_cannot_be_sent_as_received(hub: Hub) -> None:
    hub.post({"id": ANNA, "entityType": "USER", "eventType": "UPDATE"})
    with pytest.raises(ReplayRefused, match="contained no data"):
        request_replay([Event.objects.get()], by=staff_user(), reason="to see", options=RECEIVED)


@pytest.mark.submission
def test_a_replay_of_the_received_payload_settles_no_sibling(hub: Hub) -> None:
    """A fetch includes the changes of every open sibling; the payload of one webhook does not."""
    event = refused(hub, "then@example.com")
    waiting = waiting_for_its_next_try(hub, "later@example.com")
    again(hub, event, RECEIVED)
    waiting.refresh_from_db()
    assert (waiting.state, waiting.deliveries.get().covered_by) == (State.RETRYING, None)


@pytest.mark.submission
def test_a_replay_with_the_original_mapping_settles_no_sibling(hub: Hub) -> None:
    """Siblings are delivered with the newest mapping."""
    event = refused(hub, "then@example.com")
    version = newer_mapping()
    waiting = waiting_for_its_next_try(hub, "later@example.com")
    again(hub, event, ReplayOptions(uses_first_version=True))
    assert hub.customer()["email"] == "later@example.com"
    waiting.refresh_from_db()
    assert (waiting.state, waiting.deliveries.get().covered_by) == (State.RETRYING, None)
    make_due(waiting)
    assert run_due_deliveries() == 1
    assert Attempt.objects.get(delivery__event=waiting, number=2).mapping_version == version
    assert hub.customer()["email"] == "mapped@example.com"
