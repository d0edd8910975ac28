"""The time as both stand-in systems write it."""

from datetime import UTC, datetime
from typing import Literal


def utc_now(timespec: Literal["seconds", "milliseconds"] = "milliseconds") -> str:
    """Return the time now as ``2026-11-27T08:00:00.000Z``."""
    return datetime.now(UTC).isoformat(timespec=timespec).replace("+00:00", "Z")
