"""Verify the signature of a request over its raw bytes, by the algorithm that the source's settings fix.

Secrets are compared only with `hmac.compare_digest`, and every secret is tried even after one has matched, so that the
time of an answer reveals nothing.
"""

import base64
import re
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from functools import lru_cache
from typing import Any

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from config_schema.declared import Declared
from config_schema.errors import SettingsInvalid
from webhooks.protocol.body_secret import BodySecret, verify_body_secret
from webhooks.protocol.hmac_rule import HmacRule, compute_hmac
from webhooks.protocol.hmac_signatures import verify_hmac
from webhooks.protocol.schemes import (
    POLLED,
    SCHEMES,
    SecretHeader,
    check_secret,
    check_settings,
    decode_public_key,
    decode_standard_key,
    new_secret,
    read_settings,
)
from webhooks.protocol.signature_reasons import SignatureReason
from webhooks.protocol.strict_form import is_form
from webhooks.protocol.tokens.jwt_rule import JwtRule
from webhooks.protocol.tokens.jwt_signatures import verify_jwt
from webhooks.protocol.verification_result import (
    MAX_SIGNATURES,
    BadSignature,
    LiveSecret,
    VerifiedSignature,
    find_matching_secret,
    header_bytes,
    parse_recent_time,
    require_header,
    require_headers,
    secret_bytes,
)

__all__ = [
    "SCHEMES",
    "BadSignature",
    "LiveSecret",
    "VerifiedSignature",
    "check_secret",
    "check_settings",
    "new_secret",
    "verify_signature",
]

_HEADER_PREFIXES = ("webhook", "svix")
# Standard Webhooks 1.0.0: the id is a part of the signed text and must not contain its separator.
_WEBHOOK_ID = re.compile(r"[!-\-/-~]{1,255}")

_Candidates = tuple[list[tuple[LiveSecret, bytes]], list[bytes]]


def verify_signature(
    scheme: str,
    *,
    settings: Mapping[str, Any],
    secrets: Sequence[LiveSecret],
    headers: Mapping[str, str],
    body: bytes,
    now: datetime,
    method: str = "POST",
    url: Callable[[], str] = str,
    find_key_set: Callable[[str], str | None] = lambda _: None,
) -> VerifiedSignature:
    """Verify the signature of `body`. `headers` have lower-case names, `now` is aware. `url` returns the address that
    the sender used, "" if it is not known. `find_key_set` returns the cleaned key set of an address.

    Raises BadSignature and nothing else, also if the settings or the stored secrets are invalid.
    """
    if scheme == "none":
        return VerifiedSignature()
    if scheme == POLLED:
        raise BadSignature(SignatureReason.INVALID_SETTINGS, "the source receives nothing")
    if scheme == "standard-webhooks":
        return _verify_standard(secrets, headers, body, now)
    rule = _read_rule(scheme, settings)
    if isinstance(rule, HmacRule):
        return verify_hmac(rule, secrets, headers, body, now, method=method, url=url)
    if isinstance(rule, JwtRule):
        return verify_jwt(rule, secrets, headers, body, now, find_key_set)
    if isinstance(rule, BodySecret):
        return verify_body_secret(rule, secrets, body, is_form=is_form(headers.get("content-type", "")))
    return VerifiedSignature(find_matching_secret(*_STATIC_SCHEMES[scheme](rule, secrets, headers)))


def _read_rule(scheme: str, settings: Mapping[str, Any]) -> Declared:
    """Return the rule that settings mean. They were checked when they were saved."""
    try:
        return read_settings(scheme, settings)
    except SettingsInvalid as error:
        raise BadSignature(SignatureReason.INVALID_SETTINGS, "the source's settings are not valid") from error
    except KeyError as error:
        raise BadSignature(SignatureReason.INVALID_SETTINGS, "the source has no known scheme") from error


