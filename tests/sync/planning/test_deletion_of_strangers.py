"""A deletion never reaches a linked record that may be another person's: it is held until a person decides."""

from typing import Any

import pytest

from config_schema.codes.reference import new_uuid
from sync.execution.executor import run_due_deliveries
from sync.models import Attempt, Delivery, Finding, Link, Route
from sync.operations.held_deliveries import HeldDecision, decide_held
from tests.support.builders.bulk_replays import staff_user
from tests.support.hub import ANNA, Hub
from webhooks.models import State

OWNER_HELD = "held-external-id"
STRANGER = {"external_id": "stranger", "email": "stranger@example.com"}
DELETION_POLICIES = (Route.DeletionPolicy.DELETE, Route.DeletionPolicy.DEACTIVATE)


def post_event(hub: Hub, event_type: str = "UPDATE", **more: Any) -> Any:
    """Post a signed webhook about Anna. Returns status and document of the answer."""
    answer = hub.post_signed({"id": ANNA, "entityType": "USER", "eventType": event_type, **more})
    return answer.status_code, answer.json()


def read_record(hub: Hub, record_id: str) -> dict[str, Any] | None:
    records = hub.shop.list_records("customers")
    return next((record for record in records if str(record["id"]) == record_id), None)


def link_stranger(hub: Hub, when_deleted: str = Route.DeletionPolicy.DELETE) -> str:
    """Link Anna's record, which has never shown her id, then let it be that of a person whom the hub does not know.
    Returns the record's id.
    """
    Route.objects.update(when_deleted=when_deleted)
    assert post_event(hub)[0] == 200
    Link.objects.update(external_id_field="")
    record_id = Link.objects.get(entity_id=ANNA).record_id
    hub.shop.catalogue.update_record("customers", record_id, dict(STRANGER), replaces=False)
    return record_id


def delete_entity(hub: Hub) -> Any:
    """Delete Anna in the identity service and report it. Returns status and document of the answer."""
    hub.identity.directory.delete_record("users", ANNA)
    return post_event(hub, "DELETE")


def result_code(document: dict[str, Any]) -> str:
    """Return the code of the only delivery in an answer."""
    [result] = document["results"]
    assert result["status"] == "held"
    return str(result.get("code", result["status"]))


def hold_deletion(hub: Hub, when_deleted: str) -> tuple[str, Delivery]:
    """Let Anna's deletion be held because of a stranger's record. Returns the record's id and the delivery."""
    record_id = link_stranger(hub, when_deleted)
    assert delete_entity(hub)[0] == 202
    return record_id, Delivery.objects.get(state=State.HELD)


def decide(hub: Hub, delivery: Delivery, decision: HeldDecision) -> Delivery:
    """Decide a held delivery and run what is due. Returns the delivery as it is then."""
    decide_held([delivery.pk], decision, by=staff_user(), reason="I asked her.", key=new_uuid())
    run_due_deliveries()
    hub.wait_until_quiet()
    delivery.refresh_from_db()
    return delivery


def is_removed(hub: Hub, record_id: str) -> bool:
    """Return True if the record is deleted or deactivated."""
    record = read_record(hub, record_id)
    return record is None or not record["active"]


@pytest.mark.promise("I24", "I26")
@pytest.mark.parametrize("when_deleted", DELETION_POLICIES)
def test_the_record_of_an_unknown_entity_is_held_and_not_changed(hub: Hub, when_deleted: str) -> None:
    record_id = link_stranger(hub, when_deleted)
    before, writes = read_record(hub, record_id), len(hub.writes())
    status, document = delete_entity(hub)
    assert (status, result_code(document)) == (202, OWNER_HELD)
    assert "stranger" not in str(document)
    assert (read_record(hub, record_id), len(hub.writes())) == (before, writes)
    assert before is not None
    assert before["external_id"] == "stranger"
    # The attempt says what the record has and what was planned.
    attempt = Attempt.objects.get(delivery__state=State.HELD)
    is_deletion = when_deleted == Route.DeletionPolicy.DELETE
    assert (attempt.code, attempt.record_id) == (OWNER_HELD, record_id)
    assert attempt.action == ("deleted" if is_deletion else "updated")
    answer, change = attempt.stored_finding(Finding.ANSWER), attempt.stored_finding(Finding.CHANGE)
    assert answer is not None
    assert change is not None
    [error] = answer["errors"]
    assert (error["field"], error["code"]) == ("external_id", "unknown-external-id")
    values = {field["name"]: field["before"] for field in change["fields"]} | change["same"]
    assert values["external_id"] == "stranger"
    assert ("external_id" in change["same"]) is not is_deletion


@pytest.mark.submission
def test_an_approved_deletion_is_carried_out(hub: Hub) -> None:
    record_id, delivery = hold_deletion(hub, Route.DeletionPolicy.DEACTIVATE)
    delivery = decide(hub, delivery, HeldDecision.APPROVE)
    assert delivery.state == State.SUCCEEDED
    assert is_removed(hub, record_id)


def test_an_approval_covers_only_the_record_that_it_was_given_for(hub: Hub) -> None:
    record_id, delivery = hold_deletion(hub, Route.DeletionPolicy.DELETE)
    other = str(
        hub.shop.catalogue.create_record("customers", {**STRANGER, "email": "else@example.com"})["id"]
    )
    Link.objects.filter(entity_id=ANNA).update(record_id=other)
    delivery = decide(hub, delivery, HeldDecision.APPROVE)
    assert (delivery.state, delivery.code) == (State.HELD, OWNER_HELD)
    assert not is_removed(hub, record_id)
    assert not is_removed(hub, other)
    assert decide(hub, delivery, HeldDecision.APPROVE).state == State.SUCCEEDED
    assert is_removed(hub, other)


def test_an_approval_of_the_guard_does_not_cover_a_stranger(hub: Hub) -> None:
    assert post_event(hub)[0] == 200
    Route.objects.update(max_removals=0)
    assert result_code(delete_entity(hub)[1]) == "held"
    record_id = Link.objects.get(entity_id=ANNA).record_id
    Link.objects.update(external_id_field="")
    hub.shop.catalogue.update_record("customers", record_id, dict(STRANGER), replaces=False)
    delivery = decide(hub, Delivery.objects.get(state=State.HELD), HeldDecision.APPROVE)
    assert (delivery.state, delivery.code) == (State.HELD, OWNER_HELD)
    assert not is_removed(hub, record_id)


def test_a_relayed_deletion_is_held(hub: Hub) -> None:
    record_id = link_stranger(hub)
    Route.objects.update(relays=True)
    assert result_code(post_event(hub, "DELETE")[1]) == OWNER_HELD
    assert not is_removed(hub, record_id)


def test_a_record_that_is_inactive_already_needs_no_decision(hub: Hub) -> None:
    record_id = link_stranger(hub, Route.DeletionPolicy.DEACTIVATE)
    hub.shop.catalogue.update_record("customers", record_id, {"active": False}, replaces=False)
    status, document = delete_entity(hub)
    assert (status, document["status"]) == (200, "unchanged")


def test_an_external_id_that_is_corrected_in_the_target_needs_no_decision(hub: Hub) -> None:
    record_id = link_stranger(hub)
    hub.shop.catalogue.update_record("customers", record_id, {"external_id": ANNA.lower()}, replaces=False)
    assert delete_entity(hub)[0] == 200
    assert is_removed(hub, record_id)
