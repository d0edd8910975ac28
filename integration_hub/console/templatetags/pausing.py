"""The state of what can be paused, as a template filter."""

from django import template

from integration_hub.console.pausing import flow_pill

register = template.Library()
register.filter("flow_pill", flow_pill)
