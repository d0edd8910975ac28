"""Handshakes whose challenge is in a JSON body, as the documentation of their senders shows them.

Each check is needed: the variants at the end, each without one, fail.
"""

import hashlib
import hmac
import json
import re
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from django.core.exceptions import ValidationError
from django.test import Client

from audit.models import Entry
from tests.webhooks.sources.handshake_limit import slow_handshake_limit
from webhooks.expressions import expression_budget
from webhooks.models import Event, Receipt, Refusal, Source, SourceSecret
from webhooks.protocol import handshake as protocol
from webhooks.protocol.handshake import BodyHandshake
from webhooks.receiving import handshakes, receive, refusals

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


def assert_answered(answer: Any, document: Any) -> None:
    assert (answer.status_code, answer.json()) == (200, document)
    assert answer["Content-Type"] == "application/json"
    assert answer["X-Content-Type-Options"] == "nosniff"
    assert answer["Cache-Control"] == "no-store"
    assert not any(name.lower().startswith("access-control") for name in answer.headers)


def assert_not_echoed(answer: Any, challenge: str) -> None:
    assert answer.status_code >= 400
    assert not challenge or challenge.encode() not in answer.content


def test_slack_gets_its_challenge() -> None:
    create_slack()
    assert_answered(post_signed(SLACK_BODY), {"challenge": SLACK_CHALLENGE})


def test_slack_gets_its_challenge_as_plain_text() -> None:
    create_slack(handshake={**SLACK, "as": "text"})
    answer = post_signed(SLACK_BODY)
    assert (answer.status_code, answer.content) == (200, SLACK_CHALLENGE.encode())
    assert answer["Content-Type"] == "text/plain; charset=utf-8"
    assert answer["X-Content-Type-Options"] == "nosniff"


@pytest.mark.parametrize("changes", [{"secret": "another-secret-of-32-characters."}, {"age": 3_600}])
def test_a_challenge_with_a_bad_signature_is_refused(changes: dict[str, Any]) -> None:
    create_slack()
    answer = post_signed(SLACK_BODY, **changes)
    assert_not_echoed(answer, SLACK_CHALLENGE)
    assert (answer.status_code, answer.json()["code"]) == (401, "bad-signature")


def test_a_challenge_without_a_signature_is_refused() -> None:
    create_slack()
    assert_not_echoed(post(SLACK_BODY), SLACK_CHALLENGE)


def test_event_grid_gets_its_code_without_a_signature() -> None:
    create_event_grid()
    answer = post(
        EVENT_GRID_BODY,
        **{"Content-Type": "application/json; charset=utf-8", "aeg-event-type": "SubscriptionValidation"},
    )
    assert_answered(answer, {"validationResponse": EVENT_GRID_CODE})


def test_other_events_of_the_sender_must_be_verified() -> None:
    create_event_grid()
    event = {**EVENT_GRID_BODY[0], "eventType": "Microsoft.Storage.BlobCreated"}
    answer = post([event])
    assert (answer.status_code, answer.json()["code"]) == (401, "bad-signature")


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


def test_a_webhook_of_a_source_with_a_handshake_is_an_event() -> None:
    create_slack(default_mode="ack")
    answer = post_signed({"id": "u-1", "entityType": "USER", "eventType": "UPDATE"})
    assert answer.status_code in (200, 202)
    assert Event.objects.count() == 1


@pytest.mark.parametrize("verified", [True, False])
def test_handshakes_have_a_limit(verified: bool) -> None:
    create_slack(handshake={**SLACK, "verified": verified})
    with slow_handshake_limit() as burst:
        statuses = [post_signed(SLACK_BODY).status_code for _ in range(burst + 5)]
    assert statuses[: burst - 1] == [200] * (burst - 1)
    assert statuses[-1] == 429


