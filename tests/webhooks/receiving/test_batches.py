"""Requests with several events: which of them are stored, repeated, refused or left out."""

import hashlib
import json
from datetime import timedelta
from typing import Any

import pytest
from django.conf import settings
from django.db import DatabaseError, connection, transaction
from django.http import HttpResponse
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from audit.models import Entry
from config_schema.codes.codes import CATALOGUE, RETRYABLE_CODES
from config_schema.codes.outcome import EventOutcome
from console.requests.list_query import RequestFilter, fetch_requests
from console.requests.results import RequestResult, request_result
from console.ui.keyset import PageRequest
from exports.row_checks.nightly_rows import find_row_faults
from sync.housekeeping.batch_deletion import delete_events, prune_unusable_requests
from sync.housekeeping.unusable_bodies import erase_unusable_bodies
from sync.models import Delivery, Route
from sync.operations.pauses import pause_flow
from tests.support.audit.chain_faults import find_chain_faults
from tests.support.builders.event_batches import (
    FORMAT,
    add_token,
    body_of,
    event,
    post,
    post_body,
    set_format,
)
from tests.support.hub import ANNA, Hub
from webhooks.models import Event, Payload, Receipt, Source, State, SubjectKey
from webhooks.models.subject_key_store import pseudonym
from webhooks.protocol.formats.event_reader import UnreadableEvent, encode_unreadable_events
from webhooks.protocol.formats.webhook_format import DEFAULT_MAX_EVENTS, MAX_EVENTS
from webhooks.receiving import outcome_links
from webhooks.receiving.answers import MAX_DOCUMENT_BYTES, BatchResult, batch_answer
from webhooks.receiving.source_cache import find_source

JSON_FORMAT = {name: value for name, value in FORMAT.items() if name not in ("content_types", "event_id")}


@pytest.fixture
def formatted(hub: Hub) -> Hub:
    add_token()
    set_format(FORMAT)
    return hub


@pytest.fixture
def numbered(hub: Hub) -> Hub:
    """A hub whose signed source has events without ids of their own."""
    set_format(JSON_FORMAT, "aurora")
    return hub


def results(answer: HttpResponse) -> list[tuple[str, str]]:
    return [(result["status"], result.get("code", "")) for result in answer.json()["results"]]


def stored_unreadable_events(receipt: Receipt) -> list[dict[str, Any]]:
    assert receipt.payload is not None
    found: list[dict[str, Any]] = json.loads(receipt.payload.decrypt())
    return found


CONFLICT = ("refused", "event-id-conflict")
ACCEPTED = ("accepted", "")


@pytest.mark.promise("I7")
def test_one_id_twice_in_a_batch_with_other_contents_is_a_conflict(formatted: Hub) -> None:
    answer = post(formatted, event(ANNA, uid="1"), event(ANNA, uid="1"), event("TWO", uid="1"))
    assert results(answer) == [ACCEPTED, ACCEPTED, CONFLICT]
    assert [row.entity_id for row in Event.objects.all()] == [ANNA]
    # What was refused is not lost: it is stored with the request.
    receipt = Receipt.objects.select_related("payload").get()
    refused = {"position": 2, "code": "event-id-conflict", "id": "TWO", "event": event("TWO", uid="1")}
    assert stored_unreadable_events(receipt) == [refused]
    formatted.wait_until_idle()
    assert list(find_row_faults()) == []


@pytest.mark.submission
def test_an_event_of_another_entity_is_no_repeat_even_if_its_part_of_the_request_is_the_same(
    numbered: Hub,
) -> None:
    """Security event tokens name the subject beside their events, and Directus the collection beside its keys."""
    set_format(JSON_FORMAT | {"id": "body.user"}, "aurora")

    def send(user: str, number: int) -> HttpResponse:
        body = json.dumps({"user": user, "events": [{"kind": "changed", "ok": True}] * number}).encode()
        return numbered.post_signed(body, f"msg_{number}")

    for number in (1, 2):
        assert send(ANNA, number).status_code < 300
        other = send("OTHER", number)
        assert (other.status_code, other.json()["code"]) == (409, "event-id-conflict")
        assert send(ANNA, number).status_code < 300
    assert set(Event.objects.values_list("entity_id", flat=True)) == {ANNA}
    numbered.wait_until_idle()
    assert list(find_row_faults()) == []


