"""Event filters as sentences, with the names of the systems concerned."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext

from console.ui.outcome_texts import describe_code, state_name
from sync.models import Connection, ConnectionSide
from sync.search.time_ranges import format_moment
from webhooks.catalogue.codes import is_about_identity

_PARAM_LABELS: Mapping[str, object] = {
    "event_type": gettext_lazy("Type"),
    "entity_type": gettext_lazy("Entity type"),
    "source": gettext_lazy("Source"),
    "target": gettext_lazy("Connection"),
    "entity_id": gettext_lazy("Entity"),
    "received_from": gettext_lazy("Received from"),
    "received_to": gettext_lazy("Received before"),
    "q": gettext_lazy("Searched for"),
}


@dataclass(frozen=True, slots=True)
class SystemNames:
    """Side and name of each system by slug. Without an entry, the slug is shown and a code names no system."""

    by_slug: Mapping[str, tuple[str, str]] = field(default_factory=dict)

    def system_name(self, slug: str) -> str:
        return self.by_slug[slug][1] if slug in self.by_slug else slug

    def reason_title(self, code: str, slug: str = "") -> str:
        """Return the title of a code, naming the system only if just one can be meant. `slug` narrows to one system."""
        side = ConnectionSide.IDENTITY if is_about_identity(code) else ConnectionSide.TARGET
        slug_side, name = self.by_slug.get(slug, ("", ""))
        # A code is about one end of a route: other connections of that end could be meant too.
        is_one = slug_side == side
        names = [name] if is_one else [name for other, name in self.by_slug.values() if other == side]
        return describe_code(code, names[0] if len(names) == 1 else "").title


NO_SYSTEMS = SystemNames()


def load_system_names() -> SystemNames:
    """Load side and name of all connections. One query."""
    rows = Connection.objects.order_by().values_list("slug", "side", "name")
    return SystemNames({slug: (side, name) for slug, side, name in rows})


def count_events_text(count: int) -> str:
    """Format a number of events: `1 event`, `710 events`."""
    return ngettext("%(number)s event", "%(number)s events", count) % {"number": f"{count:,}"}


def describe_filter(params: Mapping[str, str], systems: SystemNames = NO_SYSTEMS) -> list[str]:
    """Return a resolved filter as one sentence for each condition."""
    return [text for name in params if (text := _describe_param(name, params, systems))]


def _describe_param(name: str, params: Mapping[str, str], systems: SystemNames) -> str:
    value = params[name]
    # The page of a filter may ask for several states at once.
    if name == "state":
        names = map(state_name, value.split(","))
        return _("Status: %(states)s") % {"states": ", ".join(names)}
    if name == "code":
        return _("Reason: %(reason)s") % {"reason": systems.reason_title(value, params.get("target", ""))}
    if name == "target":
        return f"{_PARAM_LABELS[name]}: {systems.system_name(value)}"
    if name in ("received_from", "received_to"):
        return f"{_PARAM_LABELS[name]} {format_moment(value, timezone.get_current_timezone())}"
    return (
        f"{_PARAM_LABELS[name]}: {value}"
        if name in _PARAM_LABELS
        else ""
        if name.endswith("_taken_for")
        else f"{name}: {value}"
    )
