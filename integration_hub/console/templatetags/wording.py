"""The console's words as template filters."""

from django import template

from integration_hub.console import formatting, wording
from sync.models import Delivery

register = template.Library()
register.filter("moment", formatting.moment)
register.filter("clock", formatting.clock)
register.filter("ago", formatting.ago)
register.filter("state_mark", wording.state_mark)


@register.filter
def failure_title(delivery: Delivery) -> str:
    """Why a delivery failed, with the system that it is about."""
    return wording.code_words(delivery.code, delivery.system_of(delivery.code).name).title


@register.filter
def code_title(code: str, connection: str = "") -> str:
    """A code in words, about that connection where one is named."""
    return wording.code_words(code, connection).title
