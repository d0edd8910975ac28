"""Requests in a sender's own format: stored, delivered and answered as any other webhook."""

import json

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from audit.models import Entry
from exports.row_checks.nightly_rows import find_row_faults
from tests.support.builders.event_batches import (
    FORMAT,
    add_token,
    body_of,
    documents,
    event,
    post,
    post_body,
    set_format,
)
from tests.support.hub import ANNA, Hub
from webhooks.batch_events import events_of_batch
from webhooks.models import Event, Receipt


@pytest.fixture
def formatted(hub: Hub) -> Hub:
    add_token()
    set_format(FORMAT)
    return hub


def test_one_event_is_delivered_and_answered_as_any_webhook(formatted: Hub) -> None:
    formatted.change_email("format@example.org")
    answer = post(formatted, event(ANNA, password="in-clear"))
    assert answer.status_code == 200, answer.content
    customer = formatted.customer()
    assert customer is not None
    assert customer["email"] == "format@example.org"
    stored = Event.objects.get()
    assert (stored.entity_id, stored.entity_type, stored.event_type) == (ANNA, "USER", "UPDATE")
    assert "in-clear" not in json.dumps(documents())
    assert documents()[0]["event"] == event(ANNA)
    assert Receipt.objects.get().event_id == stored.pk


def test_an_event_may_be_as_large_as_the_format_allows(formatted: Hub) -> None:
    set_format(FORMAT | {"max_bytes": 1_048_576})
    large = event(ANNA, note="x" * 1_000_000)
    assert post(formatted, large).status_code == 200
    assert large in [document["event"] for document in documents()]
    assert post(formatted, event(ANNA), content_type="application/json").status_code == 415


@pytest.mark.submission
@pytest.mark.parametrize("has_fields", [True, False])
def test_event_types_are_mapped_once(formatted: Hub, has_fields: bool) -> None:
    """A sender may delete softly by `delete`: its `purge` must not become that, and no unknown word a deletion."""
    words = {"event_types": {"delete": "UPDATE", "purge": "DELETE", "user_gone": "DELETE"}}
    set_format((FORMAT if has_fields else {"content_types": FORMAT["content_types"]}) | words)
    sent = ["purge", "delete", "USER_GONE", "Create"] + ["user gone"] * has_fields
    for word in sent:
        body = {"id": "NOBODY", "entityType": "DEVICE", "eventType": word}
        post_body(formatted, body_of(event("NOBODY", kind=word)) if has_fields else json.dumps(body).encode())
    stored = list(Event.objects.order_by("pk").values_list("event_type", flat=True))
    assert stored == ["DELETE", "UPDATE", "DELETE", "CREATE"] + ["USER_GONE"] * has_fields


@pytest.mark.submission
def test_the_log_says_why_an_event_is_ignored(formatted: Hub) -> None:
    post(formatted, event(ANNA, ok=False, uid="1"), event(ANNA, kind="viewed", uid="2"))
    assert list(Event.objects.order_by("pk").values_list("code", flat=True)) == ["filtered", "ignored"]
    assert formatted.shop.read_journal() == []
    assert list(find_row_faults()) == []
    for wrong in ("ignored", "filtered"):
        Event.objects.update(code=wrong)
        assert len(list(find_row_faults())) == 1


def test_a_request_without_a_wanted_event_is_stored_and_accepted(formatted: Hub) -> None:
    for events in ([], [{"ok": False}]):
        answer = post(formatted, *events)
        assert (answer.status_code, answer.json()["code"]) == (200, "filtered")
    assert not Event.objects.exists()
    assert list(Receipt.objects.values_list("status", "code")) == [(200, "filtered")] * 2
    assert list(find_row_faults()) == []


def test_an_event_that_cannot_be_read_names_the_entry_and_keeps_the_body(formatted: Hub) -> None:
    answer = post(formatted, event("../etc", password="in-clear"))
    assert answer.status_code == 400
    assert answer.json()["errors"] == [{"entry": "id", "code": "wrong-id"}]
    payload = Receipt.objects.select_related("payload").get().payload
    assert payload is not None
    assert b"../etc" in payload.decrypt()
    assert b"in-clear" not in payload.decrypt()


