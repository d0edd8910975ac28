"""When a stored token ends, where it says so itself (a JWT's `exp`, RFC 7519). Pure; nothing is verified."""

import binascii
import json
from base64 import urlsafe_b64decode
from collections.abc import Mapping
from datetime import UTC, datetime


def find_token_expiry(credentials: Mapping[str, str]) -> datetime | None:
    """None where no credential says when it ends, or so late that it means never (and some zones have no clock for)."""
    ends = [
        end
        for value in credentials.values()
        if (end := _read_jwt_expiry(value)) is not None and 1 < end.year < 9999
    ]
    return min(ends, default=None)


def _read_jwt_expiry(value: str) -> datetime | None:
    parts = value.split(".")
    if len(parts) != 3:
        return None
    try:
        body = json.loads(urlsafe_b64decode(parts[1] + "=" * (-len(parts[1]) % 4)))
        seconds = body["exp"]
        is_number = isinstance(seconds, int | float) and not isinstance(seconds, bool)
        return datetime.fromtimestamp(seconds, UTC) if is_number else None
    except (binascii.Error, ValueError, KeyError, TypeError, OverflowError, OSError, RecursionError):
        return None
