"""Webhooks whose JSON body holds a signed token: only what the token says counts."""

import json
import time
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from django.core.exceptions import ValidationError
from django.test import Client

from webhooks.models import Event, Receipt, Source

pytestmark = pytest.mark.usefixtures("database")

CLIENT = Client(raise_request_exception=False)
PRIVATE_KEY = rsa.generate_private_key(65_537, 2_048)
OTHER_KEY = rsa.generate_private_key(65_537, 2_048)
PEM = PRIVATE_KEY.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()

# https://github.com/teamhanko/hanko/blob/main/backend/README.md#webhooks
HANKO = {
    "algorithm": "RS256",
    "field": "token",
    "public_keys": [PEM],
    "audience": "hub",
    "needs_expiry": True,
}
HANKO_FORMAT = {
    "id": "event.data.id",
    "entity_type": {"constant": "USER"},
    "event_type": "event.evt",
    "event_types": {"user.create": "CREATE", "user.update.email.primary": "UPDATE", "user.delete": "DELETE"},
    "occurred_at": "event.iat",
    "time_format": "seconds",
    "event_id": "`null`",
}


def create(scheme_settings: Any = None, webhook_format: Any = None, **fields: Any) -> Source:
    source = Source(
        slug="issuer",
        name="Issuer",
        scheme="jwt",
        scheme_settings=scheme_settings or HANKO,
        webhook_format=webhook_format or HANKO_FORMAT,
        default_mode="ack",
        **fields,
    )
    source.full_clean()
    source.save()
    return source


def token_of(key: Any = PRIVATE_KEY, **claims: Any) -> str:
    now = int(time.time())
    base = {"aud": "hub", "iat": now, "exp": now + 300, "evt": "user.create", "data": {"id": "u-1"}}
    return jwt.encode({**base, **claims}, key, "RS256")


def post(document: Any, media_type: str = "application/json") -> Any:
    body = document if isinstance(document, bytes) else json.dumps(document).encode()
    return CLIENT.generic("POST", "/webhooks/issuer", body, headers={"Content-Type": media_type})


def test_hanko_of_which_only_the_token_counts() -> None:
    create()
    outer = {"token": token_of(), "event": "user.delete", "evt": "user.delete", "data": {"id": "u-forged"}}
    answer = post(outer)
    assert answer.status_code in (200, 202), answer.content
    event = Event.objects.get()
    assert (event.entity_id, event.event_type) == ("u-1", "CREATE")
    assert event.payload is not None
    assert b"u-forged" not in event.payload.decrypt()


@pytest.mark.promise("I16", "T1")
def test_a_body_without_a_good_token_is_refused() -> None:
    create()
    for body in (
        {"token": token_of(OTHER_KEY)},
        {"token": token_of(aud="another")},
        {"token": token_of(exp=1)},
        {"token": token_of()[:-4] + "AAAA"},
        {"token": jwt.encode({"aud": "hub", "exp": 9_999_999_999}, "", "none")},
        {"token": ""},
        {"token": None},
        {"token": [token_of()]},
        {"token": {"token": token_of()}},
        {"tokens": token_of()},
        [{"token": token_of()}],
        token_of(),
        token_of().encode(),
        b'{"token": "' + token_of().encode() + b'", "token": "a.b.c"}',
        b'{"token": "a.b.c", "token": "' + token_of().encode() + b'"}',
        b"{" + b'"token":' * 2_000,
        b"",
    ):
        answer = post(body)
        assert (answer.status_code, answer.json()["code"]) == (401, "bad-signature"), body
    for media_type in ("application/jwt", "application/x-www-form-urlencoded"):
        assert post({"token": token_of()}, media_type).status_code == 415
    assert not Event.objects.exists()
    assert not Receipt.objects.exists()


@pytest.mark.parametrize(
    ("changes", "setting"),
    [
        ({"header": "Authorization"}, "field"),
        ({"detached": True}, "header"),
        ({"digest_claim": "d"}, "digest"),
        ({"field": ""}, "field"),
        ({"field": "a..b"}, "field"),
        ({"field": "items[].token"}, "field"),
        ({"field": ".".join("abcdefghi")}, "field"),
        ({"field": None}, "field"),
    ],
)
def test_invalid_settings_are_refused_when_saved(changes: dict[str, Any], setting: str) -> None:
    with pytest.raises(ValidationError, match=setting):
        create({**HANKO, **changes})
