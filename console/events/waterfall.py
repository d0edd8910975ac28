"""Draw attempts as bars on one scale, with the requests of each and the waiting time between them. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from django.utils.translation import gettext as _

from console.ui.formatting import long_duration

WIDTH = 1000


@dataclass(frozen=True, slots=True)
class CallSpan:
    """One request: its start, its duration and its result (`info`, `good`, `bad`)."""

    started_at: datetime
    seconds: float
    style: str


@dataclass(frozen=True, slots=True)
class BarSegment:
    """A segment of a bar of `WIDTH` units."""

    x: int
    width: int
    style: str


def longest_seconds(lengths: Sequence[float]) -> float:
    """Return the duration of the longest attempt, which is the full width of every bar."""
    return max([*lengths, 0.001])


def bar_segments(
    started_at: datetime, seconds: float, spans: Sequence[CallSpan], full: float, style: str
) -> list[BarSegment]:
    """Return the bar of one attempt. Without requests the whole bar has the attempt's own style."""
    if not spans:
        return [BarSegment(0, _to_units(seconds, full), style)]
    return [
        BarSegment(
            min(_to_units((span.started_at - started_at).total_seconds(), full), WIDTH - 4),
            max(_to_units(span.seconds, full), 4),
            span.style,
        )
        for span in spans
    ]


def _to_units(seconds: float, full: float) -> int:
    return max(0, min(WIDTH, round(seconds / full * WIDTH)))


def waiting_text(since: datetime | None, until: datetime) -> str:
    """Return the waiting time before an attempt as text; empty below a second."""
    seconds = int((until - since).total_seconds()) if since else 0
    return _("waited %(time)s before this attempt") % {"time": long_duration(seconds)} if seconds >= 1 else ""
