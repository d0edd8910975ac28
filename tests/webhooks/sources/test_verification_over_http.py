"""Verification of sources over HTTP: what is signed beyond the body, and that every refusal is one answer."""

import base64
import hmac
import json
import time
from typing import Any

import jwt
import pytest
from django.core.exceptions import ValidationError
from django.test import Client

from webhooks.models import Event, Receipt, Source, SourceSecret
from webhooks.receiving.source_cache import find_source

CLIENT = Client(raise_request_exception=False)
SECRET = "the-client-secret-of-the-sender"
BODY = json.dumps({"id": "X1", "entityType": "DEVICE", "eventType": "UPDATE"}).encode()
HUBSPOT = {
    "header": "X-HubSpot-Signature-v3",
    "signed": ["{method}", "{url}", "{body}", "{time}"],
    "encoding": "base64",
    "time_header": "X-HubSpot-Request-Timestamp",
    "unit": "milliseconds",
}


@pytest.fixture
def hubspot(database: None, settings: Any) -> Source:
    settings.PUBLIC_URL = "https://hub.example.com/in"
    source = Source(slug="hubspot", name="HubSpot", scheme="hmac", scheme_settings=HUBSPOT)
    source.full_clean()
    source.save()
    SourceSecret.objects.create(source=source, value=SECRET, hint="nder")
    return source


def send(path: str, url: str, body: bytes = BODY, **headers: str) -> Any:
    milliseconds = str(int(time.time() * 1000))
    text = b"POST" + url.encode() + BODY + milliseconds.encode()
    signature = base64.b64encode(hmac.digest(SECRET.encode(), text, "sha256")).decode()
    return CLIENT.generic(
        "POST",
        path,
        body,
        headers={
            "Content-Type": "application/json",
            "X-HubSpot-Signature-v3": signature,
            "X-HubSpot-Request-Timestamp": milliseconds,
            **headers,
        },
    )


def test_the_address_that_the_sender_knows_is_verified_whatever_host_it_names(
    hubspot: Source, settings: Any
) -> None:
    for rest in ("", "/", "?portal=1&x=%20y"):
        path = f"/webhooks/hubspot{rest}"
        assert send(path, f"https://hub.example.com/in{path}").status_code == 200
    assert {receipt.verified_by.partition(":")[0] for receipt in Receipt.objects.all()} == {"hmac"}
    for path, url in (
        ("/webhooks/hubspot", "http://hub.example.com/in/webhooks/hubspot"),
        ("/webhooks/hubspot", "https://testserver/webhooks/hubspot"),
        ("/webhooks/hubspot?a=1", "https://hub.example.com/in/webhooks/hubspot"),
        ("/webhooks/hubspot", "https://hub.example.com/in/webhooks/hubspot?"),
        ("/webhooks/hubspot/", "https://hub.example.com/in/webhooks/hubspot"),
    ):
        refused = send(path, url, **{"X-Forwarded-Host": "hub.example.com"})
        assert (refused.status_code, refused.json()["code"]) == (401, "bad-signature")
    assert Receipt.objects.count() == 3
    settings.PUBLIC_URL = ""
    with pytest.raises(ValidationError, match="PUBLIC_URL"):
        hubspot.full_clean()
    assert send("/webhooks/hubspot", "/webhooks/hubspot").status_code == 401


@pytest.fixture
def issuer(database: None) -> Source:
    settings = {"algorithm": "HS256", "type": "secevent+jwt", "id_claim": "jti"}
    source = Source(slug="issuer", name="Issuer", scheme="jwt", scheme_settings=settings)
    source.full_clean()
    source.save()
    SourceSecret.objects.create(source=source, value="k" * 32, hint="kkkk")
    return source


def send_token(
    claims: dict[str, Any], key: str = "k" * 32, media_type: str = "application/secevent+jwt"
) -> Any:
    token = jwt.encode(claims, key, "HS256", {"typ": "secevent+jwt"})
    return CLIENT.generic("POST", "/webhooks/issuer", token, headers={"Content-Type": media_type})


def test_the_claims_of_a_token_are_the_webhook(issuer: Source) -> None:
    claims = {"jti": "e1", "id": "X1", "entityType": "DEVICE", "eventType": "UPDATE", "iat": 1}
    assert send_token(claims).status_code == 200
    event = Event.objects.get()
    assert (event.event_id, event.entity_id, event.is_signed) == ("e1", "X1", True)
    assert event.payload is not None
    assert json.loads(event.payload.decrypt()) == claims
    again = send_token(claims)
    assert (again.status_code, again["Webhook-Replayed"]) == (200, "true")
    assert send_token(claims | {"id": "X2"}).json()["code"] == "event-id-conflict"
    assert send_token({"jti": "e1"}, "l" * 32).status_code == 401
    assert send_token({"jti": "e2"}).json()["code"] == "missing-member"
    assert send_token(claims, media_type="application/json").status_code == 415


def test_a_token_may_be_as_large_as_its_source_accepts(issuer: Source) -> None:
    claims = {"jti": "e1", "id": "X1", "entityType": "DEVICE", "eventType": "UPDATE"}
    for max_bytes in (65_536, 1_048_576):
        issuer.webhook_format = {"max_bytes": max_bytes}
        issuer.save()
        find_source.invalidate()
        # Three bytes of the claims take four of the token.
        for length, status in ((max_bytes * 3 // 4 - 400, 200), (max_bytes, 413)):
            answer = send_token(claims | {"jti": f"e{length}", "note": "x" * length})
            assert (answer.status_code, length) == (status, length)
    assert Event.objects.count() == 2


def test_of_a_body_with_a_token_in_a_field_only_the_token_counts(issuer: Source) -> None:
    issuer.scheme_settings = {"algorithm": "HS256", "field": "token"}
    issuer.full_clean()
    issuer.save()
    claims = {"id": "X1", "entityType": "DEVICE", "eventType": "UPDATE"}
    body = {"token": jwt.encode(claims, "k" * 32, "HS256"), "id": "X-FORGED", "eventType": "DELETE"}
    headers = {"Content-Type": "application/json"}
    assert CLIENT.generic("POST", "/webhooks/issuer", json.dumps(body), headers=headers).status_code == 200
    event = Event.objects.get()
    assert (event.entity_id, event.event_type) == ("X1", "UPDATE")
    assert event.payload is not None
    assert b"X-FORGED" not in event.payload.decrypt()
    refused = CLIENT.generic("POST", "/webhooks/issuer", json.dumps(claims), headers=headers)
    assert (refused.status_code, refused.json()["code"]) == (401, "bad-signature")
    headers = {"Content-Type": "application/jwt"}
    assert CLIENT.generic("POST", "/webhooks/issuer", json.dumps(body), headers=headers).status_code == 415
