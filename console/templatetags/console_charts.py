"""Filters of the overview's charts."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta

from django import template
from django.utils import timezone
from django.utils.translation import gettext as _

from console.ui.charts import Chart, Hour

register = template.Library()
DAY = 24
NARROW = 6  # hours of a day that are too few for its name


@dataclass(frozen=True, slots=True)
class Day:
    """Where a day begins in the chart, in per cent, and where its name stands: `anchor` says with which end."""

    x: str
    place: str
    anchor: str
    name: str


@register.filter
def change(percent: float) -> str:
    """With its sign: `+3.5 %`, `0 %`."""
    rounded = round(percent, 1) if abs(percent) < 100 else round(percent)
    if not rounded:
        return "0 %"
    return f"{'+' if rounded > 0 else '−'}{abs(rounded):,} %"


@register.filter
def hour(at: datetime, now: datetime) -> str:
    """`13:00` of today, `Tue 13:00` of this week, `3 Mar 13:00` of before, in the person's zone."""
    local, today = timezone.localtime(at), timezone.localtime(now)
    if local.date() == today.date():
        return f"{local:%H:%M}"
    return f"{local:%a %H:%M}" if today - local < timedelta(days=6) else f"{local.day} {local:%b %H:%M}"


@register.filter
def day_and_hour(at: datetime) -> str:
    """`Tue 24 Nov 13:00`, in the person's zone."""
    local = timezone.localtime(at)
    return f"{local:%a} {local.day} {local:%b %H:%M}"


@register.filter
def bar_words(hour: Hour) -> str:
    """An hour of the chart in one line."""
    sentence = _("%(when)s: %(total)s received, %(failed)s failed, %(open)s in flight")
    values = {"total": hour.total, "failed": hour.failed, "open": hour.open}
    return sentence % {
        "when": day_and_hour(hour.at),
        **{name: f"{value:,}" for name, value in values.items()},
    }


@register.filter
def days(chart: Chart, hours: int) -> list[Day]:
    """Where the days of the person's zone begin in its last hours; the first one and the last may be cut."""
    return list(_days([each.hour.at for each in chart.bars][-hours:]))


def _days(hours: list[datetime]) -> Iterator[Day]:
    local = [timezone.localtime(each) for each in hours]
    starts = [place for place, at in enumerate(local) if not place or at.date() != local[place - 1].date()]
    step = 100 / max(len(hours), 1)
    for start, end in zip(starts, [*starts[1:], len(hours)], strict=True):
        name = f"{local[start]:%a} {local[start].day}" if end - start >= NARROW else ""
        place, anchor = _name_place(start, end, len(hours))
        yield Day(f"{step * start:.2f}", f"{step * place:.2f}", anchor, name)


def _name_place(start: int, end: int, hours: int) -> tuple[float, str]:
    """In its middle; of a part of a day at an edge of the chart at that edge, or it would be cut."""
    if end - start < DAY / 2 and start == 0:
        return 0, "start"
    if end - start < DAY / 2 and end == hours:
        return hours, "end"
    return (start + end) / 2, "middle"
