"""Handshakes whose challenge is in a JSON body, as the documentation of their senders shows them."""

import hashlib
import hmac
import json
import time
from collections.abc import Iterator
from typing import Any

import pytest
from django.core.exceptions import ValidationError
from django.test import Client

from audit.models import Entry
from tests.webhooks.sources.handshake_limit import slow_handshake_limit
from webhooks.models import Event, Receipt, Refusal, Source, SourceSecret
from webhooks.receiving import refusals
from webhooks.receiving.source_cache import find_source

CLIENT = Client(raise_request_exception=False)
ADDRESS = "/webhooks/asker"
SECRET = "8f742231b10e8888abcd99yyyzzz85a5"

# https://api.slack.com/events/url_verification
SLACK = {"from": "body", "when": "body.type == 'url_verification'", "challenge": "body.challenge"}
SLACK_SCHEME = {
    "header": "X-Slack-Signature",
    "signed": ["v0:", "{time}", ":", "{body}"],
    "prefix": "v0=",
    "time_header": "X-Slack-Request-Timestamp",
}
SLACK_CHALLENGE = "3eZbrw1aBm2rZgRNFdxV2595E9CY3gmdALWMmHkvFXO7tYXAYM8P"
SLACK_BODY = {
    "token": "Jhj5dZrVaK7ZwHHjRyZWjbDl",
    "challenge": SLACK_CHALLENGE,
    "type": "url_verification",
}

# https://learn.microsoft.com/azure/event-grid/end-point-validation-event-grid-events-schema
EVENT_GRID = {
    "from": "body",
    "when": "body[0].eventType == 'Microsoft.EventGrid.SubscriptionValidationEvent'",
    "challenge": "body[0].data.validationCode",
    "field": "validationResponse",
    "verified": False,
}
EVENT_GRID_CODE = "512d38b6-c7b8-40c8-89fe-f46f9e9622b6"
EVENT_GRID_BODY = [
    {
        "id": "2d1781af-3a4c-4d7c-bd0c-e34b19da4e66",
        "topic": "/subscriptions/xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx",
        "subject": "",
        "data": {
            "validationCode": EVENT_GRID_CODE,
            "validationUrl": "https://rp-eastus2.eventgrid.azure.net:553/eventsubscriptions/myeventsub/validate"
            "?id=0000000000-0000-0000-0000-00000000000000&t=2022-10-28T04:23:35.1981776Z"
            "&apiVersion=2018-05-01-preview&token=1A1A1A1A",
        },
        "eventType": "Microsoft.EventGrid.SubscriptionValidationEvent",
        "eventTime": "2022-10-28T04:23:35.1981776Z",
        "metadataVersion": "1",
        "dataVersion": "1",
    }
]


@pytest.fixture(autouse=True)
def _database(database: None) -> Iterator[None]:
    yield
    refusals.reset_counts()


def create_slack(**fields: Any) -> Source:
    changes = {"handshake": SLACK, "scheme": "hmac", "scheme_settings": SLACK_SCHEME, **fields}
    source = Source(slug="asker", name="Asker", **changes)
    source.full_clean()
    source.save()
    SourceSecret.objects.create(source=source, value=SECRET, hint="85a5")
    return source


def create_event_grid(**fields: Any) -> Source:
    changes = {"handshake": EVENT_GRID, "scheme": "header", "scheme_settings": {"header": "X-Key"}, **fields}
    return create_slack(**changes)


def post(document: Any, **headers: str) -> Any:
    body = document if isinstance(document, bytes) else json.dumps(document).encode()
    return CLIENT.generic("POST", ADDRESS, body, headers={"Content-Type": "application/json", **headers})


def post_signed(document: Any, *, secret: str = SECRET, age: int = 0, media_type: str = "") -> Any:
    body = document if isinstance(document, bytes) else json.dumps(document).encode()
    sent_at = str(int(time.time()) - age)
    text = b"v0:" + sent_at.encode() + b":" + body
    signature = "v0=" + hmac.new(secret.encode(), text, hashlib.sha256).hexdigest()
    headers = {"X-Slack-Signature": signature, "X-Slack-Request-Timestamp": sent_at}
    return post(body, **headers, **({"Content-Type": media_type} if media_type else {}))


def assert_not_echoed(answer: Any, challenge: str) -> None:
    assert answer.status_code >= 400
    assert not challenge or challenge.encode() not in answer.content


def assert_answered(answer: Any, document: Any) -> None:
    assert (answer.status_code, answer.json()) == (200, document)
    assert answer["Content-Type"] == "application/json"
    assert answer["X-Content-Type-Options"] == "nosniff"
    assert answer["Cache-Control"] == "no-store"
    assert not any(name.lower().startswith("access-control") for name in answer.headers)


def test_slack_gets_its_challenge_and_its_webhooks_are_events() -> None:
    source = create_slack(default_mode="ack")
    assert_answered(post_signed(SLACK_BODY), {"challenge": SLACK_CHALLENGE})
    hostile = '<script>alert(1)</script>","admin":"yes'
    assert_answered(post_signed({**SLACK_BODY, "challenge": hostile}), {"challenge": hostile})
    answer = post_signed({"id": "u-1", "entityType": "USER", "eventType": "UPDATE"})
    assert answer.status_code in (200, 202)
    assert Event.objects.count() == 1
    Source.objects.filter(pk=source.pk).update(handshake={**SLACK, "as": "text"})
    find_source.invalidate()
    answer = post_signed(SLACK_BODY)
    assert (answer.status_code, answer.content) == (200, SLACK_CHALLENGE.encode())
    assert answer["Content-Type"] == "text/plain; charset=utf-8"
    assert answer["X-Content-Type-Options"] == "nosniff"


