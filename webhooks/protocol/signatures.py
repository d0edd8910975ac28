"""Is this request from the source? Over the raw bytes, by an algorithm fixed on our side.

`hmac.compare_digest` is the only comparison of anything secret, and every secret is tried whatever the
first ones gave, so that the time of an answer says nothing.
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
    chosen,
    new_secret,
    public_key,
    standard_key,
)

__all__ = [
    "SCHEMES",
    "BadSignature",
    "Secret",
    "Verdict",
    "check_secret",
    "check_settings",
    "new_secret",
    "verify",
]

TOLERANCE = timedelta(seconds=300)
MOST_SIGNATURES = 16

_STANDARD_SPELLINGS = ("webhook", "svix")
# Standard Webhooks 1.0.0: the id is a part of the signed text and must not contain its separator.
_WEBHOOK_ID = re.compile(r"[!-\-/-~]{1,255}")
_UNITS: Mapping[str, tuple[re.Pattern[str], timedelta]] = {
    "seconds": (re.compile(r"[0-9]{1,11}"), timedelta(seconds=1)),
    "milliseconds": (re.compile(r"[0-9]{1,14}"), timedelta(milliseconds=1)),
}


class BadSignature(Exception):
    """The request is not verified. `reason` is for the log; every answer to the sender is the same."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


@dataclass(frozen=True, slots=True)
class Secret:
    """One live secret of a source. Its value never shows in a traceback or a log."""

    id: int | str
    value: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class Verdict:
    """Which secret fitted (None for scheme `none`), and the sender's id and time where the signature covers
    them."""

    secret_id: int | str | None = None
    webhook_id: str | None = None
    webhook_timestamp: datetime | None = None


_ALGORITHMS = SCHEMES["body-hmac"].settings["algorithm"].choices
_ENCODINGS: Mapping[str, Callable[[bytes], bytes]] = {"hex": binascii.hexlify, "base64": base64.b64encode}
_Candidates = tuple[list[tuple[Secret, bytes]], list[bytes]]


def verify(
    scheme: str,
    *,
    settings: Mapping[str, Any],
    secrets: Sequence[Secret],
    headers: Mapping[str, str],
    body: bytes,
    now: datetime,
) -> Verdict:
    """Who signed `body`. `headers` have lower-case names, `now` is aware. Raises `BadSignature` and nothing
    else, also where the settings or the stored secrets are no good.
    """
    if scheme == "none":
        return Verdict()
    if scheme == "standard-webhooks":
        return _verify_standard(secrets, headers, body, now)
    if scheme == "body-hmac":
        return Verdict(_matching(*_body_hmac(settings, secrets, headers, body)))
    if scheme == "timestamped-hmac":
        return _verify_timestamped(settings, secrets, headers, body, now)
    if scheme in _STATIC:
        return Verdict(_matching(*_STATIC[scheme](settings, secrets, headers)))
    raise BadSignature("the source has no known scheme")


def _matching(expected: list[tuple[Secret, bytes]], given: list[bytes]) -> int | str:
    if not expected:
        raise BadSignature("the source has no usable secret")
    fitting = [secret.id for secret, right in expected for text in given if hmac.compare_digest(right, text)]
    if not fitting:
        raise BadSignature("the signature fits no secret of the source")
    return fitting[0]


def _verify_standard(
    secrets: Sequence[Secret], headers: Mapping[str, str], body: bytes, now: datetime
) -> Verdict:
    """Standard Webhooks 1.0.0, symmetric (`v1`) or by the sender's own key (`v1a`).

    One spelling of the headers is used, never a mixture.
    """
    spelling = next((name for name in _STANDARD_SPELLINGS if f"{name}-signature" in headers), "webhook")
    webhook_id = _header(headers, f"{spelling}-id")
    seconds = _header(headers, f"{spelling}-timestamp")
    given = _header(headers, f"{spelling}-signature").split(" ", MOST_SIGNATURES)[:MOST_SIGNATURES]
    if not _WEBHOOK_ID.fullmatch(webhook_id):
        raise BadSignature("the webhook id is not 1 to 255 printable characters without a full stop")
    signed_at = _recent(seconds, now)
    content = b".".join((webhook_id.encode("ascii"), seconds.encode("ascii"), body))
    signers = _signers(secrets, [entry[4:] for entry in given if entry.startswith("v1a,")], content)
    if signers:
        return Verdict(signers[0], webhook_id, signed_at)
    keys = [(secret, standard_key(secret.value)) for secret in secrets]
    expected = [(secret, base64.b64encode(_mac(key, content, "sha256"))) for secret, key in keys if key]
    offered = [_wire(entry[3:]) for entry in given if entry.startswith("v1,")]
    return Verdict(_matching(expected, offered), webhook_id, signed_at)


def _signers(secrets: Sequence[Secret], given: Sequence[str], content: bytes) -> list[int | str]:
    """Whose keys (Ed25519, RFC 8032) signed this."""
    keys = [(secret, _public(key)) for secret in secrets if (key := public_key(secret.value))]
    offered = [_signature(text) for text in given]
    return [secret.id for secret, key in keys for each in offered if _has_signed(key, each, content)]


