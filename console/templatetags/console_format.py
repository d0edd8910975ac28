"""Template filters that format numbers, times, states and codes."""

from datetime import datetime, timedelta
from typing import Any

from django import template
from django.forms.utils import flatatt
from django.urls import reverse
from django.utils import timezone
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _

from audit.format.signed_records import format_time
from console.replays import words
from console.settings.mappings.words import DiffLine
from console.settings.pause import render_activity_pill
from console.ui import formatting, outcome_texts
from console.ui.comparison_texts import render_compared
from console.ui.event_names import event_name, render_event_link
from console.ui.outcome_texts import render_pill
from sync.models import Delivery, FailureGroup, FailureGroupState, PersonRequest
from sync.monitoring.health_figures import COUNT_LIMIT

register = template.Library()
register.filter("activity_pill", render_activity_pill)


@register.filter("number")
def format_number(value: int) -> str:
    """Format an integer with thousands separators."""
    return f"{value:,}"


_FAILURE_GROUP_PILLS = {
    FailureGroupState.OPEN: ("bad", "✕"),
    FailureGroupState.ACKNOWLEDGED: ("warn", "◷"),
    FailureGroupState.RESOLVED: ("good", "✓"),
    FailureGroupState.IGNORED: ("quiet", "–"),
}


@register.filter
def failure_group_pill(group: FailureGroup) -> SafeString:
    style, shape = _FAILURE_GROUP_PILLS[FailureGroupState(group.state)]
    return render_pill(style, shape, str(FailureGroupState(group.state).label).capitalize())


@register.filter
def utc_time(at: datetime) -> str:
    """Format a time for a query parameter, in UTC."""
    return format_time(at)


register.filter("replay_mark", words.replay_mark)


@register.filter
def bounded_count(number: int) -> str:
    """Format a count that stops at a bound: beyond it, `more than …`."""
    if number > COUNT_LIMIT:
        return _("more than %(limit)s") % {"limit": f"{COUNT_LIMIT:,}"}
    return f"{number:,}"


@register.filter
def silence_limit(limit: timedelta | None) -> str:
    """Format how long a source may be silent before an alarm; None means no alarm."""
    return _("no alarm") if limit is None else formatting.long_duration(limit.total_seconds())


register.filter("moment", formatting.render_time)
register.filter("clock", formatting.render_clock_time)
register.filter("ago", formatting.render_age)
register.filter("duration", formatting.long_duration)


@register.filter
def compared(at: datetime | None) -> SafeString:
    """Render when something was compared: `02:10 (14 h ago)`."""
    return render_compared(at, timezone.now())


register.filter("event_name", event_name)
register.simple_tag(render_event_link, name="event_link")
register.filter("state_pill", outcome_texts.render_state_pill)
register.filter("planned_action", outcome_texts.describe_planned_action)
register.filter("short_state_pill", outcome_texts.render_short_state_pill)


@register.filter
def failure_title(delivery: Delivery) -> str:
    return outcome_texts.describe_code(delivery.code, delivery.connection_of_code(delivery.code).name).title


@register.filter
def code_title(code: str, connection: str = "") -> str:
    return outcome_texts.describe_code(code, connection).title


@register.simple_tag(takes_context=True)
def replay_link(context: Any, replay: PersonRequest) -> str:
    """Render the name of a replay, as a link to its page if the person may see it."""
    kind = _("make equal") if replay.makes_equal else replay.get_kind_display()
    name = f"{kind} #{replay.pk}"
    if not context["perms"]["sync"]["view_personrequest"]:
        return name
    return format_html(
        '<a href="{}">{}</a>', reverse("admin:sync_personrequest_change", args=[replay.pk]), name
    )


_CHANGED_LINES = {"added": ("ins", "now", "+ "), "removed": ("del", "was", "- ")}


@register.filter
def diff_line(line: DiffLine) -> SafeString:
    """Render a line of a text diff."""
    name, style, mark = _CHANGED_LINES.get(line.kind, ("span", "", "  "))
    return format_html("<{0}{1}>{2}{3}</{0}>", name, flatatt({"class": style or None}), mark, line.text)
