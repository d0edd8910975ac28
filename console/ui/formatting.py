"""Times and durations in the words of the console: `short_duration` for what was measured, `long_duration` for what is
waited for. Pure: the moment is passed in.
"""

from datetime import UTC, datetime

from django.utils import timezone
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _
from django.utils.translation import ngettext


def format_time(at: datetime | None, absent: str = "–") -> str | SafeString:
    """A time to the second, in the person's zone; the machine's form is UTC and has its fractions."""
    if at is None:
        return absent
    exact = _utc_text(at)
    return format_html('<time datetime="{}" title="{}">{}</time>', exact, exact, _local_text(at))


def format_clock_time(at: datetime | None, day: datetime, absent: str = "–") -> str | SafeString:
    """The time of that day alone, `12:22:59`; of any other day all of it. Its title tells it all."""
    if at is None:
        return absent
    local = timezone.localtime(at)
    told = f"{local:%H:%M:%S}" if local.date() == timezone.localtime(day).date() else _local_text(at)
    return format_html('<time datetime="{}" title="{}">{}</time>', _utc_text(at), _local_text(at), told)


def format_age(at: datetime | None, now: datetime | None = None, absent: str = "–") -> str | SafeString:
    """How long ago a time was, in one unit: `12 s ago`, `5 min ago`, `3 h ago`, `9 days ago`; its title tells it all.

    What lies ahead of `now` is `now`: clocks differ.
    """
    if at is None:
        return absent
    seconds = int(((now or timezone.now()) - at).total_seconds())
    return format_html(
        '<time datetime="{}" title="{}">{}</time>', _utc_text(at), _local_text(at), _age_text(seconds)
    )


def _age_text(seconds: int) -> str:
    for name, length, most in (("s", 1, 60), ("min", 60, 3600), ("h", 3600, 172_800)):
        if seconds < most:
            return f"{seconds // length} {name} ago" if seconds >= length else _("now")
    return ngettext("%(count)d day ago", "%(count)d days ago", seconds // 86_400) % {
        "count": seconds // 86_400
    }


def _utc_text(at: datetime) -> str:
    return at.astimezone(UTC).isoformat().replace("+00:00", "Z")


def _local_text(at: datetime) -> str:
    local = timezone.localtime(at)
    return f"{local:%Y-%m-%d %H:%M:%S %Z}"


def short_duration(seconds: float | None) -> str:
    """How long something took, in one unit: `212 ms`, `4.1 s`, `45 s`, `12 min`, `3 h`; a dash for none."""
    if seconds is None:
        return "–"
    if seconds < 0.9995:
        return f"{seconds * 1000:.0f} ms"
    if seconds < 9.95:
        return f"{seconds:.1f} s"
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 90 * 60 else f"{seconds / 3600:,.0f} h"


def long_duration(seconds: float) -> str:
    """How long something lasts or is away, in its two largest units, never more than that: `8 s`, `42 min 8 s`, `3 h`,
    `2 days 4 h`; from three days on the days alone.
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
    """How far away a time is: `now`, `in 40 s`, `in 12 min 5 s`; empty where there is none."""
    if at is None:
        return ""
    seconds = (at - now).total_seconds()
    return _("in %(span)s") % {"span": long_duration(max(1, seconds))} if seconds > 0 else _("now")


def percent_text(share: float) -> str:
    """`9` of 0.09, `<1` of less; `0` only of nothing. The sign stands beside it."""
    return f"{share * 100:.0f}" if share >= 0.01 or not share else "<1"
