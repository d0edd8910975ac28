"""The findings of an attempt are stored in one payload, its responses in another; each reader gets its own part."""

import json
import re

import pytest
from django.db import IntegrityError, transaction

from sync.attempts.event_outcome import load_event_outcome
from sync.models import Attempt, Call, Finding
from tests.support.builders.history import (
    a_call,
    a_delivery,
    a_route,
    an_attempt,
    an_event,
    sealed,
    sealed_findings,
)
from tests.support.hub import ANNA, EXAMPLE, Hub
from webhooks.models import Event, Payload


def test_entity_and_change_share_a_payload_and_are_read_apart(hub: Hub) -> None:
    address = hub.change_email("anna.parts@example.com")
    assert hub.post_signed(json.loads(EXAMPLE) | {"respond": "entity"}).status_code == 200
    hub.wait_until_quiet()
    attempt = Attempt.objects.get()
    assert Payload.objects.filter(kind=Payload.Kind.FINDINGS).get() == attempt.findings
    change = attempt.stored_finding(Finding.CHANGE)
    entity = load_event_outcome(Event.objects.get(), with_entity=True).entity
    assert entity is not None
    assert entity["id"] == ANNA
    assert address in json.dumps(entity)
    assert address in [field["after"] for field in change["fields"]]
    assert attempt.stored_finding(Finding.ANSWER) is None


def test_an_entity_is_stored_only_if_the_source_asked_for_it(hub: Hub) -> None:
    hub.change_email("anna.plain@example.com")
    hub.post_signed(EXAMPLE)
    hub.wait_until_quiet()
    attempt = Attempt.objects.get()
    assert set(attempt.findings.json_document()) == {"change"}  # type: ignore[union-attr]
    assert attempt.stored_finding(Finding.ENTITY) is None
    assert load_event_outcome(Event.objects.get(), with_entity=True).entity is None


def test_a_rejected_change_is_stored_with_the_answer_of_the_system(hub: Hub) -> None:
    hub.change_email("taken@example.com")
    assert hub.post_signed(EXAMPLE).status_code == 422
    hub.wait_until_quiet()
    document = Attempt.objects.get().findings.json_document()  # type: ignore[union-attr]
    assert set(document) == {"change", "answer"}
    assert [error["field"] for error in document["answer"]["errors"]] == ["email"]


def test_an_attempt_that_found_nothing_stores_no_payload(hub: Hub) -> None:
    hub.identity.faults.add("drop", path="/api/users")
    hub.post_signed(EXAMPLE)
    attempt = Attempt.objects.earliest("pk")
    assert (attempt.code, attempt.findings) == ("identity-unavailable", None)


@pytest.mark.django_db
@pytest.mark.parametrize("content", [b"\xff", b"[" * 100_000, b"[]"])
def test_a_payload_that_holds_no_findings_has_no_parts(content: bytes) -> None:
    attempt = Attempt(findings=sealed("findings", content))
    assert [attempt.stored_finding(part) for part in Finding] == [None] * 3


@pytest.mark.django_db
def test_empty_parts_are_not_missing_parts() -> None:
    attempt = Attempt(findings=sealed_findings(entity={}))
    assert attempt.stored_finding(Finding.ENTITY) == {}
    assert attempt.stored_finding(Finding.CHANGE) is None


def _is_response_of(call: Call) -> bool:
    """Return True if the stored response is the call's own, by what the two systems answer to each request."""
    stored = call.stored_response() or {}
    if call.is_write:
        return "request" not in stored and json.loads(stored["body"])["external_id"] == ANNA
    place = re.escape(call.path).replace(r"\{id\}", "[^/?]+")
    return "request" in stored and re.search(f"{place}($|[?])", stored["request"]["url"]) is not None


def test_the_calls_of_an_attempt_share_a_payload_and_each_reads_its_own_response(hub: Hub) -> None:
    hub.change_email("anna.shares@example.com")
    assert hub.post_signed(EXAMPLE).status_code == 200
    hub.wait_until_quiet()
    calls = list(Call.objects.order_by("started_at"))
    assert [call.is_write for call in calls] == [False, False, True]
    assert len({call.response_id for call in calls}) == 1
    assert all(map(_is_response_of, calls))
    assert sorted(Payload.objects.values_list("kind", flat=True)) == [
        *("answer", "findings", "request", "response", "webhook")
    ]


@pytest.mark.submission
def test_a_write_without_a_response_has_no_part_of_the_payload(hub: Hub) -> None:
    hub.change_email("anna.silent@example.com")
    hub.shop.faults.add("drop", path="/api/customers/.+")
    hub.post_signed(EXAMPLE)
    hub.wait_until_quiet()
    attempt = Attempt.objects.earliest("pk")
    read, *_, write = attempt.calls.order_by("started_at")
    assert (write.is_write, write.status, write.response, write.response_part) == (True, None, None, None)
    assert write.request is not None
    assert write.stored_response() is None
    assert read.stored_response() is not None


@pytest.mark.django_db
@pytest.mark.parametrize(
    "content",
    [b"[" * 100_000, b'{"0": {"body": "x"}}', b"[1]"],
)
def test_a_payload_that_holds_no_responses_has_no_parts(content: bytes) -> None:
    assert Call(response=sealed("response", content), response_part=0).stored_response() is None


@pytest.mark.django_db
@pytest.mark.parametrize(("part", "body"), [(0, "a"), (1, "b"), (2, None), (-1, None), (None, None)])
def test_a_missing_part_of_a_payload_is_none(part: int | None, body: str | None) -> None:
    call = Call(response=sealed("response", [{"body": "a"}, {"body": "b"}]), response_part=part)
    assert (call.stored_response() or {}).get("body") == body


@pytest.mark.django_db
def test_the_database_refuses_a_response_without_its_part() -> None:
    call = a_call(an_attempt(a_delivery(event := an_event(), a_route(event.source)), 1))
    with pytest.raises(IntegrityError, match="response_has_a_part"), transaction.atomic():
        Call.objects.filter(pk=call.pk).update(response_part=None)
    # Retention deletes the payload alone.
    Call.objects.filter(pk=call.pk).update(response=None)