@pytest.mark.parametrize(
    "challenge",
    ["", "x" * 1_025, "a\tb", "a\r\nSet-Cookie: b", "é", "\u202e", "a\x7fb", 7, True, None, ["a"], {}],
)
@pytest.mark.parametrize("verified", [True, False])
def test_a_hostile_challenge_is_not_sent_back(challenge: Any, verified: bool) -> None:
    create_slack(handshake={**SLACK, "verified": verified})
    answer = post_signed({**SLACK_BODY, "challenge": challenge})
    assert answer.status_code == 400
    assert b"challenge" not in answer.content
    assert not Event.objects.exists()


def test_a_challenge_is_quoted() -> None:
    create_slack()
    hostile = '<script>alert(1)</script>","admin":"yes'
    assert_answered(post_signed({**SLACK_BODY, "challenge": hostile}), {"challenge": hostile})


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"[]",
        b"null",
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
    ],
)
@pytest.mark.parametrize("verified", [True, False])
def test_another_body_is_no_handshake(body: bytes, verified: bool) -> None:
    create_slack(handshake={**SLACK, "verified": verified})
    assert_not_echoed(post(body), "abc-123")
    assert_not_echoed(post_signed(body), "abc-123")


@pytest.mark.parametrize(
    "headers",
    [
        {"Content-Type": "text/plain"},
        {"Content-Type": "application/x-www-form-urlencoded"},
        {"Content-Type": ""},
        {"Content-Encoding": "gzip"},
    ],
)
def test_a_request_that_a_browser_sends_for_any_page_is_no_handshake(headers: dict[str, str]) -> None:
    create_event_grid()
    answer = post(EVENT_GRID_BODY, **headers)
    assert_not_echoed(answer, EVENT_GRID_CODE)
    assert (answer.status_code, answer.json()["code"]) == (415, "wrong-content-type")


@pytest.mark.parametrize("method", ["GET", "OPTIONS", "PUT", "PATCH", "DELETE"])
def test_only_a_post_is_answered(method: str) -> None:
    create_event_grid()
    body = json.dumps(EVENT_GRID_BODY).encode()
    answer = CLIENT.generic(method, ADDRESS, body, headers={"Content-Type": "application/json"})
    assert answer.status_code == 405


def test_a_disabled_source_answers_no_handshake() -> None:
    create_event_grid(is_enabled=False)
    answer = post(EVENT_GRID_BODY)
    assert (answer.status_code, answer.json()["code"]) == (410, "source-disabled")


def test_a_source_without_a_handshake_answers_none() -> None:
    create_slack(handshake={})
    answer = post_signed(SLACK_BODY)
    assert answer.status_code == 400
    assert_not_echoed(answer, SLACK_CHALLENGE)


def test_an_expression_that_costs_too_much_is_stopped() -> None:
    costly = "length(body.list[].[@, @, @, @][]) > `1` && body.challenge"
    create_slack(handshake={**SLACK, "challenge": costly, "verified": False})
    answer = post({**SLACK_BODY, "list": [1] * 600})
    assert_not_echoed(answer, SLACK_CHALLENGE)


def test_an_expression_that_does_not_fit_the_body_is_no_handshake() -> None:
    create_slack(handshake={**SLACK, "when": "starts_with(body.type, 'url_')", "verified": False})
    assert post({**SLACK_BODY, "type": 7}).status_code == 401


@pytest.mark.parametrize(
    ("changes", "fault"),
    [
        ({"when": ""}, "when"),
        ({"when": None}, "when"),
        ({"challenge": "body.["}, "challenge"),
        ({"challenge": "now()"}, "challenge"),
        ({"when": "!body.type.x"}, "when"),
        ({"as": "html"}, "as"),
        ({"field": "a b"}, "field"),
        ({"verified": "no"}, "verified"),
        ({"method": "GET"}, "Unknown field"),
    ],
)
def test_invalid_settings_are_refused_when_saved(changes: dict[str, Any], fault: str) -> None:
    with pytest.raises(ValidationError, match=fault):
        create_slack(handshake={**SLACK, **changes})