@pytest.mark.submission
def test_an_erasure_finds_a_conflict_by_an_id_that_an_expression_made(formatted: Hub) -> None:
    set_format({**FORMAT, "id": "join('-', ['staff', event.user])"})
    post(formatted, event(ANNA, uid="1"), event("TWO", uid="2"))
    post(formatted, event("OTHER", uid="1"), event("TWO", uid="2"))
    assert erase_unusable_bodies("staff-OTHER", "") == 1
    assert Receipt.objects.latest("pk").payload is None


@pytest.mark.submission
def test_a_batch_of_conflicts_alone_is_answered_with_the_conflict(formatted: Hub) -> None:
    post(formatted, event(ANNA, uid="1"), event("TWO", uid="2"))
    answer = post(formatted, event("A", uid="1"), event("B", uid="2"))
    assert (answer.status_code, answer.json()["code"]) == (409, "event-id-conflict")
    assert results(answer) == [CONFLICT, CONFLICT]
    receipt = Receipt.objects.latest("pk")
    assert request_result(receipt) is RequestResult.UNUSABLE
    unusable, batches_alone = (
        fetch_requests(RequestFilter(results=(result,)), PageRequest()).rows
        for result in (RequestResult.UNUSABLE, RequestResult.ACCEPTED)
    )
    assert (unusable, receipt in batches_alone) == ([receipt], False)
    assert [stored["event"]["user"] for stored in stored_unreadable_events(receipt)] == ["A", "B"]
    assert Entry.objects.filter(action="webhook.unusable").count() == 1
    formatted.wait_until_idle()
    assert list(find_row_faults()) == []


@pytest.mark.submission
def test_an_event_sent_alone_is_a_repeat_among_others(numbered: Hub) -> None:
    set_format({**JSON_FORMAT, "event_id": FORMAT["event_id"]}, "aurora")
    alone = numbered.post_signed(body_of(event(ANNA, uid="1")), "msg_1")
    grouped = numbered.post_signed(body_of(event("TWO", uid="2"), event(ANNA, uid="1")), "msg_2")
    assert results(grouped) == [ACCEPTED, ACCEPTED]
    assert grouped.json()["results"][1]["reference"] == alone.json()["reference"]
    again = numbered.post_signed(body_of(event("TWO", uid="2")), "msg_3")
    assert again.json()["reference"] == grouped.json()["results"][0]["reference"]
    other = numbered.post_signed(body_of(event("THREE", uid="2")), "msg_4")
    assert (other.status_code, other.json()["code"]) == (409, "event-id-conflict")
    assert list(Event.objects.order_by("pk").values_list("event_id", flat=True)) == ["1", "2"]


@pytest.mark.submission
def test_events_without_ids_are_known_by_their_position(numbered: Hub) -> None:
    body = body_of(event(ANNA), event("TWO"))
    first = numbered.post_signed(body, "msg_1")
    assert results(first) == [ACCEPTED, ACCEPTED]
    assert list(Event.objects.order_by("pk").values_list("event_id", flat=True)) == ["msg_1/0", "msg_1/1"]
    again = numbered.post_signed(body, "msg_1")
    assert again.json()["results"] == first.json()["results"]
    assert results(numbered.post_signed(body_of(event(ANNA), event("OTHER")), "msg_1")) == [
        ACCEPTED,
        CONFLICT,
    ]
    assert Event.objects.count() == 2


@pytest.mark.submission
@pytest.mark.parametrize(("before", "after"), [(2, 3), (1, 2), (2, 1)])
def test_a_repeat_with_another_number_of_events_makes_no_new_event(
    numbered: Hub, before: int, after: int
) -> None:
    people = [event(f"U{number}") for number in range(4)]
    numbered.post_signed(body_of(*people[:before]), "msg_1")
    # Not the same events at the same positions.
    answer = numbered.post_signed(body_of(*people[1 : after + 1]), "msg_1")
    assert (answer.status_code, answer.json()["code"]) == (409, "event-id-conflict")
    # The same ones, and more.
    answer = numbered.post_signed(body_of(*people[:after]), "msg_1")
    if after > before > 1:
        assert results(answer) == [ACCEPTED] * before + [CONFLICT]
    assert Event.objects.count() == before


