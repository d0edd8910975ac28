"""Times of a test's audit log."""

from datetime import UTC, datetime, timedelta

START = datetime(2026, 3, 4, 12, tzinfo=UTC)


def after_start(seconds: float) -> datetime:
    """Return the time this many seconds after START."""
    return START + timedelta(seconds=seconds)
