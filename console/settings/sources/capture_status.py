"""The open capture window of a source, for its page and the page of the window."""

from dataclasses import dataclass
from datetime import datetime

from console.ui.formatting import long_duration
from webhooks.captures.places import MAX_CAPTURED
from webhooks.models import CaptureWindow, Source


@dataclass(frozen=True, slots=True)
class CaptureStatus:
    """An open window: the time left, and how many requests it has stored."""

    ends_at: datetime
    time_left: str
    captured: int
    most: int = MAX_CAPTURED


def load_capture_status(source: Source, now: datetime) -> CaptureStatus | None:
    """Return the open window of a source; None if none is open. At most two queries."""
    window = CaptureWindow.objects.filter(source=source, ends_at__gt=now).first()
    if window is None:
        return None
    captured = source.captured_requests.filter(received_at__gte=window.opened_at).count()
    return CaptureStatus(window.ends_at, long_duration((window.ends_at - now).total_seconds()), captured)
