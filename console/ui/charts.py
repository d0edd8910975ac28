"""Charts and sparklines as numbers for SVG, in per cent of the picture. Pure; text is never scaled."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from django.utils.html import escape, format_html
from django.utils.safestring import SafeString

GAP = 0.18  # of a bar's place


@dataclass(frozen=True, slots=True)
class Part:
    """A piece of a bar: its style, and where it is."""

    style: str
    y: str
    height: str


@dataclass(frozen=True, slots=True)
class Hour:
    """What an hour brought: what ended well, what goes on, what failed."""

    at: datetime
    good: int = 0
    open: int = 0
    failed: int = 0

    @property
    def total(self) -> int:
        return self.good + self.open + self.failed


@dataclass(frozen=True, slots=True)
class Bar:
    """An hour of the chart; `x` and `width` are of the bar, `place` and `step` of all that belongs to the hour."""

    hour: Hour
    x: str
    width: str
    place: str
    step: str
    parts: tuple[Part, ...]


@dataclass(frozen=True, slots=True)
class Chart:
    """Stacked bars, and the highest figure of the axis."""

    bars: tuple[Bar, ...]
    top: int

    @property
    def half(self) -> int:
        return self.top // 2


def stacked(hours: Sequence[Hour]) -> Chart:
    """What ended well at the bottom, then what goes on, what failed on top. A piece is never too thin to be seen."""
    top = _rounded(max((each.total for each in hours), default=0))
    step = 100 / max(len(hours), 1)
    bars = (
        Bar(
            hour,
            _text(step * (place + GAP / 2)),
            _text(step * (1 - GAP)),
            _text(step * place),
            _text(step),
            _parts(hour, top),
        )
        for place, hour in enumerate(hours)
    )
    return Chart(tuple(bars), top)


def _parts(hour: Hour, top: int) -> tuple[Part, ...]:
    below, parts = 0.0, []
    for style, number in (("good", hour.good), ("warn", hour.open), ("bad", hour.failed)):
        if number:
            height = max(100 * number / top, 0.8)
            parts.append(Part(style, _text(max(0.0, 100 - below - height)), _text(height)))
            below += height
    return tuple(parts)


def _rounded(highest: int) -> int:
    """The next even figure with a simple beginning: half of it is whole, and stands on the axis too."""
    size = 1
    while True:
        for tenths in (20, 40, 60, 80) if size == 1 else (10, 12, 16, 20, 24, 30, 40, 50, 60, 80):
            if tenths * size // 10 >= highest:
                return tenths * size // 10
        size *= 10


def line(values: Sequence[float | None]) -> str:
    """The points of a line in a box of 100 by 100, the highest value at its top; where there is none, a gap is bridged.

    Empty for fewer than two values.
    """
    known = [(place, value) for place, value in enumerate(values) if value is not None]
    if len(known) < 2:
        return ""
    highest = max(value for _, value in known) or 1.0
    step = 100 / (len(values) - 1)
    return " ".join(f"{_text(step * place)},{_text(96 - 92 * value / highest)}" for place, value in known)


def share(number: int, most: int) -> str:
    """Of a bar beside a figure: per cent of the longest, and never nothing where there is something."""
    return _text(max(100 * number / most, 2.0) if number and most else 0.0)


def _text(number: float) -> str:
    return f"{number:.2f}".rstrip("0").rstrip(".")


_PICTURE = (
    '<svg class="spark" viewBox="0 0 100 100" preserveAspectRatio="none" aria-hidden="true">'
    '<polyline class="line-{}" points="{}" vector-effect="non-scaling-stroke"/></svg>'
)


def beside(figure: str, picture: SafeString) -> SafeString:
    """Both on one line."""
    if not picture:
        return escape(figure)
    return format_html('<span class="with-spark"><span>{}</span> {}</span>', figure, picture)


def spark(points: str, style: str = "neutral") -> SafeString:
    """The picture of the points of `charts.line`; empty where there is no line."""
    return format_html(_PICTURE, style, points) if points else SafeString()
