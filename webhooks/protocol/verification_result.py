"""Result and refusal of a verification, and the comparison of secrets that all verification schemes share."""

import hmac
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from webhooks.protocol.hmac_rule import RFC_3339
from webhooks.protocol.signature_reasons import SignatureReason
from webhooks.protocol.strict_json import MalformedBody
from webhooks.protocol.webhook_parser import parse_timestamp

TIMESTAMP_TOLERANCE = timedelta(seconds=300)
MAX_SIGNATURES = 16

# No zero at the beginning: it could be the last digit of what is signed before the time.
_UNITS: Mapping[str, tuple[re.Pattern[str], timedelta]] = {
    "seconds": (re.compile(r"0|[1-9][0-9]{0,10}"), timedelta(seconds=1)),
    "milliseconds": (re.compile(r"0|[1-9][0-9]{0,13}"), timedelta(milliseconds=1)),
}


class BadSignature(Exception):
    """A request failed its verification. `reason` is stored and shown to staff, `text` is for the log. The sender
    always gets the same answer.
    """

    def __init__(self, reason: SignatureReason, text: str) -> None:
        super().__init__(text)
        self.reason = reason
        self.text = text


@dataclass(frozen=True, slots=True)
class LiveSecret:
    """One live secret of a source. Its value is left out of its `repr`, and so of tracebacks and logs."""

    id: int | str
    value: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class VerifiedSignature:
    """A valid signature: the secret that matched (None if the scheme has none), and the sender's id and time if the
    signature covers them. `body`: what to parse and store instead of the request's body, None for the body itself.
    """

    secret_id: int | str | None = None
    webhook_id: str | None = None
    webhook_timestamp: datetime | None = None
    body: bytes | None = field(default=None, repr=False)


def find_matching_secret(expected: list[tuple[LiveSecret, bytes]], offered: list[bytes]) -> int | str:
    """Return the id of the first secret whose expected bytes the request offers. Raises BadSignature if there is
    none.
    """
    if not expected:
        raise BadSignature(SignatureReason.NO_LIVE_SECRET, "the source has no usable secret")
    # All pairs are compared, also after a match: the time must not reveal which secret matched.
    matching = [
        secret.id for secret, right in expected for text in offered if hmac.compare_digest(right, text)
    ]
    if not matching:
        raise BadSignature(SignatureReason.WRONG_SIGNATURE, "the signature fits no secret of the source")
    return matching[0]


def parse_recent_time(
    number: str, now: datetime, unit: str = "seconds", window: timedelta = TIMESTAMP_TOLERANCE
) -> datetime:
    """Parse a time in `unit` since 1970-01-01 UTC, or one of RFC 3339. Raises BadSignature if it is further than
    `window` from `now`.
    """
    signed_at = _parse_date(number) if unit == RFC_3339 else _parse_number(number, unit)
    if abs(now - signed_at) > window:
        raise BadSignature(SignatureReason.OLD_TIMESTAMP, "the timestamp is too far from the hub's clock")
    return signed_at


def _parse_number(number: str, unit: str) -> datetime:
    if unit not in _UNITS:
        raise BadSignature(SignatureReason.INVALID_SETTINGS, "the source's settings contain an unknown unit")
    pattern, step = _UNITS[unit]
    if not pattern.fullmatch(number):
        raise BadSignature(
            SignatureReason.MALFORMED_TIMESTAMP, f"the timestamp is not a whole number of {unit}"
        )
    return datetime(1970, 1, 1, tzinfo=UTC) + step * int(number)


def _parse_date(text: str) -> datetime:
    # It begins with a year of four digits and ends with a zone: no character before or after it can belong to it.
    try:
        return parse_timestamp(text)
    except MalformedBody as error:
        raise BadSignature(
            SignatureReason.MALFORMED_TIMESTAMP, "the timestamp is not a time of RFC 3339 with a zone"
        ) from error


def secret_bytes(secrets: Sequence[LiveSecret]) -> list[tuple[LiveSecret, bytes]]:
    """Return the secrets as bytes, without empty ones, which must match nothing."""
    return [(secret, secret.value.encode()) for secret in secrets if secret.value]


def require_header(headers: Mapping[str, str], name: str) -> str:
    """Return a header's value. Raises BadSignature if it is missing or empty."""
    return require_headers(headers, name)[0]


def require_headers(headers: Mapping[str, str], *names: str) -> list[str]:
    """Return the values of several headers. Raises BadSignature if one is missing or empty."""
    values = [headers.get(name.lower(), "") for name in names]
    if not all(values):
        raise BadSignature(SignatureReason.HEADER_MISSING, "a header is missing or empty")
    return values


def header_bytes(value: str) -> bytes:
    """Return a header's bytes as they were received: WSGI decodes them as Latin-1 (PEP 3333)."""
    try:
        return value.encode("latin-1")
    except UnicodeEncodeError:
        return value.encode("utf-8", "backslashreplace")
