"""The figures of the alarm page in words."""

from datetime import timedelta

from django import template
from django.utils.translation import gettext as _

from sync.monitoring.alarm_texts import span
from sync.monitoring.health_figures import MOST_COUNTED

register = template.Library()


@register.filter
def counted(number: int) -> str:
    """A bounded count: what lies beyond the bound is `more than …`."""
    return f"more than {MOST_COUNTED:,}" if number > MOST_COUNTED else f"{number:,}"


@register.filter
def silence(length: timedelta | None) -> str:
    """How long a source may be silent; without an end nobody is told."""
    return _("no alarm") if length is None else span(int(length.total_seconds()))
