"""Expiry of a stored token that is a JWT (`exp`, RFC 7519). Pure; no signature is verified."""

import binascii
import json
from base64 import urlsafe_b64decode
from collections.abc import Mapping
from datetime import UTC, datetime


def find_token_expiry(credentials: Mapping[str, str]) -> datetime | None:
    """Return the earliest expiry among the credentials, or None. Years from 9999 on mean never, and some time zones
    cannot show them.
    """
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
        # JWTs omit the padding of base64.
        body = json.loads(urlsafe_b64decode(parts[1] + "=" * (-len(parts[1]) % 4)))
        seconds = body["exp"]
        # In Python True is an int.
        is_number = isinstance(seconds, int | float) and not isinstance(seconds, bool)
        return datetime.fromtimestamp(seconds, UTC) if is_number else None
    except (binascii.Error, ValueError, KeyError, TypeError, OverflowError, OSError, RecursionError):
        return None
