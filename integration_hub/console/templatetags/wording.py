"""The console's words as template filters."""

from django import template

from integration_hub.console import wording

register = template.Library()
register.filter("moment", wording.moment)
register.filter("state_mark", wording.state_mark)


@register.filter
def code_title(code: str) -> str:
    """A code in words."""
    return wording.code_words(code).title
