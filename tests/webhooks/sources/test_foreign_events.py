"""Events that a source does not handle never fail, whatever they lack: no sender switches its endpoint off for one."""

import json
from datetime import timedelta
from typing import Any

import pytest
from django.http import HttpResponse
from django.utils import timezone

from console.requests.results import RequestResult, request_result
from sync.housekeeping.unusable_bodies import erase_unusable_bodies, expired_unusable_bodies
from sync.models import Delivery, Route
from tests.support.builders.event_batches import TOKEN, add_token, set_format
from tests.support.hub import ANNA, Hub
from tests.support.rows import in_submission
from tests.webhooks.sources.foreign_events import IGNORED, UNHANDLED, VENDORS, Sent, Vendor
from webhooks.models import Event, Receipt, Source
from webhooks.receiving.source_cache import find_source

pytestmark = pytest.mark.one_database


@pytest.fixture
def verified(hub: Hub) -> Hub:
    """Return a hub whose unsigned source is verified by a token, and accepts what ids of vendors hold."""
    Source.objects.filter(slug="aurora-unsigned").update(extra_id_characters="|@")
    add_token()
    return hub


def send(hub: Hub, sent: Sent) -> HttpResponse:
    is_form = isinstance(sent.body, str)
    body = sent.body if is_form else "" if sent.body is None else json.dumps(sent.body)
    headers = {"Content-Type": "application/x-www-form-urlencoded" if is_form else "application/json"}
    headers |= (sent.headers or {}) | {"Authorization": f"Bearer {TOKEN}"}
    return hub.client.generic("POST", "/webhooks/aurora-unsigned", body, headers=headers)


def test_the_samples_are_of_24_senders() -> None:
    assert len({vendor.name for vendor in VENDORS}) >= 24


@pytest.mark.parametrize("vendor", in_submission(VENDORS, but=VENDORS[:4]), ids=str)
def test_what_a_sender_sends_besides_is_answered_200_and_a_handled_event_without_an_id_400(
    verified: Hub, vendor: Vendor
) -> None:
    set_format(vendor.webhook_format)
    # Each has the media type that the vendor uses.
    headers = vendor.without_id.headers or {}
    types = {"Content-Type": headers["Content-Type"]} if "Content-Type" in headers else {}
    for sent in vendor.events:
        answer = send(verified, Sent(sent.code, sent.body, (sent.headers or {}) | types))
        assert (answer.status_code, answer.json()["status"]) == (200, "ignored"), (sent.body, answer.content)
        receipt = Receipt.objects.select_related("event").latest("pk")
        assert (receipt.code, receipt.event is not None) == (sent.code, sent.code == IGNORED)
        assert request_result(receipt) == RequestResult.ACCEPTED
    answer = send(verified, vendor.without_id)
    assert (answer.status_code, answer.json()["code"]) in ((400, "missing-member"), (400, "wrong-id"))
    assert Delivery.objects.count() == 0


def test_the_body_of_such_an_event_is_deleted_after_7_days_and_found_by_an_erasure(verified: Hub) -> None:
    set_format(VENDORS[15].webhook_format)
    for user in ("191167", "191168"):
        send(verified, Sent(UNHANDLED, {"customer": {"key": user}}, {"X-Shopify-Topic": "customers/redact"}))
    first, second = Receipt.objects.select_related("payload").order_by("pk")
    assert first.payload is not None
    # Under the key of the source: no entity is known.
    assert first.payload.subject is None
    assert b"191167" in first.payload.decrypt()
    assert erase_unusable_bodies("191167", "") == 1
    now = timezone.now()
    assert list(expired_unusable_bodies(now + timedelta(days=6, hours=23))) == []
    assert list(expired_unusable_bodies(now + timedelta(days=7, hours=1))) == [second.payload]


@pytest.mark.parametrize(
    ("fields", "status", "code"),
    [
        ({"entityType": "USER", "eventType": "LOGIN"}, 200, UNHANDLED),
        ({"entityType": "DEVICE", "eventType": "UPDATE"}, 200, UNHANDLED),
        ({"entityType": "DEVICE", "eventType": "UPDATE", "id": "../admin"}, 200, UNHANDLED),
        ({"entityType": "USER", "eventType": "LOGIN", "id": ANNA, "timestamp": "today"}, 200, UNHANDLED),
        ({"entityType": "USER", "eventType": "LOGIN", "id": ANNA}, 200, IGNORED),
        ({"entityType": "DEVICE", "eventType": "UPDATE", "id": ANNA}, 200, IGNORED),
        ({"entityType": "USER", "eventType": "MODIFIED"}, 400, "missing-member"),
        ({"entityType": "USER", "eventType": "UPDATE"}, 400, "missing-member"),
        ({"entityType": "FILE", "eventType": "DELETE", "id": "../admin"}, 400, "wrong-id"),
        ({"entityType": "no type", "eventType": "UPDATE", "id": ANNA}, 400, "wrong-entity-type"),
        ({"entityType": "USER"}, 400, "missing-member"),
        ({}, 400, "missing-member"),
    ],
)
@pytest.mark.parametrize("own_format", [False, True])
def test_the_types_decide_before_the_id(
    verified: Hub, fields: dict[str, Any], status: int, code: str, own_format: bool
) -> None:
    """Both for the hub's own fields and for a format of expressions."""
    set_format({"event_types": {"modified": "UPDATE"}} | ({"id": "event.id"} if own_format else {}))
    answer = send(verified, Sent(code, fields))
    receipt = Receipt.objects.get()
    if own_format and fields.get("entityType") == "no type":
        code = "wrong-entity-type"
    assert (answer.status_code, receipt.code) == (status, code), answer.content
    assert Event.objects.count() == (code == IGNORED)


def test_without_routes_the_usual_types_are_handled(verified: Hub) -> None:
    Route.objects.update(is_enabled=False)
    codes = [
        send(verified, Sent("", {"entityType": entity_type, "eventType": "UPDATE"})).status_code
        for entity_type in ("USER", "GROUP", "FILE", "DEVICE")
    ]
    assert codes == [400, 400, 400, 200]


BATCH = {"events": "body", "id": "event.id", "entity_type": "event.kind", "event_type": "event.what"}
BATCH |= {"entity_types": {"person": "USER"}, "event_types": {"changed": "UPDATE"}}


@pytest.mark.parametrize("response", ["ack", "result"])
def test_in_a_batch_they_are_listed_and_fail_nothing(verified: Hub, response: str) -> None:
    set_format(BATCH | {"batch_response": response})
    find_source.invalidate()
    verified.change_email("new@example.com")
    person, order = {"kind": "person", "what": "changed"}, {"kind": "order", "what": "changed"}
    answer = send(verified, Sent("", [person | {"id": ANNA}, order, {"what": "log-in"}, order | {"id": "1"}]))
    results = [(result["status"], result.get("code")) for result in answer.json()["results"]]
    expected = (202, "accepted") if response == "ack" else (200, "succeeded")
    assert (answer.status_code, answer.json()["status"]) == expected
    assert results[1:3] == [("ignored", UNHANDLED)] * 2
    assert results[3] == ("ignored", None)
    for lacking in (person, person | {"id": " "}):
        answer = send(verified, Sent("", [order, lacking]))
        assert answer.status_code == 400
    answer = send(verified, Sent("", [order, {"what": "log-in"}]))
    assert (answer.status_code, answer.json()["status"]) == (200, "ignored")
    verified.wait_until_idle()
    assert Event.objects.count() == 2
