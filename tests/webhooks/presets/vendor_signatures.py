"""How each sender proves who it is, written from its documentation without the code that verifies it."""

import base64
import hashlib
import hmac
import json
from collections.abc import Callable, Mapping
from typing import Any

from webhooks.presets.source_presets import RecordedRequest

_STANDARD = (
    "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSwMfKQ9r8GKYqr",
    "whsec_AAKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSwMfKQ9r8GKYqr",
)
# By preset, in the form that the sender gives out: a secret, and one that is not stored.
SECRETS: Mapping[str, tuple[str, str]] = {"clerk": _STANDARD, "sandbox": _STANDARD}
_TEXTS = ("the-test-secret-of-the-sender-0001", "another-test-secret-of-a-sender-02")

Signer = Callable[[RecordedRequest, bytes, str, float], dict[str, str]]


def secret_of(preset: str) -> str:
    """Return the secret that the tests store for a preset."""
    return SECRETS.get(preset, _TEXTS)[0]


def other_secret_of(preset: str) -> str:
    """Return a secret of the same form that is not stored."""
    return SECRETS.get(preset, _TEXTS)[1]


def _hex(secret: str, content: bytes) -> str:
    return hmac.digest(secret.encode(), content, hashlib.sha256).hex()


def _standard_webhook(prefix: str) -> Signer:
    """An HMAC of id, time and body, in headers that begin with `prefix`."""

    def sign(request: RecordedRequest, body: bytes, secret: str, at: float) -> dict[str, str]:
        message, seconds = request.headers[f"{prefix}-id"], str(int(at))
        key = base64.b64decode(secret.removeprefix("whsec_"))
        digest = hmac.digest(key, f"{message}.{seconds}.".encode() + body, hashlib.sha256)
        signature = f"v1,{base64.b64encode(digest).decode()}"
        return {f"{prefix}-timestamp": seconds, f"{prefix}-signature": signature}

    return sign


def _timed(header: str, separator: str, *, unit: int = 1) -> Signer:
    """An HMAC of the time, a full stop and the body; the time in so many parts of a second."""

    def sign(_: RecordedRequest, body: bytes, secret: str, at: float) -> dict[str, str]:
        number = str(int(at * unit))
        return {header: f"t={number}{separator}v1={_hex(secret, number.encode() + b'.' + body)}"}

    return sign


def _body_hmac(header: str) -> Signer:
    return lambda _, body, secret, __: {header: _hex(secret, body)}


def _fusionauth(_: RecordedRequest, body: bytes, secret: str, __: float) -> dict[str, str]:
    head = _base64url(json.dumps({"alg": "HS256", "typ": "JWT", "kid": "k1"}).encode())
    digest = base64.b64encode(hashlib.sha256(body).digest()).decode()
    claims = _base64url(json.dumps({"request_body_sha256": digest}).encode())
    signature = _base64url(hmac.digest(secret.encode(), f"{head}.{claims}".encode(), hashlib.sha256))
    return {"X-FusionAuth-Signature-JWT": f"{head}.{claims}.{signature}"}


def _base64url(content: bytes) -> str:
    return base64.urlsafe_b64encode(content).decode().rstrip("=")


def _static(header: str, prefix: str = "") -> Signer:
    return lambda _, __, secret, ___: {header: prefix + secret}


def write_body(preset: str, document: Any, secret: str) -> bytes:
    """Return the body that the sender makes, with the secret where it sends it in the body."""
    if document is None:
        return b""
    if preset in SECRET_IN_BODY:
        document = {**document, "value": [{**item, "clientState": secret} for item in document["value"]]}
    return json.dumps(document).encode()


SIGNERS: Mapping[str, Signer] = {
    "auth0-event-streams": _static("Authorization", "Bearer "),
    "authentik": _static("Authorization", "Bearer "),
    "clerk": _standard_webhook("svix"),
    "cloudevents": _static("Authorization", "Bearer "),
    "directus-flows": _static("X-Hub-Token"),
    "entra-id": lambda *_: {},
    "fusionauth": _fusionauth,
    "google-directory": _static("X-Goog-Channel-Token"),
    "keycloak": _body_hmac("X-Keycloak-Signature"),
    "logto": _body_hmac("logto-signature-sha-256"),
    "okta-event-hooks": _static("Authorization"),
    "ory-kratos": _static("X-Api-Key"),
    "sandbox": _standard_webhook("webhook"),
    "workos": _timed("WorkOS-Signature", ", ", unit=1_000),
    "zitadel-actions": _timed("ZITADEL-Signature", ","),
}
# Senders whose secret or signature covers the body, and those that also sign a time.
SIGN_BODY = ("clerk", "fusionauth", "keycloak", "logto", "sandbox", "workos", "zitadel-actions")
SIGN_TIME = ("clerk", "sandbox", "workos", "zitadel-actions")
SECRET_IN_BODY = ("entra-id",)
UNSIGNED = ("trivore",)
