"""What stands around every page: the menu, the environment's badge, the zone of its times."""

from typing import Any

from django import template
from django.conf import settings
from django.utils import timezone
from django.utils.html import format_html
from django.utils.safestring import SafeString

from integration_hub.console.navigation import groups

register = template.Library()


@register.inclusion_tag("console/navigation.html", takes_context=True)
def navigation(context: Any) -> dict[str, Any]:
    """The menu of the person who asks."""
    request = context["request"]
    return {"groups": list(groups(request.user, request.path))}


@register.simple_tag
def environment_badge() -> str | SafeString:
    """Where one is: the name of the environment, if it has one."""
    name = settings.ENVIRONMENT
    return format_html('<span class="badge environment">{}</span>', name) if name else ""


@register.simple_tag
def zone_name() -> str:
    """The zone of the times on this page."""
    return timezone.get_current_timezone_name()