def _verify_standard(
    secrets: Sequence[LiveSecret], headers: Mapping[str, str], body: bytes, now: datetime
) -> VerifiedSignature:
    """Verify a signature of Standard Webhooks 1.0.0: HMAC (`v1`) or the sender's Ed25519 key (`v1a`).

    All three headers are read with one prefix, `webhook-` or `svix-`, never a mixture.
    """
    prefix = next((name for name in _HEADER_PREFIXES if f"{name}-signature" in headers), "webhook")
    webhook_id, seconds, signature_list = require_headers(
        headers, f"{prefix}-id", f"{prefix}-timestamp", f"{prefix}-signature"
    )
    # Bounded, because the sender is not verified yet and each signature costs comparisons.
    signatures = signature_list.split(" ", MAX_SIGNATURES)[:MAX_SIGNATURES]
    if not _WEBHOOK_ID.fullmatch(webhook_id):
        raise BadSignature(
            SignatureReason.MALFORMED_HEADER,
            "the webhook id is not 1 to 255 printable characters without a full stop",
        )
    signed_at = parse_recent_time(seconds, now)
    content = b".".join((webhook_id.encode("ascii"), seconds.encode("ascii"), body))
    by_key_pair = [entry[4:] for entry in signatures if entry.startswith("v1a,")]
    if by_key_pair and (signers := _find_signers(secrets, by_key_pair, content)):
        return VerifiedSignature(signers[0], webhook_id, signed_at)
    keys = [(secret, decode_standard_key(secret.value)) for secret in secrets]
    expected = [
        (secret, base64.b64encode(compute_hmac(key, content, "sha256"))) for secret, key in keys if key
    ]
    offered = [header_bytes(entry[3:]) for entry in signatures if entry.startswith("v1,")]
    return VerifiedSignature(find_matching_secret(expected, offered), webhook_id, signed_at)


def _find_signers(
    secrets: Sequence[LiveSecret], signatures: Sequence[str], content: bytes
) -> list[int | str]:
    """Return the ids of the public keys (Ed25519, RFC 8032) that signed the content."""
    keys = [(secret, _load_public_key(key)) for secret in secrets if (key := decode_public_key(secret.value))]
    offered = [_decode_signature(text) for text in signatures]
    return [
        secret.id for secret, key in keys for signature in offered if _has_signed(key, signature, content)
    ]


@lru_cache(maxsize=256)
def _load_public_key(key: bytes) -> Ed25519PublicKey:
    return Ed25519PublicKey.from_public_bytes(key)


def _decode_signature(text: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except ValueError:
        return b""


def _has_signed(key: Ed25519PublicKey, signature: bytes, content: bytes) -> bool:
    try:
        key.verify(signature, content)
    except InvalidSignature:
        return False
    return True


def _bearer_candidates(
    _rule: Declared, secrets: Sequence[LiveSecret], headers: Mapping[str, str]
) -> _Candidates:
    return secret_bytes(secrets), [header_bytes(_authorization_credentials(headers, "bearer"))]


def _basic_candidates(
    _rule: Declared, secrets: Sequence[LiveSecret], headers: Mapping[str, str]
) -> _Candidates:
    encoded = [(secret, base64.b64encode(value)) for secret, value in secret_bytes(secrets)]
    return encoded, [header_bytes(_authorization_credentials(headers, "basic"))]


def _header_candidates(
    rule: SecretHeader, secrets: Sequence[LiveSecret], headers: Mapping[str, str]
) -> _Candidates:
    return secret_bytes(secrets), [header_bytes(require_header(headers, rule.header))]


_STATIC_SCHEMES: Mapping[str, Callable[..., _Candidates]] = {
    "bearer": _bearer_candidates,
    "basic": _basic_candidates,
    "header": _header_candidates,
}


def _authorization_credentials(headers: Mapping[str, str], scheme: str) -> str:
    word, _space, credentials = require_header(headers, "authorization").partition(" ")
    if word.lower() != scheme:
        raise BadSignature(SignatureReason.MALFORMED_HEADER, "the Authorization header has another scheme")
    return credentials.lstrip(" ")