@pytest.mark.submission
def test_a_batch_is_one_receipt_and_one_event_for_each(formatted: Hub) -> None:
    formatted.change_email("batch@example.org")
    answer = post(
        formatted,
        event(ANNA, uid="1", password="in-clear"),
        event("SECOND1", uid="2"),
        event(ANNA, uid="1", password="in-clear"),
        event("not an id"),
        event("THIRD", ok=False),
    )
    assert answer.status_code == 202, answer.content
    document = answer.json()
    assert [result["status"] for result in document["results"]] == [
        *("accepted", "accepted", "accepted", "refused", "ignored")
    ]
    # The same event id twice is one event.
    assert document["results"][0]["reference"] == document["results"][2]["reference"]
    assert [row.reference for row in Event.objects.order_by("pk")] == [
        *(document["results"][index]["reference"] for index in (0, 1, 4))
    ]
    receipt = Receipt.objects.select_related("payload", "answer").get()
    assert receipt.own_reference == document["reference"]
    assert {row.batch_id for row in Event.objects.all()} == {receipt.pk}
    assert receipt.answer is not None
    assert receipt.answer.decrypt() == answer.content
    assert receipt.payload is not None
    assert json.loads(receipt.payload.decrypt()) == [
        {"position": 3, "code": "wrong-id", "event": event("not an id")}
    ]
    formatted.wait_until_idle()
    assert "in-clear" not in json.dumps(documents())
    assert Entry.objects.filter(action="webhook.batch").count() == 1


@pytest.mark.submission
def test_a_batch_that_wants_the_outcome_waits_for_all(formatted: Hub) -> None:
    set_format(FORMAT | {"batch_response": "result"})
    formatted.change_email("waits@example.org")
    answer = post(formatted, event(ANNA, uid="1"), event(ANNA, uid="2"))
    assert answer.status_code == 200, answer.content
    assert {result["status"] for result in answer.json()["results"]} <= {"succeeded", "unchanged"}
    customer = formatted.customer()
    assert customer is not None
    assert customer["email"] == "waits@example.org"
    # The worst failure decides the status.
    answer = post(formatted, event(ANNA, uid="3"), event("NOBODY", uid="4"))
    assert (answer.status_code, answer["Content-Type"]) == (424, "application/problem+json")
    assert answer.json()["results"][0]["status"] == "unchanged"


def test_a_stored_format_that_is_not_valid_any_more_refuses_without_an_error(formatted: Hub) -> None:
    set_format({"id": "no_such_function(body)"})
    answer = post(formatted, event(ANNA))
    assert (answer.status_code, answer.json()["code"]) == (400, "format-error")
    assert not Event.objects.exists()


@pytest.mark.submission
def test_100_events_are_stored_in_one_commit(formatted: Hub) -> None:
    events = [event(f"U{number}", uid=str(number)) for number in range(100)]
    with CaptureQueriesContext(connection) as captured:
        answer = post(formatted, *events)
    # Routes are cached, but not in tests.
    statements = [
        query["sql"] for query in captured.captured_queries if "FROM sync_route" not in query["sql"]
    ]
    assert len(statements) < 25
    assert answer.status_code == 202
    assert len(answer.json()["results"]) == len({row["reference"] for row in answer.json()["results"]}) == 100
    assert Event.objects.count() == 100
    assert len(answer.content) < 8_192


@pytest.mark.submission
def test_a_request_names_the_events_that_it_repeated(formatted: Hub) -> None:
    post(formatted, event("SECOND1", uid="2"), event(ANNA, uid="1"))
    post(formatted, event(ANNA, uid="1"), event("THIRD", uid="3"), event("SECOND1", uid="2"))
    receipt = Receipt.objects.latest("pk")
    # Without the entry, which retention deletes earlier or later than the request, the new event is left.
    with_entry = events_of_batch(receipt)
    assert [one.event.event_id for one in with_entry] == ["1", "3", "2"]
    receipt.answered_at = None
    assert [one.is_repeat for one in with_entry] == [True, False, True]
    assert [one.is_repeat for one in events_of_batch(receipt)] == [False]
    formatted.wait_until_idle()


def test_a_default_webhook_with_a_word_map_keeps_its_fields(hub: Hub) -> None:
    set_format({"entity_types": {"person": "USER"}, "event_types": {"modified": "UPDATE"}})
    body = {"id": ANNA, "entityType": "person", "eventType": "modified", "respond": "ack"}
    assert hub.post(body).status_code == 202
    assert (Event.objects.get().entity_type, Event.objects.get().event_type) == ("USER", "UPDATE")
    assert hub.post(body | {"entityType": "thing"}).json()["status"] == "ignored"