@lru_cache(maxsize=256)
def _public(key: bytes) -> Ed25519PublicKey:
    return Ed25519PublicKey.from_public_bytes(key)


def _signature(text: str) -> bytes:
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
    secrets: Sequence[Secret],
    headers: Mapping[str, str],
    body: bytes,
    now: datetime,
) -> Verdict:
    """`t=…,v1=…`: HMAC-SHA256 of the time, a full stop and the body, in hexadecimal; several signatures may stand
    there."""
    said = chosen("timestamped-hmac", settings)
    if said["unit"] not in _UNITS:
        raise BadSignature("the source's settings contain an unknown unit")
    given = _header(headers, said["header"]).split(",", MOST_SIGNATURES)[:MOST_SIGNATURES]
    parts = [each.strip(" ").partition("=") for each in given]
    times = [text for name, _, text in parts if name == said["time"]]
    if len(times) != 1:
        raise BadSignature("the header has no time, or more than one")
    signed_at = _recent(times[0], now, said["unit"])
    content = b".".join((times[0].encode("ascii"), body))
    expected = [(secret, binascii.hexlify(_mac(key, content, "sha256"))) for secret, key in _static(secrets)]
    offered = [_wire(text.lower()) for name, _, text in parts if name == said["signature"]]
    return Verdict(_matching(expected, offered), None, signed_at)


def _mac(key: bytes, content: bytes, algorithm: str) -> bytes:
    """HMAC (RFC 2104). The key's half of the work is done once: the library looks for its algorithm each time."""
    mac = _keyed(key, algorithm).copy()
    mac.update(content)
    return mac.digest()


@lru_cache(maxsize=256)
def _keyed(key: bytes, algorithm: str) -> hmac.HMAC:
    return hmac.new(key, digestmod=algorithm)


def _recent(number: str, now: datetime, unit: str = "seconds") -> datetime:
    pattern, step = _UNITS[unit]
    if not pattern.fullmatch(number):
        raise BadSignature(f"the timestamp is not a whole number of {unit}")
    signed_at = datetime(1970, 1, 1, tzinfo=UTC) + step * int(number)
    if abs(now - signed_at) > TOLERANCE:
        raise BadSignature("the timestamp is too far from the hub's clock")
    return signed_at


def _body_hmac(
    settings: Mapping[str, Any], secrets: Sequence[Secret], headers: Mapping[str, str], body: bytes
) -> _Candidates:
    said = chosen("body-hmac", settings)
    given = _header(headers, said["header"])
    if not given.startswith(said["prefix"]):
        raise BadSignature("the signature does not start with the configured prefix")
    given = given.removeprefix(said["prefix"])
    algorithm, encode = said["algorithm"], _ENCODINGS.get(said["encoding"])
    if algorithm not in _ALGORITHMS or encode is None:
        raise BadSignature("the source's settings contain an unknown encoding or hash")
    offered = given.lower() if said["encoding"] == "hex" else given
    expected = [(secret, encode(_mac(key, body, algorithm))) for secret, key in _static(secrets)]
    return expected, [_wire(offered)]


def _bearer(
    _settings: Mapping[str, Any], secrets: Sequence[Secret], headers: Mapping[str, str]
) -> _Candidates:
    return _static(secrets), [_wire(_credentials(headers, "bearer"))]


def _basic(
    _settings: Mapping[str, Any], secrets: Sequence[Secret], headers: Mapping[str, str]
) -> _Candidates:
    encoded = [(secret, base64.b64encode(value)) for secret, value in _static(secrets)]
    return encoded, [_wire(_credentials(headers, "basic"))]


def _one_header(
    settings: Mapping[str, Any], secrets: Sequence[Secret], headers: Mapping[str, str]
) -> _Candidates:
    return _static(secrets), [_wire(_header(headers, str(settings.get("header", ""))))]


_STATIC: Mapping[str, Callable[..., _Candidates]] = {
    "bearer": _bearer,
    "basic": _basic,
    "header": _one_header,
}


def _static(secrets: Sequence[Secret]) -> list[tuple[Secret, bytes]]:
    """The secrets as bytes; an empty one is left out, so that it fits nothing."""
    return [(secret, secret.value.encode()) for secret in secrets if secret.value]


def _credentials(headers: Mapping[str, str], scheme: str) -> str:
    word, _space, credentials = _header(headers, "authorization").partition(" ")
    if word.lower() != scheme:
        raise BadSignature("the Authorization header has another scheme")
    return credentials.lstrip(" ")


def _header(headers: Mapping[str, str], name: str) -> str:
    value = headers.get(name.lower(), "")
    if not value:
        raise BadSignature("a header is missing or empty")
    return value


def _wire(value: str) -> bytes:
    """The bytes of a header as they came: WSGI hands them over as Latin-1 text (PEP 3333)."""
    try:
        return value.encode("latin-1")
    except UnicodeEncodeError:
        return value.encode("utf-8", "backslashreplace")
