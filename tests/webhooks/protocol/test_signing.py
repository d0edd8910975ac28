"""Requests that the hub signs for a test are accepted for every scheme, and with that secret only."""

from datetime import UTC, datetime
from typing import Any

import pytest

from tests.support.rows import each_row
from webhooks.protocol.schemes import SCHEMES, UNVERIFIED_SCHEMES, new_secret
from webhooks.protocol.signatures import BadSignature, LiveSecret, verify_signature
from webhooks.protocol.signing import sign_body, sign_request

pytestmark = pytest.mark.pure

NOW = datetime(2026, 3, 4, 12, 0, tzinfo=UTC)
BODY = b'{"id":"HUB-TEST"}'
URL = "https://hub.example.com/webhooks/acme?a=1"
DIGEST = {"digest_claim": "body", "digest_encoding": "base64url"}
WAYS: list[tuple[str, dict[str, Any]]] = [
    ("standard-webhooks", {}),
    ("bearer", {}),
    ("basic", {}),
    ("header", {"header": "X-Secret"}),
    *(
        ("body-hmac", {"header": "X-Sig", "encoding": encoding, "algorithm": algorithm, "prefix": prefix})
        for encoding, algorithm, prefix in (("hex", "sha1", "sha="), ("base64", "sha512", ""))
    ),
    ("body-hmac", {"header": "X-Sig"}),
    ("body-secret", {"field": "clientState"}),
    ("body-secret", {"field": "value[].inner.clientState"}),
    ("timestamped-hmac", {"header": "X-Sig"}),
    *(
        ("jwt", {"algorithm": algorithm, "issuer": "me", "audience": "hub", "needs_expiry": True, **place})
        for algorithm in ("HS256", "HS384", "HS512")
        for place in ({"header": "Authorization", **DIGEST}, {"type": "secevent+jwt", "secret": "base64"})
    ),
    ("jwt", {"algorithm": "HS256", "header": "X-Sig", "detached": True}),
    ("jwt", {"algorithm": "HS256", "field": "data.jwt", "id_claim": "jti"}),
    ("timestamped-hmac", {"header": "X-Sig", "unit": "milliseconds", "time": "at", "signature": "s"}),
    *(
        (
            "hmac",
            {
                "header": "X-Sig",
                "signed": ["{id}", ".", "{time}", ".", "{method}", "{url}", "{body}"],
                "encoding": encoding,
                "id_header": "X-Id",
                "secret": secret,
                **time,
            },
        )
        for encoding, secret in (("hex", "text"), ("base64", "base64"), ("base64url", "text"))
        for time in (
            {"time": "t", "signature": "v1", "separator": ";"},
            {"time_header": "X-Time", "prefix": "sha256 "},
            {"time_header": "X-Time", "unit": "rfc3339"},
        )
    ),
]


def test_every_scheme_is_tested() -> None:
    assert {scheme for scheme, _ in WAYS} | {*UNVERIFIED_SCHEMES} == set(SCHEMES)
    assert sign_request("none", {}, "", BODY, "test-1", NOW) == {}


@each_row(WAYS)
def test_the_gate_accepts_the_signed_request_and_names_the_secret(
    scheme: str, settings: dict[str, Any]
) -> None:
    right, other = new_secret(scheme, settings), new_secret(scheme, settings)
    headers = sign_request(scheme, settings, right, BODY, "test-1", NOW, url=URL)
    sent = sign_body(scheme, settings, right, BODY, "test-1", NOW)
    asked = {"settings": settings, "headers": headers, "body": sent, "now": NOW, "url": lambda: URL}
    assert (
        verify_signature(scheme, secrets=[LiveSecret(1, other), LiveSecret(2, right)], **asked).secret_id == 2
    )
    with pytest.raises(BadSignature):
        verify_signature(scheme, secrets=[LiveSecret(1, other)], **asked)
