"""Which system is meant where several events are told of at once: by its name, where there is one alone."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from integration_hub.console.wording import code_words
from sync.models import Connection, Side
from webhooks.codes import is_about_identity


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
