"""Handshakes that are answered with an HMAC of the challenge, by senders that check it as they document, and refuse the
source otherwise."""

import base64
import hashlib
import hmac
import json
import time
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote

import pytest
from django.core.exceptions import ValidationError
from django.test import Client

from webhooks.models import Event, Refusal, Source, SourceSecret
from webhooks.receiving import refusals
from webhooks.receiving.source_cache import find_source

CLIENT = Client(raise_request_exception=False)
ADDRESS = "/webhooks/asker"
SECRET = "5cbf2c2c1b0a4d8e9f7a6b5c4d3e2f1a"
NEW_SECRET = "77c1a9e2f0b34d5c8e6f9a0b1c2d3e4f"
WEBHOOK = b'{"id": "u-1", "entityType": "USER", "eventType": "UPDATE"}'

# https://developers.zoom.us/docs/api/webhooks/#validate-your-webhook-endpoint
ZOOM = {
    "from": "body",
    "when": "body.event == 'endpoint.url_validation'",
    "challenge": "body.payload.plainToken",
    "field": "plainToken",
    "hmac": {"field": "encryptedToken"},
}
ZOOM_SCHEME = {
    "header": "x-zm-signature",
    "signed": ["v0:", "{time}", ":", "{body}"],
    "prefix": "v0=",
    "time_header": "x-zm-request-timestamp",
}
# https://docs.x.com/x-api/webhooks/quickstart
X = {
    "from": "query",
    "name": "crc_token",
    "field": "response_token",
    "hmac": {"encoding": "base64", "prefix": "sha256="},
}
X_SCHEME = {"header": "x-twitter-webhooks-signature", "encoding": "base64", "prefix": "sha256="}
# https://learn.microsoft.com/linkedin/shared/api-guide/webhook-validation
LINKEDIN = {
    "from": "query",
    "name": "challengeCode",
    "field": "challengeCode",
    "hmac": {"field": "challengeResponse"},
}
LINKEDIN_SCHEME = {"header": "X-LI-Signature", "signed": ["hmacsha256=", "{body}"]}


@pytest.fixture(autouse=True)
def _database(database: None) -> Iterator[None]:
    yield
    refusals.reset_counts()


def create(handshake: Any, scheme: str, scheme_settings: Any, **fields: Any) -> Source:
    source = Source(
        slug="asker",
        name="Asker",
        handshake=handshake,
        scheme=scheme,
        scheme_settings=scheme_settings,
        **{"default_mode": "ack", **fields},
    )
    source.full_clean()
    source.save()
    add_secret(source, SECRET)
    return source


def create_zoom(**fields: Any) -> Source:
    return create(ZOOM, "hmac", ZOOM_SCHEME, **fields)


def create_x(**fields: Any) -> Source:
    return create(X, "body-hmac", X_SCHEME, **fields)


def add_secret(source: Source, value: str) -> None:
    SourceSecret.objects.create(source=source, value=value, hint=value[-4:])


def digest(text: bytes, secret: str = SECRET) -> bytes:
    return hmac.new(secret.encode(), text, hashlib.sha256).digest()


def post(body: bytes, media_type: str = "application/json", **headers: str) -> Any:
    return CLIENT.generic("POST", ADDRESS, body, headers={"Content-Type": media_type, **headers})


def post_as_zoom(document: Any, secret: str = SECRET) -> Any:
    body, sent_at = json.dumps(document).encode(), str(int(time.time()))
    signature = "v0=" + digest(b"v0:" + sent_at.encode() + b":" + body, secret).hex()
    return post(body, **{"x-zm-signature": signature, "x-zm-request-timestamp": sent_at})


def post_as_x(body: bytes, signature: str, media_type: str = "application/json") -> Any:
    return post(body, media_type, **{"x-twitter-webhooks-signature": signature})


def ask_x(token: str) -> Any:
    return CLIENT.get(f"{ADDRESS}?crc_token={quote(token, safe='')}&nonce=1")


def validate_as_zoom(secret: str = SECRET) -> None:
    """Validate the source as Zoom does. Raises AssertionError if Zoom would not accept it."""
    token = "qgg8vlvZRS6UYooatFL8Aw"
    document = {"payload": {"plainToken": token}, "event_ts": 1, "event": "endpoint.url_validation"}
    answer = post_as_zoom(document, secret)
    assert answer.status_code == 200
    assert answer.json() == {
        "plainToken": token,
        "encryptedToken": digest(token.encode(), secret).hex(),
    }
    assert answer["Content-Type"] == "application/json"


def test_zoom_gets_its_token_and_the_hmac_of_it() -> None:
    source = create_zoom()
    validate_as_zoom()
    assert not Event.objects.exists()
    refusals.refusal_counts.flush()
    assert Refusal.objects.get().code == "handshake"
    document = {"event": "endpoint.url_validation", "payload": {"plainToken": "abc"}}
    answer = post_as_zoom(document, NEW_SECRET)
    assert (answer.status_code, answer.json()["code"]) == (401, "bad-signature")
    assert digest(b"abc").hex().encode() not in answer.content
    # The key is the secret that verified the handshake.
    add_secret(source, NEW_SECRET)
    find_source.invalidate()
    validate_as_zoom(SECRET)
    validate_as_zoom(NEW_SECRET)


