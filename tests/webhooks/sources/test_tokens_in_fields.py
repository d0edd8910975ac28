"""Webhooks whose JSON body holds a signed token: only what the token says counts.

Each check is needed: the variants at the end, each without one, fail.
"""

import json
import time
from collections.abc import Callable
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from django.core.exceptions import ValidationError
from django.test import Client

from webhooks.models import Event, Receipt, Source
from webhooks.protocol import signatures
from webhooks.protocol.tokens import jwt_signatures

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
# https://developer.apple.com/documentation/signinwithapple/processing-changes-for-sign-in-with-apple-accounts
APPLE = {
    "algorithm": "RS256",
    "field": "payload",
    "public_keys": [PEM],
    "issuer": "https://appleid.apple.com",
    "audience": "com.example.hub",
    "id_claim": "jti",
}
APPLE_FORMAT = {
    "events": "[from_json(body.events)]",
    "id": "event.sub",
    "entity_type": {"constant": "USER"},
    "event_type": "event.type",
    "event_types": {"email-disabled": "UPDATE", "account-deleted": "DELETE"},
    "occurred_at": "event.event_time",
    "time_format": "milliseconds",
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


def test_hanko() -> None:
    create()
    answer = post({"token": token_of(), "event": "user.create"})
    assert answer.status_code in (200, 202), answer.content
    event = Event.objects.get()
    assert (event.entity_id, event.event_type) == ("u-1", "CREATE")


def test_apple() -> None:
    create(APPLE, APPLE_FORMAT)
    change = {"type": "account-deleted", "sub": "820417.faa325acbc78e1be1668ba852d492d8a.0219"}
    claims = {
        "iss": "https://appleid.apple.com",
        "aud": "com.example.hub",
        "jti": "j-1",
        "events": json.dumps({**change, "event_time": int(time.time() * 1000)}),
    }
    for _ in range(2):
        assert post({"payload": token_of(**claims)}).status_code in (200, 202)
    event = Event.objects.get()
    assert (event.entity_id, event.event_type) == (change["sub"], "DELETE")
    assert Receipt.objects.count() == 2


def test_google_identity_platform() -> None:
    create({**HANKO, "field": "data.jwt"})
    assert post({"data": {"jwt": token_of(evt="user.delete")}}).status_code in (200, 202)
    assert Event.objects.get().event_type == "DELETE"


def test_what_is_not_in_the_token_is_neither_read_nor_stored() -> None:
    create()
    outer = {"token": token_of(), "event": "user.delete", "evt": "user.delete", "data": {"id": "u-forged"}}
    assert post(outer).status_code in (200, 202)
    event = Event.objects.get()
    assert (event.entity_id, event.event_type) == ("u-1", "CREATE")
    assert event.payload is not None
    assert b"u-forged" not in event.payload.decrypt()


@pytest.mark.parametrize(
    "make_body",
    [
        lambda: {"token": token_of(OTHER_KEY)},
        lambda: {"token": token_of(aud="another")},
        lambda: {"token": token_of(exp=1)},
        lambda: {"token": token_of()[:-4] + "AAAA"},
        lambda: {"token": jwt.encode({"aud": "hub", "exp": 9_999_999_999}, "", "none")},
        lambda: {"token": ""},
        lambda: {"token": None},
        lambda: {"token": [token_of()]},
        lambda: {"token": {"token": token_of()}},
        lambda: {"tokens": token_of()},
        lambda: [{"token": token_of()}],
        lambda: token_of(),
        lambda: token_of().encode(),
        lambda: b'{"token": "' + token_of().encode() + b'", "token": "a.b.c"}',
        lambda: b"{" + b'"token":' * 2_000,
        lambda: b"",
    ],
)
def test_a_body_without_a_good_token_is_refused(make_body: Callable[[], Any]) -> None:
    create()
    answer = post(make_body())
    assert answer.status_code == 401
    assert answer.json()["code"] == "bad-signature"
    assert not Event.objects.exists()
    assert not Receipt.objects.exists()


def test_a_token_in_a_field_is_sent_as_json() -> None:
    create()
    body = {"token": token_of()}
    assert post(body, "application/jwt").status_code == 415
    assert post(body, "application/x-www-form-urlencoded").status_code == 415


@pytest.mark.parametrize(
    ("changes", "fault"),
    [
        ({"header": "Authorization"}, "not in both"),
        ({"detached": True}, "header: This field is required"),
        ({"digest_claim": "d"}, "no claim can hold its digest"),
        ({"field": ""}, "field: This must be at most 8 names"),
        ({"field": "a..b"}, "field: This must be at most 8 names"),
        ({"field": "items[].token"}, "field: This must be at most 8 names"),
        ({"field": ".".join("abcdefghi")}, "field: This must be at most 8 names"),
        ({"field": None}, "field"),
    ],
)
def test_invalid_settings_are_refused_when_saved(changes: dict[str, Any], fault: str) -> None:
    with pytest.raises(ValidationError, match=fault):
        create({**HANKO, **changes})


_verify = jwt_signatures.verify_jwt


def _keep_the_whole_body(rule: Any, *args: Any) -> Any:
    signature = _verify(rule, *args)
    return signatures.VerifiedSignature(signature.secret_id, signature.webhook_id)


def _find_anywhere(names: Any, body: bytes) -> str:
    document = json.loads(body)
    value = document[0] if isinstance(document, list) else document
    for name in names:
        value = value[name]
    return value[0] if isinstance(value, list) else str(value)


Patch = tuple[Any, str, Any]
CASES: dict[str, tuple[Callable[[], None], list[Patch]]] = {
    "reads the body and not the token": (
        test_what_is_not_in_the_token_is_neither_read_nor_stored,
        [(signatures, "verify_jwt", _keep_the_whole_body)],
    ),
    "takes one of two tokens": (
        lambda: test_a_body_without_a_good_token_is_refused(
            lambda: b'{"token": "a.b.c", "token": "' + token_of().encode() + b'"}'
        ),
        [(jwt_signatures, "_read_field", _find_anywhere)],
    ),
    "takes a token out of a list": (
        lambda: test_a_body_without_a_good_token_is_refused(lambda: {"token": [token_of()]}),
        [(jwt_signatures, "_read_field", _find_anywhere)],
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
    with pytest.raises(AssertionError):
        check()
