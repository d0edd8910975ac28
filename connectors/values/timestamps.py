"""Parse timestamps of remote systems. Pure."""

import re
from datetime import UTC, datetime, timedelta
from typing import Any

# RFC 3339, 5.6. Digits beyond microseconds are cut, and leap seconds are not supported.
_TEXT = re.compile(r"(\d{4}-\d\d-\d\d)[Tt ](\d\d:\d\d:\d\d)(?:\.(\d{1,6})\d*)?([Zz]|[+-]\d\d:\d\d)", re.ASCII)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
# As seconds the year 5138, as milliseconds 1973: from here on numbers are milliseconds.
_FIRST_MILLISECONDS = 1e11


def parse_timestamp(value: Any) -> datetime | None:
    """Return the time in UTC of an RFC 3339 text with a zone, or of seconds or milliseconds since 1970; None
    for anything else.
    """
    try:
        if isinstance(value, str):
            return _parse_rfc3339(value)
        if isinstance(value, int | float) and not isinstance(value, bool) and value >= 0:
            seconds = value / 1000 if value >= _FIRST_MILLISECONDS else value
            return _EPOCH + timedelta(seconds=seconds)
    except (ValueError, OverflowError):
        return None
    return None


def _parse_rfc3339(text: str) -> datetime | None:
    match = _TEXT.fullmatch(text)
    if match is None:
        return None
    day, time, fraction, zone = match.groups()
    iso = f"{day}T{time}.{(fraction or '').ljust(6, '0')}{zone.upper().replace('Z', '+00:00')}"
    return datetime.fromisoformat(iso).astimezone(UTC)
