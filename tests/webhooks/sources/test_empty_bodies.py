"""Requests without a body: read from their headers where the format of the source allows it, refused elsewhere."""

import json
from contextlib import nullcontext
from typing import Any

import pytest
from django.core.exceptions import ValidationError
from django.http import HttpResponse
from django.utils import timezone

from exports.row_checks.nightly_rows import find_row_faults
from tests.support.builders.event_batches import TOKEN, add_token, documents, set_format
from tests.support.hub import ANNA, Hub
from webhooks.models import Event, Receipt, Source
from webhooks.receiving.incoming_request import IncomingRequest
from webhooks.receiving.request_verification import RequestRefused, verify_request
from webhooks.receiving.source_cache import find_source

FORMAT: dict[str, Any] = {
    "allow_empty_body": True,
    "when": "headers.\"x-state\" != 'sync'",
    "id": 'body.id || headers."x-resource"',
    "entity_type": {"constant": "USER"},
    "event_type": 'headers."x-state"',
    "event_types": {"exists": "UPDATE", "gone": "DELETE"},
    "event_id": 'headers."x-number"',
}


@pytest.fixture
def pushed(hub: Hub) -> Hub:
    add_token()
    set_format(FORMAT)
    return hub


def push(hub: Hub, body: bytes = b"", content_type: str = "", **headers: str) -> HttpResponse:
    names = {f"X-{name.title()}": value for name, value in headers.items()}
    names |= {"Content-Type": content_type} if content_type else {}
    # Django's client adds a content type of its own only to a request with a body.
    return hub.client.generic(
        "POST",
        "/webhooks/aurora-unsigned",
        body,
        content_type=content_type,
        headers={"Authorization": f"Bearer {TOKEN}", **names},
    )


def code_of(answer: HttpResponse) -> tuple[int, str]:
    return answer.status_code, answer.json().get("code", "")


def test_a_request_without_a_body_is_delivered_as_its_headers_say(pushed: Hub) -> None:
    pushed.change_email("pushed@example.org")
    answer = push(pushed, resource=ANNA, state="exists", number="2")
    assert answer.status_code == 200, answer.content
    customer = pushed.customer()
    assert customer is not None
    assert customer["email"] == "pushed@example.org"
    event = Event.objects.get()
    assert (event.entity_id, event.event_type, event.event_id) == (ANNA, "UPDATE", "2")
    stored = {"id": ANNA, "entityType": "USER", "eventType": "UPDATE", "eventId": "2", "event": None}
    assert documents() == [stored]
    assert Receipt.objects.get().size == 0
    assert list(find_row_faults()) == []


def test_a_message_that_the_condition_excludes_is_acknowledged(pushed: Hub) -> None:
    answer = push(pushed, state="sync", number="1")
    assert code_of(answer) == (200, "filtered")
    assert not Event.objects.exists()
    assert Receipt.objects.get().code == "filtered"
    answer = push(pushed, resource=ANNA, state="sync", number="1")
    assert (answer.status_code, answer.json()["status"]) == (200, "ignored")
    event = Event.objects.get()
    assert (event.state, event.code, event.deliveries.count()) == ("ignored", "filtered", 0)


def test_a_message_that_is_sent_again_is_a_repeat_and_another_with_its_number_a_conflict(pushed: Hub) -> None:
    first = push(pushed, resource=ANNA, state="exists", number="2")
    again = push(pushed, resource=ANNA, state="exists", number="2")
    assert again.json()["reference"] == first.json()["reference"]
    assert again["Webhook-Replayed"] == "true"
    for changed in ({"state": "gone"}, {"resource": "OTHER"}):
        other = push(pushed, **{"resource": ANNA, "state": "exists", "number": "2", **changed})
        assert code_of(other) == (409, "event-id-conflict")
    assert Event.objects.count() == 1


def test_a_request_with_a_body_is_read_as_before(pushed: Hub) -> None:
    google = "application/json; utf-8"
    body = json.dumps({"id": ANNA}).encode()
    assert push(pushed, body, google, state="exists", number="3").status_code == 200
    assert Event.objects.get().entity_id == ANNA
    for media_type in ("text/plain", "application/json; utf-16", "application/json; charset=latin-1"):
        answer = push(pushed, body, media_type, state="exists", number="4")
        assert code_of(answer) == (415, "wrong-content-type")
    for nearly_empty in (b" ", b"\x00"):
        answer = push(pushed, nearly_empty, "application/json", resource=ANNA, state="exists", number="5")
        assert code_of(answer) == (400, "not-json")


def test_an_unreadable_body_is_not_treated_as_an_empty_one(pushed: Hub) -> None:
    incoming = IncomingRequest(
        "aurora-unsigned",
        {"content-length": "5", "authorization": f"Bearer {TOKEN}"},
        b"",
        0,
        None,
        timezone.now(),
    )
    source = find_source("aurora-unsigned")
    assert source is not None
    with pytest.raises(RequestRefused, match="wrong-content-type"):
        verify_request(source, incoming)


def test_a_source_that_does_not_allow_it_refuses_an_empty_body(hub: Hub) -> None:
    add_token()
    for webhook_format in ({}, {name: value for name, value in FORMAT.items() if name != "allow_empty_body"}):
        set_format(webhook_format)
        answer = push(hub, b"", "application/json", resource=ANNA, state="exists", number="2")
        assert code_of(answer) == (400, "not-json")
    assert code_of(push(hub, resource=ANNA, state="exists", number="2")) == (415, "wrong-content-type")
    assert not Event.objects.exists()
    # What was verified is not lost.
    assert Receipt.objects.count() == 2


def test_a_signature_that_all_empty_bodies_share_is_no_verification(hub: Hub, settings: Any) -> None:
    settings.PUBLIC_URL = "https://hub.example.org"
    source = Source.objects.get(slug="aurora-unsigned")
    for scheme, scheme_settings, is_accepted in (
        ("body-hmac", {"header": "X-Signature"}, False),
        ("hmac", {"header": "X-Signature"}, False),
        ("hmac", {"header": "X-Signature", "signed": ["{method}", "{url}", "{body}"]}, False),
        ("jwt", {"header": "X-Signature", "detached": True, "algorithm": "HS256"}, False),
        ("hmac", {"header": "X-Signature", "signed": ["{time}", "{body}"], "time_header": "X-Time"}, True),
        ("header", {"header": "X-Goog-Channel-Token"}, True),
    ):
        source.scheme, source.scheme_settings, source.webhook_format = scheme, scheme_settings, {}
        source.full_clean()
        source.webhook_format = FORMAT
        with nullcontext() if is_accepted else pytest.raises(ValidationError, match="allow_empty_body"):
            source.full_clean()
