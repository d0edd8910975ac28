"""A person decides which record a held entity belongs to: once, on record, and never over another one's link."""

from typing import Any
from uuid import UUID, uuid4

import pytest
from django.contrib.auth.models import User

from sync.models import Attempt, Delivery, Link, PersonRequest, Route
from sync.operations import match_decisions
from sync.operations.held_deliveries import AlreadyDecided, DecisionRefused, HeldDecision, decide_held
from sync.operations.match_decisions import MatchDecision, decide_match, load_match
from sync.replays.requests import request_replay
from tests.support.builders.matched_records import (
    HELD_USER,
    STRANGER_EMAIL,
    hold_again,
    hold_match,
    stranger_record,
)
from tests.support.hub import ANNA, Hub
from tests.support.people import entries
from webhooks.models import Event, Payload, State


def decide(
    delivery: Delivery,
    decision: MatchDecision,
    *,
    record_id: str = "",
    reason: str = "  asked  them ",
    key: UUID | None = None,
) -> None:
    user, _ = User.objects.get_or_create(username="boss")
    decide_match(
        delivery,
        decision,
        by=user,
        reason=reason,
        key=key or uuid4(),
        record_id=record_id,
        address="192.0.2.9",
    )


def states() -> set[str]:
    return set(Delivery.objects.filter(entity_id=HELD_USER).values_list("state", flat=True))


def test_the_record_that_a_person_links_is_changed_and_stays_linked(hub: Hub) -> None:
    delivery, record = hold_match(hub), stranger_record(hub)
    decide(delivery, MatchDecision.BIND, record_id=record)
    hub.wait_until_idle()
    assert str(hub.customer(HELD_USER)["id"]) == record  # type: ignore[index]
    assert Link.objects.get(entity_id=HELD_USER).record_id == record
    assert states() == {State.SUCCEEDED}
    [request] = PersonRequest.objects.all()
    assert (request.reason, request.kind, request.deliveries) == ("asked them", "approval", 1)
    assert Attempt.objects.latest("pk").person_request == request
    (entry,) = entries("delivery.record-linked")
    assert (entry["stream"], entry["actor"]) == (delivery.stream, f"person:{request.requested_by_id}")
    assert entry["details"] == {"person_request": str(request.uuid), "of": 1, "address": "192.0.2.9"}
    hub.change_email("mallory@example.com", HELD_USER)
    assert hub.post_signed({"id": HELD_USER, "entityType": "USER", "eventType": "UPDATE"}).status_code == 200
    assert str(hub.customer(HELD_USER)["id"]) == record  # type: ignore[index]


@pytest.mark.submission
def test_the_record_that_a_person_creates_leaves_the_others_unchanged(hub: Hub) -> None:
    Route.objects.update(without_match=Route.NoMatchPolicy.REFUSE)
    delivery, before = hold_match(hub), hub.shop.list_records("customers")
    emails = [{"address": "own@example.com", "verified": False}]
    hub.identity.directory.update_record("users", HELD_USER, {"emails": emails}, replaces=False)
    decide(delivery, MatchDecision.CREATE)
    hub.wait_until_idle()
    assert states() == {State.SUCCEEDED}
    assert hub.customer(HELD_USER) is not None
    assert hub.shop.list_records("customers")[: len(before)] == before
    assert len(entries("delivery.record-approved")) == 1


@pytest.mark.submission
def test_a_new_record_with_a_value_that_must_be_unique_is_the_targets_refusal(hub: Hub) -> None:
    delivery, before = hold_match(hub), hub.shop.list_records("customers")
    decide(delivery, MatchDecision.CREATE)
    hub.wait_until_idle()
    delivery.refresh_from_db()
    assert (delivery.state, delivery.code) == (State.DEAD, "target-rejected")
    assert hub.shop.list_records("customers") == before
    user = User.objects.get(username="boss")
    request_replay([Event.objects.get(pk=delivery.event_id)], by=user, reason="once more")
    hub.wait_until_idle()
    assert states() == {State.HELD}, "the decision was for one time"


def test_a_rejected_change_is_never_sent(hub: Hub) -> None:
    delivery = hold_match(hub)
    with pytest.raises(DecisionRefused, match="Enter a reason"):
        decide(delivery, MatchDecision.REFUSE, reason="   ")
    decide(delivery, MatchDecision.REFUSE)
    hub.wait_until_idle()
    assert (states(), hub.writes()) == ({State.CLOSED}, [])
    assert Event.objects.get(pk=delivery.event_id).state == State.CLOSED
    assert not Link.objects.filter(entity_id=HELD_USER).exists()
    assert len(entries("delivery.closed")) == 1


