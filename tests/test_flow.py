"""The product in short: a person presses Save, the shop is updated, the source gets the real outcome."""

import json

import pytest

from sync.models import Attempt, Call, Connection
from tests.support.hub import ANNA, EXAMPLE, Hub
from webhooks.models import Event, Receipt, Source, State

pytestmark = pytest.mark.flow


def test_the_example_changes_the_customer_and_is_answered_with_the_outcome(hub: Hub) -> None:
    address = hub.change_email("anna.new@example.com")
    answer = hub.post(EXAMPLE)
    assert (answer.status_code, answer.json()["status"]) == (200, "succeeded")
    assert hub.customer()["email"] == address
    assert [write["method"] for write in hub.writes()] == ["PATCH"]
    assert answer.json()["results"] == [{"connection": "shop", "status": "succeeded", "action": "updated"}]
    # With nothing left to change, nothing is sent.
    assert hub.post(EXAMPLE).json()["status"] == "unchanged"
    assert len(hub.writes()) == 1


@pytest.mark.promise("I8")
def test_the_same_webhook_again_gets_the_same_bytes_and_does_no_work(hub: Hub) -> None:
    hub.change_email("anna.same@example.com")
    first = hub.post_signed(EXAMPLE, "msg_same")
    request_count = len(hub.shop.read_journal())
    again = hub.post_signed(EXAMPLE, "msg_same")
    assert (again.status_code, again.content) == (first.status_code, first.content)
    assert again["Webhook-Replayed"] == "true"
    assert "Webhook-Replayed" not in first
    assert len(hub.shop.read_journal()) == request_count
    assert Receipt.objects.count() == 2
    assert Event.objects.count() == 1


def test_a_refusal_of_the_shop_reaches_the_person(hub: Hub) -> None:
    hub.change_email("taken@example.com")
    answer = hub.post_signed(EXAMPLE)
    problem = answer.json()
    assert (answer.status_code, problem["code"]) == (422, "target-rejected")
    assert answer["Content-Type"] == "application/problem+json"
    assert problem["detail"]
    assert problem["errors"][0]["pointer"] == "/data/email"
    assert problem["errors"][0]["code"] == "duplicate"
    assert problem["retrying"] is False
    assert hub.client.get(problem["type"]).status_code == 200


@pytest.mark.promise("T21")
def test_an_unsigned_source_never_gets_messages_of_other_systems(hub: Hub) -> None:
    hub.change_email("taken@example.com")
    problem = hub.post(EXAMPLE).json()
    assert problem["code"] == "target-rejected"
    assert "already belongs" not in json.dumps(problem)
    assert "errors" not in problem


def test_the_entity_is_given_to_a_signed_source_and_to_no_other(hub: Hub) -> None:
    body = json.loads(EXAMPLE) | {"respond": "entity"}
    packet = hub.post_signed(body).json()["entity"]
    assert packet["id"] == ANNA
    assert hub.post_signed(EXAMPLE).json()["results"][0]["id"] == str(hub.customer()["id"])
    answer = hub.post(body)
    assert (answer.status_code, answer.json()["code"]) == (403, "not-allowed")
    only = hub.post_signed(json.loads(EXAMPLE) | {"respond": {"mode": "entity", "fields": ["id"]}}).json()
    assert only["entity"] == {"id": ANNA}


@pytest.mark.submission
def test_a_repeat_after_the_delivery_is_answered_with_the_stored_entity(hub: Hub) -> None:
    address = hub.change_email("anna.repeat@example.com")
    hub.shop.faults.add("slow", seconds=1.0)
    body = json.loads(EXAMPLE) | {"respond": {"mode": "entity", "wait": 1}}
    assert hub.post_signed(body, "msg_entity").status_code == 202
    hub.wait_until_idle()
    repeated = hub.post_signed(body, "msg_entity")
    assert (repeated.status_code, repeated.json()["status"]) == (200, "succeeded")
    assert address in json.dumps(repeated.json()["entity"])


def test_a_source_configured_to_respond_gives_the_outcome_to_a_sender_that_did_not_ask(hub: Hub) -> None:
    unsigned = Source.objects.filter(slug="aurora-unsigned")
    for fixed in (False, True):
        unsigned.update(default_mode="entity", mode_is_fixed=fixed, entity_fields=["*"])
        answer = hub.post(EXAMPLE)
        assert (answer.status_code, "entity" in answer.json()) == (200, False)


def test_an_acknowledgement_comes_at_once_and_its_url_gives_the_outcome(hub: Hub) -> None:
    address = hub.change_email("anna.ack@example.com")
    answer = hub.post_signed(json.loads(EXAMPLE) | {"respond": "ack"})
    assert (answer.status_code, answer.json()["status"]) == (202, "accepted")
    hub.wait_until_idle()
    assert hub.customer()["email"] == address
    later = hub.client.get(answer["Location"])
    assert (later.status_code, later.json()["status"]) == (200, "succeeded")
    assert hub.client.get(answer["Location"][:-2] + "xx").status_code == 404


