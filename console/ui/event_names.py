"""Names of events for people: `User updated` instead of the code `UPDATE USER`."""

from collections.abc import Callable, Mapping
from typing import Any

from django.forms.utils import flatatt
from django.urls import reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from webhooks.models import Event

_ENTITY_NAMES: Mapping[str, object] = {
    "USER": gettext_lazy("User"),
    "GROUP": gettext_lazy("Group"),
    "FILE": gettext_lazy("File"),
}
_EVENT_NAMES: Mapping[str, Callable[[], str]] = {
    "CREATE": lambda: _("%(entity)s created"),
    "UPDATE": lambda: _("%(entity)s updated"),
    "DELETE": lambda: _("%(entity)s deleted"),
}


def event_name(event_type: str, entity_type: str) -> str:
    """Return the name of an event. A type that only its sender knows is shown as it was sent."""
    entity = str(_ENTITY_NAMES.get(entity_type, entity_type))
    if event_type not in _EVENT_NAMES:
        return f"{entity}: {event_type}"
    return _EVENT_NAMES[event_type]() % {"entity": entity}


def render_event_link(event: Event, query: str = "", **attributes: Any) -> SafeString:
    """Render the name of an event as a link to its page; the code is its tooltip. `query`: of the address.
    `data_open` sets `data-open`.
    """
    address = reverse("admin:webhooks_event_change", args=[event.pk]) + query
    code = f"{event.event_type} {event.entity_type}"
    attributes = {name.replace("_", "-"): value for name, value in attributes.items()}
    name = event_name(event.event_type, event.entity_type)
    return format_html("<a{}>{}</a>", flatatt({"href": address, "title": code, **attributes}), name)
