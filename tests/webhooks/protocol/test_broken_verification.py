"""Each check of a verification is needed: a variant without it accepts what the tests send to be refused."""

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import jwt
import pytest

from webhooks.protocol import body_secret, hmac_signatures, verification_result
from webhooks.protocol.hmac_rule import compute_hmac
from webhooks.protocol.signatures import BadSignature, LiveSecret, VerifiedSignature, verify_signature
from webhooks.protocol.tokens import jwt_signatures

pytestmark = pytest.mark.pure

NOW = datetime(2026, 3, 4, tzinfo=UTC)
SECONDS = int(NOW.timestamp())
KEY = "k" * 32
BODY = b'{"id":"X1"}'
TIMED = {
    "header": "X-Sig",
    "signed": ["{id}", ".", "{time}", ".", "{body}"],
    "time_header": "X-Time",
    "id_header": "X-Id",
}
TOKEN = {"algorithm": "HS256", "header": "X-Token"}


def verify(
    scheme: str, settings: dict[str, Any], headers: dict[str, str], body: bytes = BODY
) -> VerifiedSignature:
    return verify_signature(
        scheme, settings=settings, secrets=[LiveSecret(1, KEY)], headers=headers, body=body, now=NOW
    )


def send_timed(*, at: int = SECONDS, webhook_id: str = "a", signature: str = "") -> VerifiedSignature:
    signed = f"{webhook_id}.{at}.".encode() + BODY
    right = compute_hmac(KEY.encode(), signed, "sha256").hex()
    return verify("hmac", TIMED, {"x-sig": signature or right, "x-time": str(at), "x-id": webhook_id})


def send_token(claims: dict[str, Any], key: str = KEY, **settings: Any) -> VerifiedSignature:
    token = jwt.encode(claims, key, "HS256")
    return verify("jwt", TOKEN | settings, {"x-token": token})


def send_body(**fields: Any) -> VerifiedSignature:
    return verify("body-secret", {"field": "state"}, {}, json.dumps(fields).encode())


CASES: dict[str, tuple[Callable[[], VerifiedSignature], Any, str, Any]] = {
    "the window of the time": (
        lambda: send_timed(at=SECONDS - 301),
        hmac_signatures,
        "parse_recent_time",
        lambda number, *_: datetime.fromtimestamp(int(number), UTC),
    ),
    "the separator in an id": (
        lambda: send_timed(webhook_id="a.b"),
        hmac_signatures,
        "_check_id",
        lambda webhook_id, _: webhook_id.encode(),
    ),
    "the comparison": (
        lambda: send_timed(signature="0" * 64),
        hmac_signatures,
        "find_matching_secret",
        lambda expected, _: expected[0][0].id,
    ),
    "the issuer": (
        lambda: send_token({"iss": "b"}, issuer="a"),
        jwt_signatures,
        "_check_claims",
        lambda *_: None,
    ),
    "the audience": (
        lambda: send_token({"aud": "b"}, audience="a"),
        jwt_signatures,
        "_check_claims",
        lambda *_: None,
    ),
    "the end": (lambda: send_token({"exp": SECONDS - 61}), jwt_signatures, "_check_claims", lambda *_: None),
    "the digest of the body": (
        lambda: send_token({"d": "0" * 64}, digest_claim="d"),
        jwt_signatures,
        "_check_digest",
        lambda *_: None,
    ),
    "the type of a token": (
        lambda: send_token({}, type="secevent+jwt"),
        jwt_signatures,
        "_read_header",
        lambda *_: {},
    ),
    "the signature of a token": (
        lambda: send_token({}, "w" * 32),
        jwt_signatures,
        "_decode_with_key",
        lambda *_: b"{}",
    ),
    "the secret in the body": (
        lambda: send_body(state="w" * 32),
        body_secret,
        "find_matching_secret",
        lambda expected, _: expected[0][0].id,
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_a_variant_without_a_check_accepts_an_invalid_request(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    send, module, function, broken = CASES[name]
    with pytest.raises(BadSignature):
        send()
    monkeypatch.setattr(module, function, broken)
    assert send().secret_id == 1, "another check refuses it: the case proves nothing"


def test_a_variant_that_leaves_the_secret_in_the_body_stores_it(monkeypatch: pytest.MonkeyPatch) -> None:
    assert KEY.encode() not in (send_body(state=KEY, note=KEY).body or b"")
    monkeypatch.setattr(body_secret, "_REMOVED", KEY)
    assert KEY.encode() in (send_body(state=KEY, note=KEY).body or b"")


def test_the_window_is_the_same_in_both_directions() -> None:
    for seconds in (-300, 300):
        assert verification_result.parse_recent_time(str(SECONDS + seconds), NOW) == NOW + timedelta(
            seconds=seconds
        )
