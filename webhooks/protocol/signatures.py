"""Verify the signature of a request over its raw bytes, by the algorithm that the source's settings fix.

Secrets are compared only with `hmac.compare_digest`, and every secret is tried even after one has matched, so that the
time of an answer reveals nothing.
"""

import base64
import binascii
import hmac
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Any

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from webhooks.protocol.schemes import (
    SCHEMES,
    check_secret,
    check_settings,
    decode_public_key,
    decode_standard_key,
    new_secret,
    resolve_settings,
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

TIMESTAMP_TOLERANCE = timedelta(seconds=300)
MAX_SIGNATURES = 16

_STANDARD_SPELLINGS = ("webhook", "svix")
# Standard Webhooks 1.0.0: the id is a part of the signed text and must not contain its separator.
_WEBHOOK_ID = re.compile(r"[!-\-/-~]{1,255}")
_UNITS: Mapping[str, tuple[re.Pattern[str], timedelta]] = {
    "seconds": (re.compile(r"[0-9]{1,11}"), timedelta(seconds=1)),
    "milliseconds": (re.compile(r"[0-9]{1,14}"), timedelta(milliseconds=1)),
}


class BadSignature(Exception):
    """A request that cannot be verified. `reason` is for the log only: the sender always gets the same answer."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


@dataclass(frozen=True, slots=True)
class LiveSecret:
    """One live secret of a source. Its value is left out of its `repr`, and so of tracebacks and logs."""

    id: int | str
    value: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class VerifiedSignature:
    """A valid signature: the secret that matched (None for scheme `none`), and the sender's id and time if the
    signature covers them.
    """

    secret_id: int | str | None = None
    webhook_id: str | None = None
    webhook_timestamp: datetime | None = None


_ALGORITHMS = SCHEMES["body-hmac"].choices_of("algorithm")
_ENCODINGS: Mapping[str, Callable[[bytes], bytes]] = {"hex": binascii.hexlify, "base64": base64.b64encode}
_Candidates = tuple[list[tuple[LiveSecret, bytes]], list[bytes]]


def verify_signature(
    scheme: str,
    *,
    settings: Mapping[str, Any],
    secrets: Sequence[LiveSecret],
    headers: Mapping[str, str],
    body: bytes,
    now: datetime,
) -> VerifiedSignature:
    """Verify the signature of `body`. `headers` have lower-case names, `now` is aware.

    Raises BadSignature and nothing else, also if the settings or the stored secrets are invalid.
    """
    if scheme == "none":
        return VerifiedSignature()
    if scheme == "standard-webhooks":
        return _verify_standard(secrets, headers, body, now)
    if scheme == "body-hmac":
        return VerifiedSignature(
            _find_matching_secret(*_body_hmac_candidates(settings, secrets, headers, body))
        )
    if scheme == "timestamped-hmac":
        return _verify_timestamped(settings, secrets, headers, body, now)
    if scheme in _STATIC_SCHEMES:
        return VerifiedSignature(_find_matching_secret(*_STATIC_SCHEMES[scheme](settings, secrets, headers)))
    raise BadSignature("the source has no known scheme")


def _find_matching_secret(expected: list[tuple[LiveSecret, bytes]], offered: list[bytes]) -> int | str:
    if not expected:
        raise BadSignature("the source has no usable secret")
    # All pairs are compared, also after a match: the time must not reveal which secret matched.
    fitting = [
        secret.id for secret, right in expected for text in offered if hmac.compare_digest(right, text)
    ]
    if not fitting:
        raise BadSignature("the signature fits no secret of the source")
    return fitting[0]


def _verify_standard(
    secrets: Sequence[LiveSecret], headers: Mapping[str, str], body: bytes, now: datetime
) -> VerifiedSignature:
    """Verify a signature of Standard Webhooks 1.0.0: HMAC (`v1`) or the sender's Ed25519 key (`v1a`).

    All three headers are read with one prefix, `webhook-` or `svix-`, never a mixture.
    """
    spelling = next((name for name in _STANDARD_SPELLINGS if f"{name}-signature" in headers), "webhook")
    webhook_id = _require_header(headers, f"{spelling}-id")
    seconds = _require_header(headers, f"{spelling}-timestamp")
    # Bounded, because the sender is not verified yet and each signature costs comparisons.
    signatures = _require_header(headers, f"{spelling}-signature").split(" ", MAX_SIGNATURES)[:MAX_SIGNATURES]
    if not _WEBHOOK_ID.fullmatch(webhook_id):
        raise BadSignature("the webhook id is not 1 to 255 printable characters without a full stop")
    signed_at = _parse_recent_time(seconds, now)
    content = b".".join((webhook_id.encode("ascii"), seconds.encode("ascii"), body))
    signers = _find_signers(secrets, [entry[4:] for entry in signatures if entry.startswith("v1a,")], content)
    if signers:
        return VerifiedSignature(signers[0], webhook_id, signed_at)
    keys = [(secret, decode_standard_key(secret.value)) for secret in secrets]
    expected = [
        (secret, base64.b64encode(_compute_hmac(key, content, "sha256"))) for secret, key in keys if key
    ]
    offered = [_header_bytes(entry[3:]) for entry in signatures if entry.startswith("v1,")]
    return VerifiedSignature(_find_matching_secret(expected, offered), webhook_id, signed_at)


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


def _verify_timestamped(
    settings: Mapping[str, Any],
    secrets: Sequence[LiveSecret],
    headers: Mapping[str, str],
    body: bytes,
    now: datetime,
) -> VerifiedSignature:
    """Verify a header like `t=…,v1=…`: hexadecimal HMAC-SHA256 of the time, a full stop and the body. The header may
    hold several signatures.
    """
    options = resolve_settings("timestamped-hmac", settings)
    if options["unit"] not in _UNITS:
        raise BadSignature("the source's settings contain an unknown unit")
    fields = _require_header(headers, options["header"]).split(",", MAX_SIGNATURES)[:MAX_SIGNATURES]
    parts = [part.strip(" ").partition("=") for part in fields]
    times = [text for name, _, text in parts if name == options["time"]]
    if len(times) != 1:
        raise BadSignature("the header has no time, or more than one")
    signed_at = _parse_recent_time(times[0], now, options["unit"])
    content = b".".join((times[0].encode("ascii"), body))
    expected = [
        (secret, binascii.hexlify(_compute_hmac(key, content, "sha256")))
        for secret, key in _secret_bytes(secrets)
    ]
    offered = [_header_bytes(text.lower()) for name, _, text in parts if name == options["signature"]]
    return VerifiedSignature(_find_matching_secret(expected, offered), None, signed_at)


def _compute_hmac(key: bytes, content: bytes, algorithm: str) -> bytes:
    """Return the HMAC (RFC 2104) of the content."""
    # Copying a keyed object is cheaper than `hmac.new`, which looks up the algorithm and hashes the key each time.
    mac = _keyed_hmac(key, algorithm).copy()
    mac.update(content)
    return mac.digest()


@lru_cache(maxsize=256)
def _keyed_hmac(key: bytes, algorithm: str) -> hmac.HMAC:
    return hmac.new(key, digestmod=algorithm)


def _parse_recent_time(number: str, now: datetime, unit: str = "seconds") -> datetime:
    pattern, step = _UNITS[unit]
    if not pattern.fullmatch(number):
        raise BadSignature(f"the timestamp is not a whole number of {unit}")
    signed_at = datetime(1970, 1, 1, tzinfo=UTC) + step * int(number)
    if abs(now - signed_at) > TIMESTAMP_TOLERANCE:
        raise BadSignature("the timestamp is too far from the hub's clock")
    return signed_at


def _body_hmac_candidates(
    settings: Mapping[str, Any], secrets: Sequence[LiveSecret], headers: Mapping[str, str], body: bytes
) -> _Candidates:
    options = resolve_settings("body-hmac", settings)
    signature = _require_header(headers, options["header"])
    if not signature.startswith(options["prefix"]):
        raise BadSignature("the signature does not start with the configured prefix")
    signature = signature.removeprefix(options["prefix"])
    algorithm, encode = options["algorithm"], _ENCODINGS.get(options["encoding"])
    if algorithm not in _ALGORITHMS or encode is None:
        raise BadSignature("the source's settings contain an unknown encoding or hash")
    # Senders may write hexadecimal digits as capitals. In base64 case has a meaning.
    offered = signature.lower() if options["encoding"] == "hex" else signature
    expected = [
        (secret, encode(_compute_hmac(key, body, algorithm))) for secret, key in _secret_bytes(secrets)
    ]
    return expected, [_header_bytes(offered)]


def _bearer_candidates(
    _settings: Mapping[str, Any], secrets: Sequence[LiveSecret], headers: Mapping[str, str]
) -> _Candidates:
    return _secret_bytes(secrets), [_header_bytes(_authorization_credentials(headers, "bearer"))]


def _basic_candidates(
    _settings: Mapping[str, Any], secrets: Sequence[LiveSecret], headers: Mapping[str, str]
) -> _Candidates:
    encoded = [(secret, base64.b64encode(value)) for secret, value in _secret_bytes(secrets)]
    return encoded, [_header_bytes(_authorization_credentials(headers, "basic"))]


def _header_candidates(
    settings: Mapping[str, Any], secrets: Sequence[LiveSecret], headers: Mapping[str, str]
) -> _Candidates:
    return _secret_bytes(secrets), [_header_bytes(_require_header(headers, str(settings.get("header", ""))))]


_STATIC_SCHEMES: Mapping[str, Callable[..., _Candidates]] = {
    "bearer": _bearer_candidates,
    "basic": _basic_candidates,
    "header": _header_candidates,
}


def _secret_bytes(secrets: Sequence[LiveSecret]) -> list[tuple[LiveSecret, bytes]]:
    """Return the secrets as bytes, without empty ones, which must match nothing."""
    return [(secret, secret.value.encode()) for secret in secrets if secret.value]


def _authorization_credentials(headers: Mapping[str, str], scheme: str) -> str:
    word, _space, credentials = _require_header(headers, "authorization").partition(" ")
    if word.lower() != scheme:
        raise BadSignature("the Authorization header has another scheme")
    return credentials.lstrip(" ")


def _require_header(headers: Mapping[str, str], name: str) -> str:
    value = headers.get(name.lower(), "")
    if not value:
        raise BadSignature("a header is missing or empty")
    return value


def _header_bytes(value: str) -> bytes:
    """Return a header's bytes as they were received: WSGI decodes them as Latin-1 (PEP 3333)."""
    try:
        return value.encode("latin-1")
    except UnicodeEncodeError:
        return value.encode("utf-8", "backslashreplace")