@pytest.mark.submission
def test_a_shop_slower_than_the_wait_gives_202_and_the_update_still_happens(hub: Hub) -> None:
    address = hub.change_email("anna.slow@example.com")
    hub.shop.faults.add("slow", seconds=1.0)
    answer = hub.post_signed(json.loads(EXAMPLE) | {"respond": {"mode": "result", "wait": 1}})
    assert answer.status_code == 202
    hub.wait_until_idle()
    assert hub.customer()["email"] == address


def test_a_shop_that_is_down_is_reported_and_retried(hub: Hub) -> None:
    address = hub.change_email("anna.later@example.com")
    hub.shop.faults.add("error", status=503)
    answer = hub.post_signed(EXAMPLE, "msg_down")
    assert (answer.status_code, answer.json()["code"], answer.json()["retrying"]) == (
        424,
        "target-unavailable",
        True,
    )
    assert Event.objects.get().state == State.RETRYING
    hub.shop.faults.clear()
    again = hub.post_signed(EXAMPLE, "msg_down")
    assert (again.status_code, again.json()["status"]) == (200, "succeeded")
    assert hub.customer()["email"] == address
    assert list(Attempt.objects.order_by("pk").values_list("outcome", "cause")) == [
        ("failed", "webhook"),
        ("succeeded", "retry"),
    ]


def test_a_disabled_connection_is_reported_and_nothing_is_sent(hub: Hub) -> None:
    address = hub.change_email("anna.off@example.com")
    Connection.objects.filter(slug="shop").update(is_enabled=False)
    answer = hub.post_signed(EXAMPLE, "msg_off")
    assert (answer.status_code, answer.json()["code"]) == (424, "connection-disabled")
    assert hub.shop.read_journal() == hub.identity.read_journal() == []
    Connection.objects.filter(slug="shop").update(is_enabled=True)
    assert hub.post_signed(EXAMPLE, "msg_off").json()["status"] == "succeeded"
    assert hub.customer()["email"] == address


@pytest.mark.promise("I23")
def test_the_stored_answer_is_the_one_that_was_sent(hub: Hub) -> None:
    answers = [hub.post_signed(EXAMPLE), hub.post_signed(b"{"), hub.post(EXAMPLE)]
    receipts = list(Receipt.objects.order_by("pk"))
    assert [(receipt.status, receipt.answer.decrypt()) for receipt in receipts] == [
        (answer.status_code, answer.content) for answer in answers
    ]


@pytest.mark.promise("I3", "T16")
def test_every_request_of_an_attempt_has_its_row(hub: Hub) -> None:
    hub.change_email("anna.rows@example.com")
    hub.post(EXAMPLE)
    attempt = Attempt.objects.get()
    sent = [(request["method"], request["attempt"]) for request in hub.shop.read_journal()]
    assert {key for _, key in sent} == {str(attempt.key)}
    rows = list(Call.objects.filter(connection__slug="shop").order_by("pk").values_list("method", flat=True))
    assert sorted(rows) == sorted(method for method, _ in sent)
    write = Call.objects.get(is_write=True)
    assert write.key == hub.writes()[0]["key"]
    assert write.key.startswith(str(attempt.key))


def test_a_deleted_user_is_deactivated_and_a_deleted_group_is_deleted(hub: Hub) -> None:
    hub.identity.directory.delete_record("users", ANNA)
    hub.identity.directory.delete_record("groups", "GROUPREGULARS")
    user = {"id": ANNA, "entityType": "USER", "eventType": "DELETE"}
    assert hub.post(user).json()["results"][0]["action"] == "updated"
    assert hub.customer()["active"] is False
    group = {"id": "GROUPREGULARS", "entityType": "GROUP", "eventType": "DELETE"}
    assert hub.post(group).json()["results"][0]["action"] == "deleted"
    assert "Regulars" not in [record["name"] for record in hub.shop.list_records("segments")]


def test_a_new_user_who_is_not_visible_yet_is_fetched_again_briefly(hub: Hub) -> None:
    hub.identity.directory.create_record(
        "users",
        {
            "id": "NEW1",
            "username": "new.one",
            "emails": [{"address": "new.one@example.com", "verified": True}],
        },
    )
    hub.identity.faults.add("error", status=404, times=1, path="/api/users/NEW1")
    answer = hub.post({"id": "NEW1", "entityType": "USER", "eventType": "CREATE"})
    assert answer.json()["results"][0]["action"] == "created"
    assert hub.customer("NEW1")["email"] == "new.one@example.com"