def test_a_challenge_without_a_good_signature_is_refused() -> None:
    create_slack()
    for answer in (
        post(SLACK_BODY),
        post_signed(SLACK_BODY, secret="another-secret-of-32-characters."),
        post_signed(SLACK_BODY, age=3_600),
    ):
        assert_not_echoed(answer, SLACK_CHALLENGE)
        assert (answer.status_code, answer.json()["code"]) == (401, "bad-signature")


def test_event_grid_gets_its_code_without_a_signature_and_no_other_event_does() -> None:
    source = create_event_grid()
    headers = {"Content-Type": "application/json; charset=utf-8", "aeg-event-type": "SubscriptionValidation"}
    assert_answered(post(EVENT_GRID_BODY, **headers), {"validationResponse": EVENT_GRID_CODE})
    answer = post([{**EVENT_GRID_BODY[0], "eventType": "Microsoft.Storage.BlobCreated"}])
    assert (answer.status_code, answer.json()["code"]) == (401, "bad-signature")
    for method in ("GET", "OPTIONS", "PUT"):
        body = json.dumps(EVENT_GRID_BODY).encode()
        answer = CLIENT.generic(method, ADDRESS, body, headers={"Content-Type": "application/json"})
        assert answer.status_code == 405
    for changes, status in (({"handshake": {}}, 401), ({"is_enabled": False}, 410)):
        Source.objects.filter(pk=source.pk).update(**changes)
        find_source.invalidate()
        assert post(EVENT_GRID_BODY).status_code == status


def test_a_handshake_is_listed_and_is_no_event() -> None:
    source = create_slack()
    for _ in range(3):
        assert post_signed(SLACK_BODY).status_code == 200
    refusals.refusal_counts.flush()
    row = Refusal.objects.get()
    assert (row.code, row.source, row.status, row.times) == ("handshake", source, 200, 3)
    assert SLACK_CHALLENGE not in str(row.__dict__)
    assert not Receipt.objects.exists()
    assert not Event.objects.exists()
    assert not Entry.objects.filter(action="webhook.refused").exists()


@pytest.mark.parametrize("verified", [True, False])
def test_handshakes_have_a_limit(verified: bool) -> None:
    create_slack(handshake={**SLACK, "verified": verified})
    with slow_handshake_limit() as burst:
        statuses = [post_signed(SLACK_BODY).status_code for _ in range(burst + 5)]
    assert statuses[: burst - 1] == [200] * (burst - 1)
    assert statuses[-1] == 429


@pytest.mark.parametrize("verified", [True, False])
def test_a_hostile_challenge_is_not_sent_back(verified: bool) -> None:
    create_slack(handshake={**SLACK, "verified": verified})
    for challenge in (
        "",
        "x" * 1_025,
        "a\tb",
        "a\r\nSet-Cookie: b",
        "é",
        "\u202e",
        "a\x7fb",
        7,
        True,
        None,
        ["a"],
        {},
    ):
        answer = post_signed({**SLACK_BODY, "challenge": challenge})
        assert answer.status_code == 400
        assert b"challenge" not in answer.content
    assert not Event.objects.exists()


OTHER_BODIES = [
    b"",
    b"[]",
    b"{",
    b'{"type": "url_verification"}',
    b'{"type": "URL_VERIFICATION", "challenge": "abc-123"}',
    b'{"type": "message", "challenge": "abc-123"}',
    b'{"type": ["url_verification"], "challenge": "abc-123"}',
    b'{"type": "url_verification", "challenge": "abc-123", "challenge": "abc-124"}',
    b'\xef\xbb\xbf{"type": "url_verification", "challenge": "abc-123"}',
    b'{"type": "url_verification", "challenge": "abc-123"} x',
    b"[" * 100_000,
    json.dumps({**SLACK_BODY, "challenge": "abc-123", "more": "x" * 20_000}).encode(),
]


@pytest.mark.parametrize("verified", [True, False])
def test_another_body_is_no_handshake(verified: bool) -> None:
    create_slack(handshake={**SLACK, "verified": verified})
    for body in OTHER_BODIES:
        assert_not_echoed(post(body), "abc-123")
        assert_not_echoed(post_signed(body), "abc-123")


def test_a_request_that_a_browser_sends_for_any_page_is_no_handshake() -> None:
    create_event_grid()
    for headers in (
        {"Content-Type": "text/plain"},
        {"Content-Type": "application/x-www-form-urlencoded"},
        {"Content-Type": ""},
        {"Content-Encoding": "gzip"},
    ):
        answer = post(EVENT_GRID_BODY, **headers)
        assert_not_echoed(answer, EVENT_GRID_CODE)
        assert (answer.status_code, answer.json()["code"]) == (415, "wrong-content-type")


def test_an_expression_that_costs_too_much_is_stopped() -> None:
    costly = "length(body.list[].[@, @, @, @][]) > `1` && body.challenge"
    create_slack(handshake={**SLACK, "challenge": costly, "verified": False})
    answer = post({**SLACK_BODY, "list": [1] * 600})
    assert_not_echoed(answer, SLACK_CHALLENGE)


@pytest.mark.parametrize(
    "changes",
    [
        {"when": ""},
        {"challenge": "body.["},
        {"challenge": "now()"},
        {"when": "!body.type.x"},
        {"as": "html"},
        {"field": "a b"},
        {"verified": "no"},
        {"method": "GET"},
    ],
)
def test_invalid_settings_are_refused_when_saved(changes: dict[str, Any]) -> None:
    with pytest.raises(ValidationError, match=next(iter(changes))):
        create_slack(handshake={**SLACK, **changes})
