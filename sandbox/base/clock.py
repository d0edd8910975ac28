"""The current time in the format of both stand-in systems."""

from datetime import UTC, datetime
from typing import Literal


def utc_now(timespec: Literal["seconds", "milliseconds"] = "milliseconds") -> str:
    """Return the current time as ``2026-11-27T08:00:00.000Z``."""
    return datetime.now(UTC).isoformat(timespec=timespec).replace("+00:00", "Z")
