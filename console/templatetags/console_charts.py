"""Template filters and tags of the overview's charts."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from urllib.parse import urlencode

from django import template
from django.urls import reverse
from django.utils import timezone
from django.utils.html import format_html_join
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _

from audit.format.signed_records import format_time
from console.ui.charts import HourBar, HourChart, HourCounts
from sync.models.counts import HOUR

register = template.Library()
HOURS_PER_DAY = 24
# A day with fewer hours in the chart has no room for its name.
MIN_LABELLED_HOURS = 6
# For a pointer only: the table has the same links.
_BAR = (
    '<a href="{}" tabindex="-1"><g><title>{}</title>'
    '<rect class="hover" x="{}%" width="{}%" y="0" height="100%"/>{}</g></a>'
)
_ROW = '<tr><th scope="row"><a href="{}">{}</a></th>' + 4 * '<td class="number">{}</td>' + "</tr>"


@dataclass(frozen=True, slots=True)
class DayLabel:
    """Position a day in the chart, in per cent: its boundary and its label. `anchor` is the SVG text-anchor of the
    label.
    """

    boundary_x: str
    label_x: str
    anchor: str
    name: str


@register.filter
def signed_percent(percent: float) -> str:
    """Format a change in per cent with its sign: `+3.5 %`, `0 %`."""
    rounded = round(percent, 1) if abs(percent) < 100 else round(percent)
    if not rounded:
        return "0 %"
    return f"{'+' if rounded > 0 else '−'}{abs(rounded):,} %"


@register.filter
def recent_hour(at: datetime, now: datetime) -> str:
    """Format an hour in the person's zone: `13:00` today, `Tue 13:00` this week, `3 Mar 13:00` before."""
    local, today = timezone.localtime(at), timezone.localtime(now)
    if local.date() == today.date():
        return f"{local:%H:%M}"
    # After six days the name of a day could mean the day of last week.
    return f"{local:%a %H:%M}" if today - local < timedelta(days=6) else f"{local.day} {local:%b %H:%M}"


@register.filter
def day_and_hour(at: datetime) -> str:
    """Format an hour with its day in the person's zone: `Tue 24 Nov 13:00`."""
    local = timezone.localtime(at)
    return f"{local:%a} {local.day} {local:%b %H:%M}"


def hour_summary(hour: HourCounts) -> str:
    """Describe the counts of an hour in one line."""
    sentence = _("%(when)s: %(total)s received, %(failed)s failed, %(open)s in flight")
    values = {"total": hour.total, "failed": hour.failed, "open": hour.open}
    return sentence % {
        "when": day_and_hour(hour.at),
        **{name: f"{value:,}" for name, value in values.items()},
    }


@register.simple_tag
def hour_bars(chart: HourChart) -> SafeString:
    """Render the bars of a chart; each leads to the events of its hour.

    Not a template: a page has a hundred bars.
    """
    return format_html_join("", _BAR, map(_describe_bar, chart.bars, _hour_addresses(chart)))


@register.simple_tag
def hour_rows(chart: HourChart) -> SafeString:
    """Render the counts of a chart as rows of a table, newest first, with the links of its bars."""
    rows = list(map(_describe_row, chart.bars, _hour_addresses(chart)))
    return format_html_join("", _ROW, reversed(rows))


def _describe_bar(bar: HourBar, address: str) -> tuple[str, ...]:
    parts = format_html_join(
        "",
        '<rect class="{}" x="{}%" width="{}%" y="{}%" height="{}%"/>',
        ((part.style, bar.x, bar.width, part.y, part.height) for part in bar.segments),
    )
    return address, hour_summary(bar.hour), bar.slot_x, bar.slot_width, parts


def _describe_row(bar: HourBar, address: str) -> tuple[str, ...]:
    hour = bar.hour
    counts = (hour.total, hour.good, hour.open, hour.failed)
    return address, day_and_hour(hour.at), *(f"{number:,}" for number in counts)


def _hour_addresses(chart: HourChart) -> Iterator[str]:
    """Yield the address of the list of the events of each hour."""
    address = reverse("admin:webhooks_event_changelist")
    for bar in chart.bars:
        at = bar.hour.at
        times = {"received_from": format_time(at), "received_to": format_time(at + HOUR)}
        yield f"{address}?{urlencode(times)}"


@register.filter
def day_labels(chart: HourChart, hours: int) -> list[DayLabel]:
    """Return a label for each day, in the person's zone, among the chart's last `hours` hours. The first and last day
    may be incomplete.
    """
    return list(_build_day_labels([bar.hour.at for bar in chart.bars][-hours:]))


def _build_day_labels(hours: list[datetime]) -> Iterator[DayLabel]:
    local = [timezone.localtime(at) for at in hours]
    starts = [place for place, at in enumerate(local) if not place or at.date() != local[place - 1].date()]
    step = 100 / max(len(hours), 1)
    for start, end in zip(starts, [*starts[1:], len(hours)], strict=True):
        name = f"{local[start]:%a} {local[start].day}" if end - start >= MIN_LABELLED_HOURS else ""
        place, anchor = _label_position(start, end, len(hours))
        yield DayLabel(f"{step * start:.2f}", f"{step * place:.2f}", anchor, name)


def _label_position(start: int, end: int, hours: int) -> tuple[float, str]:
    """Return position and anchor of a day's label: centred, or at the edge for a short day at an edge of the chart."""
    if end - start < HOURS_PER_DAY / 2 and start == 0:
        return 0, "start"
    if end - start < HOURS_PER_DAY / 2 and end == hours:
        return hours, "end"
    return (start + end) / 2, "middle"
