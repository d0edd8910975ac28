"""Filters that put numbers, times, states and codes into words."""

from datetime import datetime, timedelta

from django import template
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _

from audit.format.signed_records import format_time
from console.replays import words
from console.settings.pause import render_activity_pill
from console.ui import formatting, outcome_texts
from console.ui.outcome_texts import render_pill
from sync.models import Care, Delivery, FailureGroup
from sync.monitoring.health_figures import MOST_COUNTED

register = template.Library()
register.filter("activity_pill", render_activity_pill)


@register.filter
def number(value: int) -> str:
    """With separators between thousands."""
    return f"{value:,}"


_FAILURE_GROUP_PILLS = {
    Care.OPEN: ("bad", "✕"),
    Care.ACKNOWLEDGED: ("warn", "◷"),
    Care.RESOLVED: ("good", "✓"),
    Care.IGNORED: ("quiet", "–"),
}


@register.filter
def failure_group_pill(group: FailureGroup) -> SafeString:
    """Where a failure group stands, as a word and a shape."""
    style, shape = _FAILURE_GROUP_PILLS[Care(group.state)]
    return render_pill(style, shape, str(Care(group.state).label).capitalize())


@register.filter
def utc_time(at: datetime) -> str:
    """For an address."""
    return format_time(at)


register.filter("replay_mark", words.replay_mark)


@register.filter
def bounded_count(number: int) -> str:
    """A bounded count: what lies beyond the bound is `more than …`."""
    return f"more than {MOST_COUNTED:,}" if number > MOST_COUNTED else f"{number:,}"


@register.filter
def silence_limit(limit: timedelta | None) -> str:
    """How long a source may be silent; without an end nobody is told."""
    return _("no alarm") if limit is None else formatting.long_duration(limit.total_seconds())


register.filter("moment", formatting.format_time)
register.filter("clock", formatting.format_clock_time)
register.filter("ago", formatting.format_age)
register.filter("state_pill", outcome_texts.render_state_pill)


@register.filter
def failure_title(delivery: Delivery) -> str:
    """Why a delivery failed, with the system that it is about."""
    return outcome_texts.describe_code(delivery.code, delivery.system_of(delivery.code).name).title


@register.filter
def code_title(code: str, connection: str = "") -> str:
    """A code in words, about that connection where one is named."""
    return outcome_texts.describe_code(code, connection).title
