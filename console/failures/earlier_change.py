"""Find the change of the settings that came just before the first open failure of a group."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from audit.entries.readable_rows import load_entries
from audit.models import Entry
from config_schema.codes.codes import is_about_identity
from console.audit_log.entry_words import EntryRow, describe_entries
from sync.models import FailureGroup
from sync.operations.passed_causes import SettingsChanges

# An older change is no likely cause.
_LOOK_BACK = timedelta(days=7)
# The entries of changes that can make a delivery fail.
_ACTIONS = (
    *("connection.created", "connection.changed", "secret.changed", "connection.relinked"),
    *("route.created", "route.changed", "route.went-live", "route.condition-changed"),
    *("mapping.created", "mapping.activated"),
)


@dataclass(frozen=True, slots=True)
class EarlierChange:
    """A change, with the seconds from it to the first failure. `version`: of the mapping that it activated."""

    row: EntryRow
    seconds: float

    @property
    def version(self) -> int | None:
        after = self.row.details.get("after")
        version = after.get("version") if isinstance(after, dict) else None
        return version if isinstance(version, int) else None


def find_earlier_change(
    group: FailureGroup, began_at: datetime, changes: SettingsChanges, user: Any
) -> EarlierChange | None:
    """Return the newest change of the connection of a group, of its routes and their mappings in the week before its
    first open failure. One statement, and one for the names if there is such a change.
    """
    is_identity = is_about_identity(group.code)
    routes = [
        route
        for route, _at in changes.routes.values()
        if group.connection_id == (route.identity_id if is_identity else route.target_id)
    ]
    streams = {f"setting:connection:{group.connection_id}"}
    for route in routes:
        streams |= {f"setting:route:{route.pk}", f"route:{route.pk}", route.mapping.stream}
    entries = Entry.objects.filter(
        stream__in=sorted(streams), action__in=_ACTIONS, at__lte=began_at, at__gt=began_at - _LOOK_BACK
    )
    newest = load_entries(entries.order_by("-at", "-pk")[:1])
    for row in describe_entries(newest, user):
        return EarlierChange(row, max(0.0, (began_at - row.entry.at).total_seconds()))
    return None