@pytest.mark.submission
def test_without_a_verification_no_id_of_an_event_counts(hub: Hub) -> None:
    """Anyone could take the id of an event to come."""
    set_format(FORMAT)
    stranger = post(hub, event("OTHER", uid="1"), event("OTHER", uid="2"))
    answer = post(hub, event(ANNA, uid="1"), event("TWO", uid="1"))
    assert results(stranger) == results(answer) == [ACCEPTED, ACCEPTED]
    set_format({})
    for person in ("OTHER", ANNA):
        body = {"id": person, "entityType": "USER", "eventType": "UPDATE", "eventId": "3", "respond": "ack"}
        assert hub.post(body).status_code == 202
    assert set(Event.objects.values_list("event_id", flat=True)) == {None}
    hub.wait_until_idle()


@pytest.mark.submission
def test_long_ids_of_requests_that_begin_alike_are_not_the_same(numbered: Hub) -> None:
    for name in ("x" * 255, "x" * 254 + "y"):
        answer = numbered.post_signed(body_of(event(ANNA), event(name[-1])), name)
        assert results(answer) == [ACCEPTED, ACCEPTED]
    assert Event.objects.count() == 4
    assert Event.objects.filter(event_id=hashlib.sha256(b"x" * 255).hexdigest() + "/0").exists()


def test_a_body_without_a_list_of_events_is_refused_and_stored(formatted: Hub) -> None:
    for events in (None, {"a": 1}, "text", True):
        answer = post_body(formatted, json.dumps({"events": events}).encode())
        assert (answer.status_code, answer.json()["code"]) == (400, "wrong-events")
        receipt = Receipt.objects.select_related("payload").latest("pk")
        assert receipt.payload is not None
        assert json.loads(receipt.payload.decrypt()) == {"events": events}
    assert not Event.objects.exists()


def test_elements_that_are_not_objects_are_listed_and_the_others_are_accepted(formatted: Hub) -> None:
    set_format({name: value for name, value in FORMAT.items() if name != "when"})
    elements: list[Any] = [[[event(ANNA)]], None, "text", 7, True, [], {}, event(ANNA, uid="1")]
    answer = post(formatted, *elements)
    assert results(answer) == [("refused", "missing-member")] * 7 + [ACCEPTED]
    receipt = Receipt.objects.select_related("payload").get()
    assert [found["event"] for found in stored_unreadable_events(receipt)] == elements[:-1]


@pytest.mark.submission
def test_more_than_100_events_are_refused_as_a_whole_and_100_are_not(formatted: Hub) -> None:
    set_format(
        FORMAT | {"entity_type": {"constant": "DEVICE"}}
    )  # without a route, so that nothing is delivered
    events = [event(f"U{number}", uid=str(number)) for number in range(DEFAULT_MAX_EVENTS + 1)]
    answer = post(formatted, *events)
    assert (answer.status_code, answer.json()["code"]) == (413, "too-many-events")
    assert not Event.objects.exists()
    assert post(formatted, *events[:-1]).status_code == 200


def test_a_request_with_an_id_is_a_conflict_even_if_the_limit_was_higher_before(numbered: Hub) -> None:
    """Its events are known by their positions, also by those beyond what the source accepts by now."""
    people = [event(f"U{number}", ok=number > 2) for number in range(5)]
    set_format(JSON_FORMAT | {"max_events": 5, "entity_type": {"constant": "DEVICE"}}, "aurora")
    assert numbered.post_signed(body_of(*people), "msg_1").status_code == 200
    set_format(JSON_FORMAT | {"max_events": 2, "entity_type": {"constant": "DEVICE"}}, "aurora")
    answer = numbered.post_signed(body_of(*people[3:]), "msg_1")
    assert (answer.status_code, answer.json()["code"]) == (409, "event-id-conflict")


