"""Geometry of charts and sparklines for SVG, in per cent of the picture, so that text is never scaled. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from django.utils.html import escape, format_html
from django.utils.safestring import SafeString

# The share of an hour's slot that stays empty.
BAR_GAP = 0.18


@dataclass(frozen=True, slots=True)
class BarSegment:
    """Position one coloured segment of a bar."""

    style: str
    y: str
    height: str


@dataclass(frozen=True, slots=True)
class HourCounts:
    """The number of events of an hour: ended well (`good`), in progress (`open`) and failed."""

    at: datetime
    good: int = 0
    open: int = 0
    failed: int = 0

    @property
    def total(self) -> int:
        return self.good + self.open + self.failed


@dataclass(frozen=True, slots=True)
class HourBar:
    """Position the bar of one hour: `x` and `width` of the bar, `slot_x` and `slot_width` with the gap around it."""

    hour: HourCounts
    x: str
    width: str
    slot_x: str
    slot_width: str
    segments: tuple[BarSegment, ...]


@dataclass(frozen=True, slots=True)
class HourChart:
    """The bars of a chart and the highest value of its axis."""

    bars: tuple[HourBar, ...]
    axis_max: int

    @property
    def axis_middle(self) -> int:
        return self.axis_max // 2


def build_hour_chart(hours: Sequence[HourCounts]) -> HourChart:
    """Stack the counts of each hour: good at the bottom, then open, failed on top."""
    top = _round_up_axis(max((hour.total for hour in hours), default=0))
    step = 100 / max(len(hours), 1)
    bars = (
        HourBar(
            hour,
            _format_percent(step * (place + BAR_GAP / 2)),
            _format_percent(step * (1 - BAR_GAP)),
            _format_percent(step * place),
            _format_percent(step),
            _stack_segments(hour, top),
        )
        for place, hour in enumerate(hours)
    )
    return HourChart(tuple(bars), top)


def _stack_segments(hour: HourCounts, top: int) -> tuple[BarSegment, ...]:
    below, parts = 0.0, []
    for style, number in (("good", hour.good), ("warn", hour.open), ("bad", hour.failed)):
        if number:
            # A single event among thousands must still be visible.
            height = max(100 * number / top, 0.8)
            parts.append(
                BarSegment(style, _format_percent(max(0.0, 100 - below - height)), _format_percent(height))
            )
            below += height
    return tuple(parts)


def _round_up_axis(highest: int) -> int:
    """Return the next round, even number, so that half of it is an integer that the axis can show too."""
    size = 1
    while True:
        # Half of the value must be an integer too: below 10 that leaves 2, 4, 6 and 8.
        for tenths in (20, 40, 60, 80) if size == 1 else (10, 12, 16, 20, 24, 30, 40, 50, 60, 80):
            if tenths * size // 10 >= highest:
                return tenths * size // 10
        size *= 10


def polyline_points(values: Sequence[float | None]) -> str:
    """Return SVG points of a line in a box of 100 by 100, the highest value at the top. Bridges None.

    Empty for fewer than two values.
    """
    known = [(place, value) for place, value in enumerate(values) if value is not None]
    if len(known) < 2:
        return ""
    highest = max(value for _, value in known) or 1.0
    step = 100 / (len(values) - 1)
    # Between 4 and 96 per cent, so that the stroke is not cut at the edges.
    return " ".join(
        f"{_format_percent(step * place)},{_format_percent(96 - 92 * value / highest)}"
        for place, value in known
    )


def percent_of_max(number: int, largest: int) -> str:
    """Return the length of a bar in per cent of the largest; at least 2 unless the number is 0."""
    return _format_percent(max(100 * number / largest, 2.0) if number and largest else 0.0)


def _format_percent(number: float) -> str:
    return f"{number:.2f}".rstrip("0").rstrip(".")


_SPARKLINE_SVG = (
    '<svg class="spark" viewBox="0 0 100 100" preserveAspectRatio="none" aria-hidden="true">'
    '<polyline class="line-{}" points="{}" vector-effect="non-scaling-stroke"/></svg>'
)


def join_sparkline(figure: str, sparkline: SafeString) -> SafeString:
    if not sparkline:
        return escape(figure)
    return format_html('<span class="with-spark"><span>{}</span> {}</span>', figure, sparkline)


def render_sparkline(points: str, style: str = "neutral") -> SafeString:
    """Render the points of `polyline_points` as an SVG; empty without points."""
    return format_html(_SPARKLINE_SVG, style, points) if points else SafeString()