def _find_without_limit(self: BodyHandshake, body: bytes) -> Any:
    """Return the challenge of any body that is JSON, whatever its size."""
    document = json.loads(body or b"null")
    return document.get("challenge") if isinstance(document, dict) else None


def _answer_before_verification(source: Source, incoming: Any, verified: Any = None) -> Any:
    return _answer(source, incoming, verified or receive.VerifiedRequest("", None, is_signed=True))


_answer = receive.answer_handshake


Patch = tuple[Any, str, Any]
CASES: dict[str, tuple[Callable[[], None], list[Patch]]] = {
    "answers before the verification": (
        test_a_challenge_without_a_signature_is_refused,
        [(receive, "answer_handshake", _answer_before_verification)],
    ),
    "answers a bad signature": (
        lambda: test_a_challenge_with_a_bad_signature_is_refused({"age": 3_600}),
        [(receive, "answer_handshake", _answer_before_verification)],
    ),
    "echoes control characters": (
        lambda: test_a_hostile_challenge_is_not_sent_back("a\tb", verified=True),
        [(protocol, "_CHALLENGE", re.compile(r".*", re.DOTALL))],
    ),
    "echoes without a limit": (
        lambda: test_a_hostile_challenge_is_not_sent_back("x" * 1_025, verified=True),
        [(protocol, "_CHALLENGE", re.compile(r".*", re.DOTALL))],
    ),
    "reads a body of any size": (
        lambda: test_another_body_is_no_handshake(
            json.dumps({**SLACK_BODY, "challenge": "abc-123", "more": "x" * 20_000}).encode(), verified=True
        ),
        [(protocol, "MAX_BODY_BYTES", 1_000_000)],
    ),
    "takes one of two challenges": (
        lambda: test_another_body_is_no_handshake(
            b'{"type": "url_verification", "challenge": "abc-124", "challenge": "abc-123"}', verified=True
        ),
        [(BodyHandshake, "find_challenge", _find_without_limit)],
    ),
    "takes any webhook for a handshake": (
        lambda: test_another_body_is_no_handshake(
            b'{"type": "message", "challenge": "abc-123"}', verified=False
        ),
        [(protocol, "is_truthy", lambda _value: True)],
    ),
    "takes any media type": (
        lambda: test_a_request_that_a_browser_sends_for_any_page_is_no_handshake(
            {"Content-Type": "text/plain"}
        ),
        [(handshakes, "check_size_and_type", lambda _source, incoming: incoming.body)],
    ),
    "evaluates without a budget": (
        test_an_expression_that_costs_too_much_is_stopped,
        [
            (protocol, "_MAX_STEPS", 1_000_000),
            (protocol, "_MAX_RESULT_BYTES", 1_000_000),
            (expression_budget, "MAX_SECONDS", 60.0),
        ],
    ),
    "quotes nothing": (
        test_a_challenge_is_quoted,
        [(protocol, "_write_answer", lambda field, challenge: f'{{"{field}": "{challenge}"}}'.encode())],
    ),
    "reflects HTML": (test_a_challenge_is_quoted, [(protocol, "_media_type", lambda _field: "text/html")]),
    "has no limit": (
        lambda: test_handshakes_have_a_limit(verified=False),
        [(handshakes, "reserve_turn", lambda *_, **__: None)],
    ),
    "is not listed": (
        test_a_handshake_is_listed_and_is_no_event,
        [(handshakes, "record_handshake", lambda *_: None)],
    ),
}


@pytest.mark.parametrize("variant", CASES)
def test_the_hub_has_the_check(variant: str) -> None:
    CASES[variant][0]()


@pytest.mark.parametrize("variant", CASES)
def test_a_variant_without_the_check_is_caught(variant: str, monkeypatch: pytest.MonkeyPatch) -> None:
    check, patches = CASES[variant]
    for where, name, broken in patches:
        monkeypatch.setattr(where, name, broken)
    with pytest.raises((AssertionError, ValueError, Refusal.DoesNotExist)):
        check()
