"""Handshakes over HTTP: each sender gets its challenge back where that is switched on, and nobody gets anything else."""

import base64
import hashlib
import hmac
import json
import socket
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
from django.core.exceptions import ValidationError
from django.test import Client

from audit.models import Entry
from sync.statistics.event_counts import count_events
from tests.support.people import browser
from webhooks.models import Event, Receipt, Refusal, Source, SourceSecret
from webhooks.receiving import handshakes, refusals
from webhooks.receiving.source_cache import find_source

CLIENT = Client(raise_request_exception=False)
ADDRESS = "/webhooks/asker"
SECRET, NEW_SECRET = "8f742231b10e8888abcd99yyyzzz85a5", "77c1a9e2f0b34d5c8e6f9a0b1c2d3e4f"
WEBHOOK = b'{"id": "u-1", "entityType": "USER", "eventType": "UPDATE"}'
FORM = "application/x-www-form-urlencoded"

OKTA = {"from": "header", "name": "X-Okta-Verification-Challenge"}
GRAPH = {"from": "query", "name": "validationToken", "method": "POST", "as": "text"}
# https://api.slack.com/events/url_verification; Zoom signs its requests in the same way.
SLACK = {"from": "body", "when": "body.type == 'url_verification'", "challenge": "body.challenge"}
SLACK_BODY = {
    "token": "Jhj5dZrVaK7ZwHHjRyZWjbDl",
    "challenge": "3eZbrw1aBm2rZgRN",
    "type": "url_verification",
}
SIGNED = {
    "scheme": "hmac",
    "scheme_settings": {
        "header": "X-Slack-Signature",
        "signed": ["v0:", "{time}", ":", "{body}"],
        "prefix": "v0=",
        "time_header": "X-Slack-Request-Timestamp",
    },
}
ZOOM = {
    "from": "body",
    "when": "body.event == 'endpoint.url_validation'",
    "challenge": "body.payload.plainToken",
    "field": "plainToken",
    "hmac": {"field": "encryptedToken"},
}
# https://learn.microsoft.com/azure/event-grid/end-point-validation-event-grid-events-schema
EVENT_GRID = {
    "from": "body",
    "when": "body[0].eventType == 'Microsoft.EventGrid.SubscriptionValidationEvent'",
    "challenge": "body[0].data.validationCode",
    "field": "validationResponse",
    "verified": False,
}
EVENT_GRID_BODY = [
    {
        "eventType": "Microsoft.EventGrid.SubscriptionValidationEvent",
        "data": {"validationCode": "512d38b6-c7b8"},
    }
]
# https://docs.x.com/x-api/webhooks/quickstart
X = {
    "from": "query",
    "name": "crc_token",
    "field": "response_token",
    "hmac": {"encoding": "base64", "prefix": "sha256="},
}
X_SIGNED = {
    "scheme": "body-hmac",
    "scheme_settings": {"header": "X-Signature", "encoding": "base64", "prefix": "sha256="},
}


@pytest.fixture(autouse=True)
def _database(database: None) -> Iterator[None]:
    yield
    refusals.reset_counts()


def create(handshake: Any, **fields: Any) -> Source:
    values = {"scheme": "bearer", "default_mode": "ack", "requests_per_minute": None, **fields}
    source = Source(slug="asker", name="Asker", handshake=handshake, **values)
    source.full_clean()
    source.save()
    add_secret(source, SECRET)
    return source


def add_secret(source: Source, value: str) -> None:
    SourceSecret.objects.create(source=source, value=value, hint=value[-4:])
    find_source.invalidate()


def change(source: Source, **fields: Any) -> None:
    Source.objects.filter(pk=source.pk).update(**fields)
    find_source.invalidate()


def ask(challenge: str = "abc", path: str = ADDRESS) -> Any:
    return CLIENT.get(path, headers={OKTA["name"]: challenge})


def ask_x(token: str) -> Any:
    return CLIENT.get(ADDRESS, {"crc_token": token, "nonce": "1"})


def ask_origin(method: str = "OPTIONS", **headers: str) -> Any:
    return CLIENT.generic(
        method, ADDRESS, headers={"WebHook-Request-Origin": "emitter.example.com", **headers}
    )


