"""The filters of events: declared for the list, exports and replays, and as sentences with the names of systems."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext

from config_schema.codes.codes import CATALOGUE, HELD_EVENT_CODES, IGNORED_EVENT_CODES, is_about_identity
from console.ui.filter_set import FilterSet
from console.ui.filters import Filter, TimeFilter
from console.ui.outcome_texts import describe_code, state_name
from sync.models import Connection, ConnectionSide
from sync.search.event_filter import (
    EVENT_TYPES,
    LISTING_PARAMS,
    NEEDS_ATTENTION,
    OTHER_TYPE,
    resolve_filter,
    split_values,
)
from sync.search.time_ranges import format_moment
from webhooks.models import Source, State

# A request that was refused has no event, so its codes are left out.
_FAILURE_CODES = tuple(
    code for code, entry in CATALOGUE.items() if entry.status in (409, 422, 424) and entry.owner != "sender"
)
# The reasons of events by the status that choosing one implies.
_REASON_CODES: Mapping[str, tuple[str, ...]] = {
    State.DEAD.value: _FAILURE_CODES,
    State.HELD.value: HELD_EVENT_CODES,
    State.IGNORED.value: IGNORED_EVENT_CODES,
}
STATES_WITH_REASONS = tuple(_REASON_CODES)


def source_options() -> list[tuple[str, str]]:
    """Return slug and name of every source."""
    return list(Source.objects.values_list("slug", "name"))


def _state_options() -> list[tuple[str, str]]:
    return [(NEEDS_ATTENTION, _("Needs attention")), *((state.value, state_name(state)) for state in State)]


def _reason_options() -> list[tuple[str, str]]:
    codes = (code for listed in _REASON_CODES.values() for code in listed)
    return sorted(((code, describe_code(code).title) for code in codes), key=lambda reason: reason[1])


def state_of_reason(code: str) -> str:
    """Return the status that choosing a reason implies; empty for a code that is not offered."""
    return next((state for state, codes in _REASON_CODES.items() if code in codes), "")


def _params_of_reason(code: str) -> dict[str, str]:
    return {"state": state} if (state := state_of_reason(code)) else {}


def _type_options() -> list[tuple[str, str]]:
    return [*((event_type, event_type) for event_type in EVENT_TYPES), (OTHER_TYPE, _("Other"))]


# In the order of `FILTER_PARAMS`, which the addresses of saved views have.
EVENT_FILTERS = FilterSet(
    (
        Filter("state", gettext_lazy("Status"), _state_options, takes_several=True),
        Filter(
            "code", gettext_lazy("Reason"), _reason_options, implied=_params_of_reason, takes_several=True
        ),
        Filter("target", gettext_lazy("Connection")),
        Filter("failure_group", gettext_lazy("Failure group")),
        Filter("waits_for", gettext_lazy("Waiting for")),
        Filter("entity_type", gettext_lazy("Entity type")),
        Filter("event_type", gettext_lazy("Type"), _type_options, takes_several=True),
        Filter("source", gettext_lazy("Source"), source_options, takes_several=True),
        Filter("entity_id", gettext_lazy("Entity")),
        TimeFilter("received", gettext_lazy("Received")),
        # What the search box of the list once sent: links, saved views and exports have it.
        Filter("q", gettext_lazy("Searched for")),
    ),
    resolve_filter,
)
_LABELS: Mapping[str, object] = {one.name: one.label for one in EVENT_FILTERS.filters} | {
    "received_from": gettext_lazy("Received from"),
    "received_to": gettext_lazy("Received before"),
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
    if name in LISTING_PARAMS:
        value = _describe_values(name, params, systems)
    elif name in ("target", "waits_for"):
        value = systems.system_name(value)
    elif name in ("received_from", "received_to"):
        return f"{_LABELS[name]} {format_moment(value, timezone.get_current_timezone())}"
    return "" if name.endswith("_taken_for") else f"{_LABELS.get(name, name)}: {value}"


def _describe_values(name: str, params: Mapping[str, str], systems: SystemNames) -> str:
    """Return the values of a filter that may list several, as text."""
    values, is_excluded = split_values(params[name])
    if name == "state":
        values = tuple(map(state_name, values))
    elif name == "code":
        values = tuple(systems.reason_title(code, params.get("target", "")) for code in values)
    text = ", ".join(values)
    return _("not %(values)s") % {"values": text} if is_excluded else text
