"""Verification of sources over HTTP: what is signed beyond the body, and that every refusal is one answer."""

import base64
import hmac
import json
import time
from typing import Any

import pytest
from django.core.exceptions import ValidationError
from django.test import Client

from webhooks.models import Receipt, Refusal, Source, SourceSecret

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


@pytest.mark.parametrize("rest", ["", "/", "?portal=1&x=%20y"])
def test_the_address_that_the_sender_knows_is_verified(hubspot: Source, rest: str) -> None:
    path = f"/webhooks/hubspot{rest}"
    assert send(path, f"https://hub.example.com/in{path}").status_code == 200
    [receipt] = Receipt.objects.all()
    assert receipt.verified_by.startswith("hmac:")


@pytest.mark.parametrize(
    ("path", "url"),
    [
        ("/webhooks/hubspot", "http://hub.example.com/in/webhooks/hubspot"),
        ("/webhooks/hubspot", "https://testserver/webhooks/hubspot"),
        ("/webhooks/hubspot?a=1", "https://hub.example.com/in/webhooks/hubspot"),
        ("/webhooks/hubspot", "https://hub.example.com/in/webhooks/hubspot?"),
        ("/webhooks/hubspot/", "https://hub.example.com/in/webhooks/hubspot"),
    ],
)
def test_another_address_is_refused_whatever_host_the_sender_names(
    hubspot: Source, path: str, url: str
) -> None:
    refused = send(path, url, **{"X-Forwarded-Host": "hub.example.com"})
    assert (refused.status_code, refused.json()["code"]) == (401, "bad-signature")
    assert not Receipt.objects.exists()


def test_every_refusal_is_the_same_answer(hubspot: Source) -> None:
    url = "https://hub.example.com/in/webhooks/hubspot"
    answers = [
        send("/webhooks/hubspot", url, BODY + b" "),
        send("/webhooks/hubspot", url, **{"X-HubSpot-Request-Timestamp": "1"}),
        send("/webhooks/hubspot", url, **{"X-HubSpot-Request-Timestamp": "now"}),
        send("/webhooks/hubspot", url, **{"X-HubSpot-Signature-v3": ""}),
        send("/webhooks/hubspot", f"{url}/other"),
    ]
    assert {(answer.status_code, answer.content) for answer in answers} == {(401, answers[0].content)}
    assert set(Refusal.objects.values_list("code", flat=True)) == {"bad-signature"}


def test_a_signed_address_cannot_be_saved_without_the_address_of_the_hub(
    hubspot: Source, settings: Any
) -> None:
    settings.PUBLIC_URL = ""
    with pytest.raises(ValidationError, match="PUBLIC_URL"):
        hubspot.full_clean()
    assert send("/webhooks/hubspot", "/webhooks/hubspot").status_code == 401