def post(document: Any, query: str = "", **headers: str) -> Any:
    body = document if isinstance(document, bytes) else json.dumps(document).encode()
    return CLIENT.generic(
        "POST", ADDRESS + query, body, headers={"Content-Type": "application/json", **headers}
    )


def post_signed(document: Any, *, secret: str = SECRET, age: int = 0) -> Any:
    body, sent_at = json.dumps(document).encode(), str(int(time.time()) - age)
    signature = "v0=" + digest(b"v0:" + sent_at.encode() + b":" + body, secret).hex()
    return post(body, **{"X-Slack-Signature": signature, "X-Slack-Request-Timestamp": sent_at})


def digest(text: bytes, secret: str = SECRET) -> bytes:
    return hmac.new(secret.encode(), text, hashlib.sha256).digest()


def code_of(answer: Any) -> tuple[int, str]:
    return answer.status_code, answer.json()["code"]


def assert_answered(answer: Any, document: Any) -> None:
    assert (answer.status_code, answer.json()) == (200, document)
    assert answer["Content-Type"] == "application/json"
    assert (answer["Cache-Control"], answer["X-Content-Type-Options"]) == ("no-store", "nosniff")
    assert not any(name.lower().startswith("access-control") for name in answer.headers)


def test_a_challenge_in_a_header_is_answered_only_where_that_is_switched_on() -> None:
    source = create({})
    for handshake in ({}, GRAPH):
        change(source, handshake=handshake)
        answer = ask()
        assert (answer.status_code, answer["Allow"], answer.json()["code"]) == (405, "POST", "wrong-method")
    change(source, handshake=OKTA)
    for path in (ADDRESS, f"{ADDRESS}/"):
        assert_answered(ask("3xK-challenge_~", path), {"verification": "3xK-challenge_~"})
    assert ask("a\tb").status_code == 405
    assert ask(path="/webhooks/nobody").status_code == 405
    change(source, is_enabled=False)
    assert ask().status_code == 405
    assert not Receipt.objects.exists()


def test_a_token_in_the_query_is_sent_back_as_plain_text_and_a_post_without_it_is_a_webhook() -> None:
    create(GRAPH)
    answer = post(
        b"", "?validationToken=Validation%3a+Testing%20client%3Cb%3E", **{"Content-Type": "text/plain"}
    )
    assert (answer.status_code, answer.content) == (200, b"Validation: Testing client<b>")
    assert answer["Content-Type"] == "text/plain; charset=utf-8"
    assert (answer["Cache-Control"], answer["X-Content-Type-Options"]) == ("no-store", "nosniff")
    query = "?validationToken=%0d%0aSet-Cookie:a"
    assert code_of(post(b"", query, **{"Content-Type": "text/plain"})) == (415, "wrong-content-type")
    assert code_of(post(b"", query)) == (401, "bad-signature")


def test_a_challenge_in_a_body_is_answered_after_its_signature_was_verified() -> None:
    source = create(SLACK, **SIGNED)
    assert_answered(post_signed(SLACK_BODY), {"challenge": SLACK_BODY["challenge"]})
    for answer in (
        post(SLACK_BODY),
        post_signed(SLACK_BODY, secret=NEW_SECRET),
        post_signed(SLACK_BODY, age=3_600),
    ):
        assert code_of(answer) == (401, "bad-signature")
        assert SLACK_BODY["challenge"].encode() not in answer.content
    # Neither one that cannot be sent back nor one of a source without a handshake is more than an unusable webhook.
    assert post_signed(SLACK_BODY | {"challenge": "é"}).status_code == 400
    change(source, handshake={})
    assert post_signed(SLACK_BODY).status_code == 400
    change(source, handshake=SLACK)
    assert not Event.objects.exists()
    assert post_signed(json.loads(WEBHOOK)).status_code in (200, 202)
    assert Event.objects.count() == 1