def test_an_element_that_no_json_can_hold_does_not_stop_the_others(formatted: Hub) -> None:
    set_format(FORMAT | {"events": "[{user: sum(body.events)}, {user: 'ANNA', kind: 'changed', ok: body}]"})
    answer = post(formatted, 1.7e308, 1.7e308)
    assert answer.status_code < 500, answer.content
    events = [
        UnreadableEvent("wrong-id", element={"user": float("inf")}),
        UnreadableEvent("wrong-id", element="\ud800"),
    ]
    assert json.loads(encode_unreadable_events(events) or b"") == [
        {"position": position, "code": "wrong-id", "event": None} for position in (0, 1)
    ]


@pytest.mark.submission
def test_a_batch_of_repeats_has_a_receipt_and_an_entry_for_each(formatted: Hub) -> None:
    sent = [event(ANNA, uid="1"), event("TWO", uid="2")]
    first, again = post(formatted, *sent), post(formatted, *sent)
    assert again.json()["results"] == first.json()["results"]
    assert (Event.objects.count(), Receipt.objects.count()) == (2, 2)
    assert Entry.objects.filter(action="webhook.repeated").count() == 2
    assert set(Event.objects.values_list("batch_id", flat=True)) == {Receipt.objects.earliest("pk").pk}
    formatted.wait_until_idle()
    assert find_chain_faults() == []
    assert list(find_row_faults()) == []


@pytest.mark.submission
@pytest.mark.parametrize("worst", ["target-unavailable", "target-rejected"])
def test_a_repeated_event_that_failed_is_tried_again(formatted: Hub, worst: str) -> None:
    """`worst`: the code of the event, which may be that of another delivery, whose failure no retry changes."""
    sent = [event("NOBODY", uid="1"), event(ANNA, uid="2")]
    post(formatted, *sent)
    formatted.wait_until_idle()
    formatted.wait_until_quiet()
    failed = Delivery.objects.get(event__event_id="1")
    Delivery.objects.filter(pk=failed.pk).update(
        state=State.DEAD, code="target-unavailable", due_at=None, not_before=None, settled_at=timezone.now()
    )
    Event.objects.filter(event_id="1").update(state=State.DEAD, code=worst)
    assert "target-unavailable" in RETRYABLE_CODES
    assert post(formatted, *sent).status_code == 202
    assert Entry.objects.filter(action="delivery.reopened").count() == 1


@pytest.mark.submission
def test_an_acknowledgement_is_sent_as_it_is_stored_if_the_database_fails_afterwards(
    formatted: Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: Any) -> None:
        raise DatabaseError

    sent = [event("NOBODY", uid="1"), event("OTHER", uid="2")]
    post(formatted, *sent)
    formatted.wait_until_idle()
    formatted.wait_until_quiet()
    monkeypatch.setattr("sync.delivery_service.retry_events", fail)
    answer = post(formatted, *sent)
    receipt = Receipt.objects.select_related("answer").latest("pk")
    assert receipt.answer is not None
    assert (answer.status_code, answer.content) == (202, receipt.answer.decrypt())
    assert receipt.status == 202


