"""Codes for why a request could not be verified. They are stored and shown to staff; the sender never learns them."""

from collections.abc import Mapping
from enum import StrEnum


class SignatureReason(StrEnum):
    """Why a request could not be verified."""

    HEADER_MISSING = "header-missing"
    MALFORMED_HEADER = "malformed-header"
    MALFORMED_TIMESTAMP = "malformed-timestamp"
    OLD_TIMESTAMP = "old-timestamp"
    WRONG_SIGNATURE = "wrong-signature"
    NO_LIVE_SECRET = "no-live-secret"  # noqa: S105
    INVALID_SETTINGS = "invalid-settings"
    OTHER = "other"


_CODES: Mapping[str, SignatureReason] = {
    "a header is missing or empty": SignatureReason.HEADER_MISSING,
    "the webhook id is not 1 to 255 printable characters without a full stop": SignatureReason.MALFORMED_HEADER,
    "the header has no time, or more than one": SignatureReason.MALFORMED_HEADER,
    "the header has no signature with the configured name and prefix": SignatureReason.MALFORMED_HEADER,
    "a header has no member of the configured name, or more than one": SignatureReason.MALFORMED_HEADER,
    "the id is not 1 to 255 printable characters without the separator": SignatureReason.MALFORMED_HEADER,
    "the signature does not start with the configured prefix": SignatureReason.MALFORMED_HEADER,
    "the Authorization header has another scheme": SignatureReason.MALFORMED_HEADER,
    "the timestamp is not a whole number of seconds": SignatureReason.MALFORMED_TIMESTAMP,
    "the timestamp is not a whole number of milliseconds": SignatureReason.MALFORMED_TIMESTAMP,
    "the timestamp is too far from the hub's clock": SignatureReason.OLD_TIMESTAMP,
    "the signature fits no secret of the source": SignatureReason.WRONG_SIGNATURE,
    "the source has no usable secret": SignatureReason.NO_LIVE_SECRET,
    "the source has no known scheme": SignatureReason.INVALID_SETTINGS,
    "the source's settings are not valid": SignatureReason.INVALID_SETTINGS,
    "the address is signed, and PUBLIC_URL is not set": SignatureReason.INVALID_SETTINGS,
    "the source's settings contain an unknown unit": SignatureReason.INVALID_SETTINGS,
    "the source's settings contain an unknown encoding or hash": SignatureReason.INVALID_SETTINGS,
}


def reason_code(reason: str) -> SignatureReason:
    """Return the code of the `reason` of a BadSignature; `OTHER` for a text without a code of its own."""
    return _CODES.get(reason, SignatureReason.OTHER)