def test_a_challenge_in_a_body_is_answered_without_a_signature_only_if_the_settings_say_so() -> None:
    source = create(EVENT_GRID, scheme="header", scheme_settings={"header": "X-Key"})
    headers = {"Content-Type": "application/json; charset=utf-8", "aeg-event-type": "SubscriptionValidation"}
    assert_answered(post(EVENT_GRID_BODY, **headers), {"validationResponse": "512d38b6-c7b8"})
    assert code_of(post([EVENT_GRID_BODY[0] | {"eventType": "BlobCreated"}])) == (401, "bad-signature")
    # What a browser sends for any page is no handshake.
    for browsers in ({"Content-Type": "text/plain"}, {"Content-Type": ""}, {"Content-Encoding": "gzip"}):
        assert code_of(post(EVENT_GRID_BODY, **browsers)) == (415, "wrong-content-type")
    for method in ("GET", "OPTIONS", "PUT"):
        body = json.dumps(EVENT_GRID_BODY).encode()
        answer = CLIENT.generic(method, ADDRESS, body, headers={"Content-Type": "application/json"})
        assert answer.status_code == 405
    change(source, is_enabled=False)
    assert code_of(post(EVENT_GRID_BODY)) == (410, "source-disabled")


def test_the_key_of_an_hmac_is_the_secret_that_verified_the_handshake() -> None:
    source = create(ZOOM, **SIGNED)
    document = {"payload": {"plainToken": "qgg8vlvZRS6U"}, "event": "endpoint.url_validation"}
    answer = post_signed(document, secret=NEW_SECRET)
    assert code_of(answer) == (401, "bad-signature")
    assert digest(b"qgg8vlvZRS6U").hex().encode() not in answer.content
    add_secret(source, NEW_SECRET)
    for secret in (SECRET, NEW_SECRET):
        answer = post_signed(document, secret=secret)
        encrypted = digest(b"qgg8vlvZRS6U", secret).hex()
        assert_answered(answer, {"plainToken": "qgg8vlvZRS6U", "encryptedToken": encrypted})


def test_the_key_of_an_hmac_for_anyone_is_the_newest_secret_and_signs_nothing_that_could_be_a_webhook() -> (
    None
):
    source = create(
        X, **X_SIGNED, webhook_format={"id": {"constant": "u-1"}, "event_type": {"constant": "DELETE"}}
    )
    for secret in (SECRET, NEW_SECRET):
        if secret == NEW_SECRET:
            add_secret(source, secret)
        response_token = "sha256=" + base64.b64encode(digest(b"NmJkN2Y1-Y2Mt=", secret)).decode()
        assert_answered(ask_x("NmJkN2Y1-Y2Mt="), {"response_token": response_token})
    for challenge in (WEBHOOK.decode(), "a b"):
        answer = ask_x(challenge)
        assert answer.status_code == 405
        assert b"sha256=" not in answer.content
    # A body that could be a challenge is refused with its right signature.
    for body in (b"1700000000", b"null"):
        signature = ask_x(body.decode()).json()["response_token"]
        assert code_of(post(body, **{"X-Signature": signature})) == (401, "bad-signature")
    # So are a form and an empty body, even if the source was saved with them.
    words = {"entity_type": {"constant": "USER"}, "event_type": {"constant": "DELETE"}}
    for webhook_format in (
        {"content_types": [FORM], "id": "body.id"},
        {"allow_empty_body": True, "id": {"constant": "u-1"}},
    ):
        change(source, webhook_format=words | webhook_format)
        signature = ask_x("id=").json()["response_token"]
        assert post(b"id=", **{"Content-Type": FORM, "X-Signature": signature}).status_code in (401, 415)
    assert not Event.objects.exists()
    source.secrets.all().delete()
    find_source.invalidate()
    assert ask_x("abc").status_code == 405


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"scheme": "bearer", "scheme_settings": {}}, "handshake"),
        ({"scheme": "standard-webhooks", "scheme_settings": {}}, "handshake"),
        ({"webhook_format": {"allow_empty_body": True}}, "webhook_format"),
        ({"webhook_format": {"content_types": [FORM]}}, "webhook_format"),
    ],
)
def test_an_hmac_for_anyone_fits_only_an_hmac_of_json(fields: dict[str, Any], field: str) -> None:
    with pytest.raises(ValidationError) as refused:
        create(X, **X_SIGNED | fields)
    assert set(refused.value.message_dict) == {field}


