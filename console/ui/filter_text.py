"""A filter of events in words, with the names of the systems concerned."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext

from console.ui.status import code_words, state_name
from sync.models import Connection, Side
from sync.search.periods import told_of
from webhooks.catalogue.codes import is_about_identity

_WORDS: Mapping[str, object] = {
    "event_type": gettext_lazy("Type"),
    "entity_type": gettext_lazy("Entity type"),
    "source": gettext_lazy("Source"),
    "commercial": gettext_lazy("Connection"),
    "entity_id": gettext_lazy("Entity"),
    "received_from": gettext_lazy("Received from"),
    "received_to": gettext_lazy("Received before"),
    "q": gettext_lazy("Searched for"),
}


@dataclass(frozen=True, slots=True)
class Systems:
    """Side and name of each system by its slug; of none, a slug is told as it is and a code names nobody."""

    known: Mapping[str, tuple[str, str]] = field(default_factory=dict)

    def name(self, slug: str) -> str:
        return self.known[slug][1] if slug in self.known else slug

    def why(self, code: str, slug: str = "") -> str:
        """The title of a code among events of this system, or of all: named where only one system can be meant."""
        side = Side.IDENTITY if is_about_identity(code) else Side.COMMERCIAL
        asked, name = self.known.get(slug, ("", ""))
        there = [name] if asked == side else [name for at, name in self.known.values() if at == side]
        return code_words(code, there[0] if len(there) == 1 else "").title


NOBODY = Systems()


def all_systems() -> Systems:
    """One statement."""
    rows = Connection.objects.order_by().values_list("slug", "side", "name")
    return Systems({slug: (side, name) for slug, side, name in rows})


def events(count: int) -> str:
    """`1 event`, `710 events`."""
    return ngettext("%(number)s event", "%(number)s events", count) % {"number": f"{count:,}"}


def conditions(words: Mapping[str, str], systems: Systems = NOBODY) -> list[str]:
    """A resolved filter for people, one condition each."""
    return [told for name in words if (told := _condition(name, words, systems))]


def _condition(name: str, words: Mapping[str, str], systems: Systems) -> str:
    """One condition of a resolved filter."""
    value = words[name]
    if name == "state":
        names = map(state_name, value.split(","))
        return _("Status: %(states)s") % {"states": ", ".join(names)}
    if name == "code":
        return _("Reason: %(reason)s") % {"reason": systems.why(value, words.get("commercial", ""))}
    if name == "commercial":
        return f"{_WORDS[name]}: {systems.name(value)}"
    if name in ("received_from", "received_to"):
        return f"{_WORDS[name]} {told_of(value, timezone.get_current_timezone())}"
    return (
        f"{_WORDS[name]}: {value}"
        if name in _WORDS
        else ""
        if name.endswith("_taken_for")
        else f"{name}: {value}"
    )
