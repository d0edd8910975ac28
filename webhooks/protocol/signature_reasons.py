"""Codes for why a request could not be verified. They are stored and shown to staff; the sender never learns them."""

from enum import StrEnum


class SignatureReason(StrEnum):
    """Reasons for which a request could not be verified."""

    HEADER_MISSING = "header-missing"
    MALFORMED_HEADER = "malformed-header"
    MALFORMED_TIMESTAMP = "malformed-timestamp"
    OLD_TIMESTAMP = "old-timestamp"
    WRONG_SIGNATURE = "wrong-signature"
    NO_LIVE_SECRET = "no-live-secret"  # noqa: S105
    INVALID_SETTINGS = "invalid-settings"
    WRONG_QUERY = "wrong-query"
    MALFORMED_BODY = "malformed-body"
    SECRET_MISSING = "secret-missing"  # noqa: S105
    MALFORMED_TOKEN = "malformed-token"  # noqa: S105
    WRONG_TOKEN = "wrong-token"  # noqa: S105
    UNKNOWN_KEY = "unknown-key"