@pytest.mark.submission
@pytest.mark.parametrize("decision", [MatchDecision.BIND, MatchDecision.REFUSE])
def test_one_decision_is_for_all_deliveries_of_the_subject(hub: Hub, decision: MatchDecision) -> None:
    first = hold_match(hub)
    second, other = hold_again(hub), hold_match(hub, "MALLORY2")
    decide(second, decision, record_id=stranger_record(hub) if decision is MatchDecision.BIND else "")
    hub.wait_until_idle()
    first.refresh_from_db()
    assert first.state != State.HELD
    assert State.HELD not in states()
    other.refresh_from_db()
    assert other.state == State.HELD, "of another subject"


def link_meanwhile(hub: Hub, record: str) -> Link:
    hub.post_signed({"id": ANNA, "entityType": "USER", "eventType": "UPDATE"})
    own = Link.objects.get(entity_id=ANNA)
    own.pk, own.entity_id, own.record_id = None, "OWNER1", record
    own.save(force_insert=True)
    return own


@pytest.mark.submission
def test_a_record_that_was_linked_to_another_subject_meanwhile_is_refused(hub: Hub) -> None:
    delivery, record = hold_match(hub), stranger_record(hub)
    link_meanwhile(hub, record)
    writes = len(hub.writes())
    with pytest.raises(DecisionRefused, match="now linked to another entity"):
        decide(delivery, MatchDecision.BIND, record_id=record)
    assert (states(), len(hub.writes()), PersonRequest.objects.count()) == ({State.HELD}, writes, 0)


def test_a_record_that_was_not_found_cannot_be_linked(hub: Hub) -> None:
    delivery = hold_match(hub)
    with pytest.raises(DecisionRefused, match="not found for the entity"):
        decide(delivery, MatchDecision.BIND, record_id=str(hub.customer()["id"]))  # type: ignore[index]
    Payload.objects.filter(kind=Payload.Kind.FINDINGS).delete()
    assert load_match(delivery).candidates == ()
    with pytest.raises(DecisionRefused, match="not found for the entity"):
        decide(delivery, MatchDecision.BIND, record_id=stranger_record(hub))


def test_a_decision_is_carried_out_once(hub: Hub) -> None:
    delivery, key = hold_match(hub), uuid4()
    decide(delivery, MatchDecision.BIND, record_id=stranger_record(hub), key=key)
    with pytest.raises(AlreadyDecided):
        decide(delivery, MatchDecision.BIND, record_id=stranger_record(hub), key=key)
    with pytest.raises(DecisionRefused, match="no longer held"):
        decide(delivery, MatchDecision.CREATE)
    hub.wait_until_idle()
    assert PersonRequest.objects.count() == 1


def test_an_approval_of_a_mass_change_decides_about_no_record(hub: Hub) -> None:
    delivery = hold_match(hub)
    user = User.objects.create(username="boss")
    with pytest.raises(DecisionRefused):
        decide_held([delivery.pk], HeldDecision.APPROVE, by=user, reason="all", key=uuid4())
    decide_held([delivery.pk], HeldDecision.CLOSE, by=user, reason="all", key=uuid4())
    assert states() == {State.CLOSED}


@pytest.mark.submission
def test_of_a_deleted_person_a_record_can_be_linked_but_none_created(hub: Hub) -> None:
    body: dict[str, Any] = {"id": HELD_USER, "entityType": "USER", "eventType": "DELETE"}
    assert hub.post_signed({**body, "previous": {"email": STRANGER_EMAIL}}).status_code == 202
    delivery, record = Delivery.objects.get(entity_id=HELD_USER), stranger_record(hub)
    match = load_match(delivery)
    assert (match.mapped_fields, [candidate.record_id for candidate in match.candidates]) == ({}, [record])
    with pytest.raises(DecisionRefused, match="The entity was deleted"):
        decide(delivery, MatchDecision.CREATE)
    decide(delivery, MatchDecision.BIND, record_id=record)
    hub.wait_until_idle()
    [customer] = [r for r in hub.shop.list_records("customers") if str(r["id"]) == record]
    assert customer["active"] is False


@pytest.mark.submission
def test_a_newer_event_does_not_undo_the_decision_to_create(
    hub: Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A later event may run before the delivery that was released."""
    delivery = hold_match(hub)
    monkeypatch.setattr(match_decisions, "defer_to_workers", lambda _: None)
    decide(delivery, MatchDecision.CREATE)
    answer = hub.post_signed({"id": HELD_USER, "entityType": "USER", "eventType": "UPDATE"})
    assert answer.status_code == 422, "the shop allows an address once"
    hub.wait_until_idle()
    assert states() == {State.DEAD}
