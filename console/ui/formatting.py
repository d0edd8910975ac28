"""Times and durations as text. `short_duration` is for measurements, `long_duration` for waits. Pure: `now` is passed
in.
"""

from datetime import UTC, datetime, timedelta

from django.utils import timezone
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _
from django.utils.translation import ngettext


def render_time(at: datetime | None, absent: str = "–") -> str | SafeString:
    """Render a time to the second in the person's zone. The `datetime` attribute is UTC with fractions."""
    if at is None:
        return absent
    exact = _utc_text(at)
    return format_html('<time datetime="{}" title="{}">{}</time>', exact, exact, _local_text(at))


def render_clock_time(at: datetime | None, day: datetime, absent: str = "–") -> str | SafeString:
    """Render a time on `day` as `12:22:59`, on any other day with its date. The tooltip has the full time."""
    if at is None:
        return absent
    local = timezone.localtime(at)
    text = f"{local:%H:%M:%S}" if local.date() == timezone.localtime(day).date() else _local_text(at)
    return format_html('<time datetime="{}" title="{}">{}</time>', _utc_text(at), _local_text(at), text)


def render_minute(at: datetime | None, now: datetime, absent: str = "–") -> str | SafeString:
    """Render a time within a day of `now` as `12:22`, any other with its date. The tooltip has the full time."""
    if at is None:
        return absent
    return format_html(
        '<time datetime="{}" title="{}">{}</time>', _utc_text(at), _local_text(at), minute_text(at, now)
    )


def minute_text(at: datetime, now: datetime) -> str:
    """Format a time within a day of `now` as `12:22`, any other with its date, in the person's zone."""
    local = timezone.localtime(at)
    return f"{local:%H:%M}" if abs(at - now) < timedelta(days=1) else f"{local:%Y-%m-%d %H:%M}"


def render_age(at: datetime | None, now: datetime | None = None, absent: str = "–") -> str | SafeString:
    """Render how long ago a time was, in one unit: `12 s ago`, `5 min ago`, `3 h ago`, `9 days ago`.

    The tooltip has the full time. A time after `now` is shown as `now`, because clocks differ.
    """
    if at is None:
        return absent
    seconds = int(((now or timezone.now()) - at).total_seconds())
    return format_html(
        '<time datetime="{}" title="{}">{}</time>', _utc_text(at), _local_text(at), _age_text(seconds)
    )


def _age_text(seconds: int) -> str:
    if seconds < 1:
        return _("now")
    texts = (
        (_("%(count)d s ago"), 1, 60),
        (_("%(count)d min ago"), 60, 3600),
        (_("%(count)d h ago"), 3600, 172_800),
    )
    for text, length, limit in texts:
        if seconds < limit:
            return text % {"count": seconds // length}
    return ngettext("%(count)d day ago", "%(count)d days ago", seconds // 86_400) % {
        "count": seconds // 86_400
    }


def _utc_text(at: datetime) -> str:
    return at.astimezone(UTC).isoformat().replace("+00:00", "Z")


def _local_text(at: datetime) -> str:
    local = timezone.localtime(at)
    return f"{local:%Y-%m-%d %H:%M:%S %Z}"


def short_duration(seconds: float | None) -> str:
    """Format a measured duration in one unit: `212 ms`, `4.1 s`, `45 s`, `12 min`, `3 h`; a dash for None."""
    if seconds is None:
        return "–"
    # The first two limits are those at which rounding would print "1000 ms" and "10.0 s".
    if seconds < 0.9995:
        return f"{seconds * 1000:.0f} ms"
    if seconds < 9.95:
        return f"{seconds:.1f} s"
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 90 * 60 else f"{seconds / 3600:,.0f} h"


def long_duration(seconds: float) -> str:
    """Format a duration in its two largest units, rounded down: `8 s`, `42 min 8 s`, `3 h`, `2 days 4 h`.

    From three days on, days alone.
    """
    whole = max(0, int(seconds))
    days = whole // 86_400
    parts = [
        (days, ngettext("day", "days", days)),
        (whole // 3600 % 24, _("h")),
        (whole // 60 % 60, _("min")),
        (whole % 60, _("s")),
    ]
    first = next((place for place, (number, _unit) in enumerate(parts) if number), len(parts) - 1)
    shown = parts[first : first + (1 if days >= 3 else 2)]
    return " ".join(f"{number} {unit}" for number, unit in shown if number) or f"0 {parts[-1][1]}"


def time_until(at: datetime | None, now: datetime) -> str:
    """Format how far ahead a time is: `now`, `in 40 s`, `in 12 min 5 s`; empty for None."""
    if at is None:
        return ""
    seconds = (at - now).total_seconds()
    return _("in %(span)s") % {"span": long_duration(max(1, seconds))} if seconds > 0 else _("now")


def percent_text(share: float) -> str:
    """Format a share as a percentage without the sign: 0.09 as `9`, less than 0.01 as `<1`, 0 as `0`."""
    return f"{share * 100:.0f}" if share >= 0.01 or not share else "<1"