def test_x_gets_the_hmac_instead_of_its_token() -> None:
    source = create_x()
    answer = ask_x("NmJkN2Y1-Y2Mt_NGI2=")
    response_token = "sha256=" + base64.b64encode(digest(b"NmJkN2Y1-Y2Mt_NGI2=")).decode()
    assert (answer.status_code, answer.json()) == (200, {"response_token": response_token})
    assert answer["Cache-Control"] == "no-store"
    # It is not verified: its key is the newest secret.
    add_secret(source, NEW_SECRET)
    find_source.invalidate()
    expected = "sha256=" + base64.b64encode(digest(b"abc", NEW_SECRET)).decode()
    assert ask_x("abc").json() == {"response_token": expected}
    Source.objects.update(handshake={"from": "query", "name": "crc_token", "as": "text", "hmac": {}})
    find_source.invalidate()
    answer = ask_x("abc")
    assert (answer.content, answer["Content-Type"]) == (
        digest(b"abc", NEW_SECRET).hex().encode(),
        "text/plain; charset=utf-8",
    )


def test_linkedin_gets_its_code_and_the_hmac_of_it() -> None:
    create(LINKEDIN, "hmac", LINKEDIN_SCHEME)
    code = "890e4665-4dfe-4ab1-b689-ed553bceeed0"
    answer = CLIENT.get(f"{ADDRESS}?challengeCode={code}")
    assert answer.json() == {"challengeCode": code, "challengeResponse": digest(code.encode()).hex()}
    signature = digest(b"hmacsha256=" + WEBHOOK).hex()
    assert post(WEBHOOK, **{"X-LI-Signature": signature}).status_code in (200, 202)


def test_webhooks_of_a_source_with_an_hmac_are_events() -> None:
    create_x()
    signature = "sha256=" + base64.b64encode(digest(WEBHOOK)).decode()
    assert post_as_x(b" \n" + WEBHOOK, signature).status_code == 401
    assert post_as_x(WEBHOOK, signature).status_code in (200, 202)
    assert Event.objects.count() == 1


def test_a_source_without_a_secret_answers_no_challenge() -> None:
    source = create_x()
    source.secrets.all().delete()
    assert ask_x("abc").status_code == 405


def test_the_hub_signs_no_text_that_could_be_a_webhook() -> None:
    """With a signature of the body alone, the HMAC of a challenge is the signature of a webhook."""
    create_x()
    for challenge in (WEBHOOK.decode(), "[]", "a{b", "a b", "a&b", '"a"', "a:b", "x" * 257, "%", "", "a,b"):
        answer = ask_x(challenge)
        assert answer.status_code == 405
        assert b"sha256=" not in answer.content


def test_a_body_that_could_be_a_challenge_is_refused() -> None:
    create_x(webhook_format={"id": {"constant": "u-1"}, "event_type": {"constant": "DELETE"}})
    for body in (b"1700000000", b"null", b"1.5"):
        signature = ask_x(body.decode()).json()["response_token"]
        answer = post_as_x(body, signature)
        assert (answer.status_code, answer.json()["code"]) == (401, "bad-signature")
    assert not Event.objects.exists()


def test_a_form_or_an_empty_body_that_anyone_could_sign_is_refused_though_it_was_saved() -> None:
    source = create_x()
    for webhook_format in (
        {"content_types": ["application/x-www-form-urlencoded"], "id": "body.id"},
        {"allow_empty_body": True, "id": {"constant": "u-1"}},
    ):
        Source.objects.filter(pk=source.pk).update(
            webhook_format={
                "entity_type": {"constant": "USER"},
                "event_type": {"constant": "DELETE"},
                **webhook_format,
            }
        )
        signature = ask_x("id=").json()["response_token"]
        answer = post_as_x(b"id=", signature, "application/x-www-form-urlencoded")
        assert answer.status_code in (401, 415)
    assert not Event.objects.exists()


@pytest.mark.parametrize(
    ("fields", "fault"),
    [
        ({"scheme": "bearer", "scheme_settings": {}}, "hmac"),
        ({"scheme": "standard-webhooks", "scheme_settings": {}}, "hmac"),
        ({"webhook_format": {"allow_empty_body": True}}, "allow_empty_body|empty body"),
        (
            {"webhook_format": {"content_types": ["application/x-www-form-urlencoded"]}},
            "content_types",
        ),
        ({"handshake": {**X, "hmac": {"field": "response_token"}}}, "hmac"),
        ({"handshake": {**X, "as": "text", "hmac": {"field": "b"}}}, "hmac"),
        ({"handshake": {**X, "hmac": {"algorithm": "md5"}}}, "hmac/algorithm"),
        ({"handshake": {**X, "hmac": {"key": SECRET}}}, "hmac"),
        ({"handshake": {**X, "hmac": None}}, "hmac"),
    ],
)
def test_invalid_settings_are_refused_when_saved(fields: dict[str, Any], fault: str) -> None:
    changes = {"handshake": X, "scheme": "body-hmac", "scheme_settings": X_SCHEME, **fields}
    with pytest.raises(ValidationError, match=fault):
        create(changes.pop("handshake"), changes.pop("scheme"), changes.pop("scheme_settings"), **changes)
