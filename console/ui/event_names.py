"""Names of events for people: `User updated` instead of the code `UPDATE USER`."""

from collections.abc import Callable, Mapping

from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

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