@pytest.mark.submission
def test_many_repeated_failures_are_tried_again_in_few_transactions(
    formatted: Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The sender waits for the acknowledgement meanwhile, some only three seconds."""
    monkeypatch.setattr(settings, "WAKE_WORKERS", settings.LEFT_TO_WORKERS)
    counts = []
    for numbers in (range(2), range(10, 30)):
        sent = [event(f"U{number}", uid=str(number)) for number in numbers]
        post(formatted, *sent)
        Delivery.objects.update(state=State.DEAD, code="target-unavailable", due_at=None)
        Event.objects.update(state=State.DEAD, code="target-unavailable")
        with CaptureQueriesContext(connection) as captured:
            assert post(formatted, *sent).status_code == 202
        # The routes are looked up for each event before it is known as a repeat, and each has a state of its own.
        of_each_event = ("SELECT routes.id", "UPDATE webhooks_event SET state")
        counts.append(sum(not query["sql"].startswith(of_each_event) for query in captured))
        assert Delivery.objects.filter(state=State.PENDING).count() == len(numbers)
        Delivery.objects.update(state=State.CLOSED, due_at=None)
    assert Entry.objects.filter(action="delivery.reopened").count() == 22
    assert counts[1] <= counts[0] + 5


def test_the_address_of_a_batch_lists_its_events_with_their_outcomes(numbered: Hub) -> None:
    set_format({**JSON_FORMAT, "event_id": FORMAT["event_id"]}, "aurora")
    pause_flow(Source.objects.get(slug="aurora"), "maintenance", None)
    find_source.invalidate()
    stored = event("TWO", uid="2")
    numbered.post_signed(body_of(stored), "msg_1")
    unreadable, excluded, conflict = event("", uid="3"), {"ok": False}, event("NOBODY", uid="2")
    answer = numbered.post_signed(
        body_of(unreadable, event(ANNA, uid="1"), excluded, conflict, stored), "msg_2"
    )
    expected = [("refused", "wrong-id"), ACCEPTED, ("ignored", "filtered"), CONFLICT, ACCEPTED]
    assert (answer.status_code, results(answer)) == (202, expected)
    later = numbered.client.get(answer["Location"])
    assert (later.status_code, later.json()) == (202, answer.json())
    assert numbered.client.get(later["Location"]).content == later.content
    Delivery.objects.update(state=State.CLOSED)


@pytest.mark.submission
def test_the_address_of_a_batch_answers_with_the_worst_outcome(formatted: Hub) -> None:
    answer = post(formatted, event(ANNA, uid="1"), event("NOBODY", uid="2"))
    formatted.wait_until_idle()
    later = formatted.client.get(answer["Location"])
    failed = Event.objects.get(event_id="2")
    assert failed.code in CATALOGUE
    assert (later.status_code, later.json()["code"]) == (CATALOGUE[failed.code].status, failed.code)
    assert [result["reference"] for result in later.json()["results"]] == [
        result["reference"] for result in answer.json()["results"]
    ]
    assert [state for state, _ in results(later)] == ["unchanged", failed.state]
    # In the response format of the source.
    Source.objects.filter(slug="aurora-unsigned").update(response_format={"format": "empty"})
    find_source.invalidate()
    later = formatted.client.get(answer["Location"])
    assert (later.status_code, later.content) == (CATALOGUE[failed.code].status, b"")


def test_the_address_of_a_batch_is_unknown_after_a_day_or_without_its_events(
    formatted: Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    answer = post(formatted, event(ANNA, uid="1"), event("TWO", uid="2"))
    formatted.wait_until_idle()
    assert formatted.client.get(answer["Location"] + "x").status_code == 404
    with monkeypatch.context() as later:
        later.setattr(outcome_links, "LINK_LIFETIME", timedelta(0))
        assert formatted.client.get(answer["Location"]).status_code == 404
    formatted.wait_until_quiet()
    with transaction.atomic():
        delete_events(list(Event.objects.values_list("pk", flat=True)))
    without_events = formatted.client.get(answer["Location"])
    assert (without_events.status_code, without_events.json()["code"]) == (404, "unknown-outcome")


def test_a_batch_of_a_paused_source_waits_and_is_acknowledged(formatted: Hub) -> None:
    set_format(FORMAT | {"batch_response": "result"})
    source = Source.objects.get(slug="aurora-unsigned")
    pause_flow(source, "maintenance", None)
    find_source.invalidate()
    answer = post(formatted, event(ANNA, uid="1"), event("TWO", uid="2"))
    assert (answer.status_code, results(answer)) == (202, [ACCEPTED, ACCEPTED])
    assert set(Delivery.objects.values_list("state", "due_at")) == {("pending", None)}
    Delivery.objects.update(state=State.CLOSED)


@pytest.mark.submission
def test_a_request_without_deliveries_is_answered_as_before_when_it_is_sent_again(formatted: Hub) -> None:
    Route.objects.all().update(is_enabled=False)
    for sent in (
        [event(ANNA, uid="1"), {"who": "TWO", "ok": True}],
        [event("THREE", uid="2", ok=False), event("FOUR", uid="3", ok=False), {"ok": False}],
    ):
        first, again = post(formatted, *sent), post(formatted, *sent)
        assert (first.status_code, first.json()["status"]) == (200, "ignored")
        assert (again.status_code, results(again)) == (first.status_code, results(first))
        assert results(first)[0][0] == "ignored"
    assert set(Event.objects.values_list("state", "code")) == {
        ("ignored", "ignored"),
        ("ignored", "filtered"),
    }
    assert (Event.objects.count(), Delivery.objects.count()) == (3, 0)
    assert list(find_row_faults()) == []


@pytest.mark.submission
@pytest.mark.parametrize("wait", ["ack", "result"])
def test_an_unreadable_event_decides_the_status_only_for_a_sender_that_asks_for_the_outcome(
    formatted: Hub, wait: str
) -> None:
    """A sender of hints would send the whole request again until it gives up, whatever the other events are."""
    set_format(FORMAT | {"batch_response": wait})
    fault = ("refused", "missing-member")
    for delivered in (True, False):
        Route.objects.all().update(is_enabled=delivered)
        answer = post(formatted, event(ANNA, uid=f"{delivered}"), {"who": "TWO", "ok": True})
        assert results(answer)[1] == fault
        if wait == "result":
            assert (answer.status_code, answer.json()["code"]) == (400, "missing-member")
        else:
            assert answer.status_code == (202 if delivered else 200)
    alone = post(formatted, {"who": "TWO", "ok": True}, {"who": "THREE", "ok": True})
    assert (alone.status_code, alone.json()["code"]) == (400, "missing-member")
    formatted.wait_until_idle()
    assert list(find_row_faults()) == []


@pytest.mark.submission
def test_an_erased_subject_in_the_middle_gets_a_new_key_and_stops_nothing(formatted: Hub) -> None:
    post(formatted, event(ANNA, uid="1"), event("TWO", uid="2"), event("THREE", uid="3"))
    formatted.wait_until_idle()
    formatted.wait_until_quiet()
    source = Source.objects.get(slug="aurora-unsigned")
    name = pseudonym(source.pk, "USER", "TWO")
    SubjectKey.objects.filter(pseudonym=name).update(wrapped=None, destroyed_at=timezone.now())
    Event.objects.filter(event_id="2").update(event_id=None, entity_id="~" + name, digest=b"")
    answer = post(formatted, event(ANNA, uid="1"), event("TWO", uid="2"), event("FOUR", uid="4"))
    assert results(answer) == [ACCEPTED] * 3
    assert SubjectKey.objects.filter(pseudonym=name).count() == 2
    new = Event.objects.select_related("payload__subject").get(event_id="2")
    assert new.payload is not None
    assert json.loads(new.payload.decrypt())["id"] == "TWO"


@pytest.mark.submission
def test_the_receipt_of_a_batch_outlives_its_events_and_has_its_own_retention(formatted: Hub) -> None:
    post(formatted, event(ANNA, uid="1"), event("TWO", uid="2"), event("no id"))
    formatted.wait_until_idle()
    formatted.wait_until_quiet()
    first = Event.objects.get(event_id="1")
    with transaction.atomic():
        delete_events([first.pk])
    assert Receipt.objects.get().event_count == 3
    with transaction.atomic():
        prune_unusable_requests(timezone.now(), 0)
    assert not Receipt.objects.exists()
    assert Event.objects.get().batch_id is None
    # Only the payload of the event that is left.
    assert set(Payload.objects.filter(kind=Payload.Kind.WEBHOOK).values_list("pk", flat=True)) == {
        Event.objects.get().payload_id
    }


def test_the_answer_to_100_events_is_within_the_limit_and_that_to_500_lists_them_all() -> None:
    code = max(CATALOGUE, key=len)
    outcome = EventOutcome("dead", code, (), None)
    results = [BatchResult("", "0" * 26, outcome)] * 90 + [BatchResult("wrong-entity-type")] * 10
    answer = batch_answer(results, "fi", "0" * 26)
    assert len(answer.body) <= MAX_DOCUMENT_BYTES
    listed = json.loads(answer.body)["results"]
    assert listed[0] == {"status": "dead", "reference": "0" * 26, "code": code}
    assert {result.get("reference", result.get("code")) for result in listed} == {
        "0" * 26,
        "wrong-entity-type",
    }
    answer = batch_answer([BatchResult("", "0" * 26, outcome)] * MAX_EVENTS, "fi", "0" * 26)
    assert len(json.loads(answer.body)["results"]) == MAX_EVENTS
    assert len(answer.body) <= 5 * MAX_DOCUMENT_BYTES
