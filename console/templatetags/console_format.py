"""Filters that put numbers, times, states and codes into words."""

from datetime import datetime, timedelta

from django import template
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _

from audit.format.signed_records import format_time
from console.replays import words
from console.settings.pause import flow_pill
from console.ui import formatting, status
from console.ui.status import pill
from sync.models import Care, Delivery, FailureGroup
from sync.monitoring.health_figures import MOST_COUNTED

register = template.Library()
register.filter("flow_pill", flow_pill)


@register.filter
def number(value: int) -> str:
    """With separators between thousands."""
    return f"{value:,}"


_CARE = {
    Care.OPEN: ("bad", "✕"),
    Care.ACKNOWLEDGED: ("warn", "◷"),
    Care.RESOLVED: ("good", "✓"),
    Care.IGNORED: ("quiet", "–"),
}


@register.filter
def care_mark(group: FailureGroup) -> SafeString:
    """Where a failure group stands, as a word and a shape."""
    style, shape = _CARE[Care(group.state)]
    return pill(style, shape, str(Care(group.state).label).capitalize())


@register.filter
def machine_time(at: datetime) -> str:
    """For an address."""
    return format_time(at)


register.filter("replay_mark", words.replay_mark)


@register.filter
def counted(number: int) -> str:
    """A bounded count: what lies beyond the bound is `more than …`."""
    return f"more than {MOST_COUNTED:,}" if number > MOST_COUNTED else f"{number:,}"


@register.filter
def silence(length: timedelta | None) -> str:
    """How long a source may be silent; without an end nobody is told."""
    return _("no alarm") if length is None else formatting.long_duration(length.total_seconds())


register.filter("moment", formatting.moment)
register.filter("clock", formatting.clock)
register.filter("ago", formatting.ago)
register.filter("state_mark", status.state_mark)


@register.filter
def failure_title(delivery: Delivery) -> str:
    """Why a delivery failed, with the system that it is about."""
    return status.code_words(delivery.code, delivery.system_of(delivery.code).name).title


@register.filter
def code_title(code: str, connection: str = "") -> str:
    """A code in words, about that connection where one is named."""
    return status.code_words(code, connection).title
