"""Answers in a source's response format over HTTP, with their receipts and repeats."""

import json
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

import pytest
from django.db import DatabaseError

from tests.support.hub import EXAMPLE, Hub
from webhooks.models import Receipt, Refusal, Source

pytestmark = pytest.mark.one_database

FORMATS: dict[str, dict[str, Any]] = {
    "kratos": {"format": "kratos"},
    "okta-inline": {"format": "okta-inline"},
    "zitadel": {"format": "zitadel"},
    "scim": {"format": "scim"},
    "empty": {"format": "empty"},
    "custom": {
        "format": "custom",
        "content_type": "text/plain",
        "answers": [
            {"states": ["failed"], "status": 200, "body": "join(': ', ['failed', code])"},
            {"status": 202, "body": "join(': ', ['fine', status])"},
        ],
    },
}
# By format: the status of a refusal by the shop, a part of its body, and the status and body of a success.
EXPECTED = {
    "kratos": (422, b'{"messages":[{"instance_ptr":"#/', 204, b""),
    "okta-inline": (200, b'"registration":"DENY"', 204, b""),
    "zitadel": (200, b'{"forwardedStatusCode":422,"forwardedErrorMessage":"', 200, b""),
    "scim": (422, b'"urn:ietf:params:scim:api:messages:2.0:Error"', 204, b""),
    "empty": (422, b"", 200, b""),
    "custom": (200, b"failed: target-rejected", 202, b"fine: succeeded"),
}


def choose(response_format: dict[str, Any]) -> None:
    source = Source.objects.get(slug="aurora")
    source.response_format = response_format
    source.full_clean()
    source.save()


def post_change(hub: Hub, webhook_id: str, **fault: Any) -> Any:
    """Change the address, add a fault of the shop, then send the webhook."""
    hub.change_email("anna.format@example.com")
    if fault:
        hub.shop.faults.add(**fault)
    return hub.post_signed(EXAMPLE, webhook_id)


def fail_to_store(*_: Any, **__: Any) -> None:
    raise DatabaseError("the database is away")


def assert_stored(answer: Any, *, is_repeat: bool = False) -> None:
    receipt = Receipt.objects.latest("pk")
    assert (receipt.status, receipt.answer.decrypt(), receipt.is_repeat) == (
        answer.status_code,
        answer.content,
        is_repeat,
    )
    assert (answer["Cache-Control"], answer["X-Content-Type-Options"]) == ("no-store", "nosniff")
    assert "html" not in answer["Content-Type"]
    assert len(answer.content) <= 8_192


@pytest.mark.promise("I23")
@pytest.mark.submission_rows(3)
@pytest.mark.parametrize("name", FORMATS)
def test_a_failure_and_a_success_are_answered_in_the_format_and_repeated_byte_for_byte(
    hub: Hub, name: str
) -> None:
    choose(FORMATS[name])
    failure_status, part, status, body = EXPECTED[name]
    failed = post_change(hub, "msg_a", kind="refuse")
    assert failed.status_code == failure_status
    assert part in failed.content
    assert Receipt.objects.latest("pk").code == "target-rejected"
    assert_stored(failed)
    hub.shop.faults.clear()
    first = post_change(hub, "msg_b")
    assert (first.status_code, first.content) == (status, body)
    assert_stored(first)
    again = hub.post_signed(EXAMPLE, "msg_b")
    assert again["Webhook-Replayed"] == "true"
    assert (again.status_code, again.content, again["Content-Type"]) == (
        status,
        body,
        first["Content-Type"],
    )
    assert_stored(again, is_repeat=True)


def test_every_other_answer_to_a_verified_request_has_the_format(hub: Hub, monkeypatch: Any) -> None:
    # Refusals have a row a minute.
    now = datetime.now(UTC)
    monkeypatch.setattr("webhooks.receiving.incoming_request.timezone", SimpleNamespace(now=lambda: now))
    choose(FORMATS["zitadel"])
    unusable = hub.post_signed(b"{}")
    assert (unusable.status_code, unusable.json()["forwardedStatusCode"]) == (200, 400)
    assert_stored(unusable)
    hub.post_signed(EXAMPLE, "msg_c")
    conflict = hub.post_signed(EXAMPLE.replace(b"}", b',"extra":1}'), "msg_c")
    assert conflict.json()["forwardedStatusCode"] == 409
    Source.objects.filter(slug="aurora").update(requests_per_minute=1)
    limited = [hub.post_signed(EXAMPLE, f"msg_{number}") for number in range(15)][-1]
    assert (limited.status_code, limited.json()["forwardedStatusCode"]) == (200, 429)
    assert "Retry-After" in limited
    # Listed with the status that the sender really got.
    assert Refusal.objects.get(code="too-many-requests").status == 200
    # One that is not verified gets the standard answer.
    unverified = hub.post(EXAMPLE, "aurora")
    assert (unverified.status_code, unverified["Content-Type"]) == (401, "application/problem+json")
    Source.objects.filter(slug="aurora").update(requests_per_minute=None)
    monkeypatch.setattr("webhooks.receiving.request_storage.store_webhook", fail_to_store)
    unstored = hub.post_signed(EXAMPLE, "msg_d")
    assert (unstored.status_code, unstored.json()["forwardedStatusCode"]) == (200, 424)
    assert "Retry-After" in unstored


def test_the_address_of_the_outcome_answers_in_the_format(hub: Hub) -> None:
    choose(FORMATS["custom"])
    accepted = hub.post_signed(EXAMPLE.replace(b"}", b',"respond":"ack"}'))
    assert (accepted.status_code, accepted.content) == (202, b"fine: accepted")
    hub.wait_until_idle()
    assert hub.client.get(accepted["Location"]).content == b"fine: unchanged"


@pytest.mark.parametrize("body", ["join(',', status)", "'" + "x" * 900 + "'"])
def test_an_answer_that_cannot_be_written_stays_the_standard_one(
    hub: Hub, body: str, monkeypatch: Any
) -> None:
    monkeypatch.setattr("webhooks.receiving.answers.MAX_DOCUMENT_BYTES", 800)
    choose({"format": "custom", "content_type": "text/plain", "answers": [{"body": body, "status": 200}]})
    answer = hub.post_signed(b"[]")
    assert (answer.status_code, json.loads(answer.content)["code"]) == (400, "not-an-object")
    assert answer["Content-Type"] == "application/problem+json"