def test_the_origin_of_cloud_events_may_send_at_the_rate_of_the_source(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """HTTP 1.1 Web Hooks for Event Delivery, section 4."""

    def refuse_connection(*_: Any, **__: Any) -> None:
        raise AssertionError("the hub calls the callback")

    monkeypatch.setattr(socket, "create_connection", refuse_connection)
    source = create({"from": "origin"}, requests_per_minute=100)
    callback = "https://example.com/confirm?id=12345"
    answer = ask_origin(**{"WebHook-Request-Rate": "120", "WebHook-Request-Callback": callback})
    assert (answer.status_code, answer.content, answer["Allow"]) == (200, b"", "POST")
    assert answer["WebHook-Allowed-Origin"] == "emitter.example.com"
    assert answer["WebHook-Allowed-Rate"] == "100"
    assert (answer["Cache-Control"], answer["X-Content-Type-Options"]) == ("no-store", "nosniff")
    assert not any(name.lower().startswith("access-control") for name in answer.headers)
    assert callback not in str(answer.headers)
    change(source, requests_per_minute=None)
    assert ask_origin(**{"WebHook-Request-Rate": "9" * 400})["WebHook-Allowed-Rate"] == "*"
    assert ask_origin(method="POST", **{"Content-Type": "application/json"}).status_code == 401
    refused = [ask_origin(**{"Access-Control-Request-Method": "POST"}), ask_origin(method="GET")]
    for changes in ({"handshake": {}}, {"is_enabled": False, "handshake": {"from": "origin"}}):
        change(source, **changes)
        refused.append(ask_origin())
    for answer in refused:
        assert (answer.status_code, answer["Allow"]) == (405, "POST")
        assert not any(name.lower().startswith("webhook-") for name in answer.headers)


@pytest.mark.submission_rows(1)
@pytest.mark.parametrize("kind", ["header", "body", "origin"])
def test_handshakes_have_a_limit_of_their_own_and_are_listed_with_the_requests(
    kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    handshake, send = {
        "header": (OKTA, ask),
        "body": (SLACK, lambda: post_signed(SLACK_BODY)),
        "origin": ({"from": "origin"}, ask_origin),
    }[kind]
    source = create(handshake, **SIGNED, requests_per_minute=1)
    # A further one only after 50 s, however long the requests take.
    limit = replace(handshakes.HANDSHAKE_LIMIT, per_second=0.02)
    monkeypatch.setattr(handshakes, "HANDSHAKE_LIMIT", limit)
    answers = [send() for _ in range(limit.burst + 5)]
    statuses = [answer.status_code for answer in answers]
    assert statuses[: limit.burst] == [200] * limit.burst
    assert statuses[-1] == 429
    assert answers[-1]["Retry-After"]
    refusals.refusal_counts.flush()
    # A row for each minute, and an entry for each hour, in which there were some.
    times: Counter[str] = Counter()
    for counted in Refusal.objects.all():
        times[counted.code] += counted.times
    assert times == {"handshake": statuses.count(200), "too-many-requests": statuses.count(429)}
    refused = Refusal.objects.filter(code="too-many-requests")
    hours = {row.last_at.replace(minute=0, second=0, microsecond=0) for row in refused}
    assert sum(sum(count_events(hour).refusals.values()) for hour in hours) == statuses.count(429)
    assert Entry.objects.filter(action="webhook.refused").count() == len(hours)
    row = Refusal.objects.filter(code="handshake")[0]
    assert (row.source, row.status) == (source, 200)
    assert not {"abc", SLACK_BODY["challenge"], "emitter.example.com"} & set(map(str, row.__dict__.values()))
    assert not Receipt.objects.exists()
    client, address = browser("support"), f"/admin/webhooks/refusal/{row.pk}/change/"
    assert address in client.get("/admin/webhooks/receipt/?result=handshake").content.decode()
    assert address not in client.get("/admin/webhooks/receipt/?result=refused").content.decode()
    assert "notice-warn" not in client.get(address).content.decode()
