"""Has the cause of a failure passed? The settings that decide it were changed after the failure, or a replay of another
one for the same reason has succeeded since.
"""

from collections.abc import Iterable, Iterator
from collections.abc import Mapping as ReadOnlyMapping
from dataclasses import dataclass
from datetime import datetime

from django.db.models import Max

from config_schema.codes.codes import CATALOGUE, is_about_identity
from sync.deliveries.expired_leases import CRASH_CODE
from sync.models import Connection, Delivery, FailureGroup, Mapping, Route
from webhooks.models import State


@dataclass(frozen=True, slots=True)
class PassedCause:
    """The setting that was changed after a failure, so that a replay may end otherwise; None for a replay of another
    failure of the group, which succeeded.
    """

    setting: Route | Mapping | Connection | None
    at: datetime


@dataclass(frozen=True, slots=True)
class SettingsChanges:
    """Every route with its connections and the time at which its mapping was changed last, by its key."""

    routes: ReadOnlyMapping[int, tuple[Route, datetime | None]]

    def of_delivery(self, delivery: Delivery) -> PassedCause | None:
        """Return the newest change of what decided a failed delivery, if it is newer than the failure."""
        row = self.routes.get(delivery.route_id)
        return None if row is None else _newest_change(delivery.code, *row, since=delivery.settled_at)

    def of_group(self, group: FailureGroup) -> PassedCause | None:
        """Return what is newer than all failures of a group. Of changes each route that can have them needs one."""
        if recovery := _recovery(group.recovered_at, group.last_at):
            return recovery
        is_identity = is_about_identity(group.code)
        changes = [
            _newest_change(group.code, route, changed_at, since=group.last_at)
            for route, changed_at in self.routes.values()
            if group.connection_id == (route.identity_id if is_identity else route.target_id)
        ]
        return changes[0] if changes and all(changes) else None


def load_settings_changes() -> SettingsChanges:
    """Read when each route, its mapping and its connections were changed last, by one statement."""
    routes = Route.objects.order_by().select_related("mapping", "identity", "target")
    rows = routes.annotate(mapping_changed_at=Max("mapping__versions__created_at"))
    return SettingsChanges({route.pk: (route, route.mapping_changed_at) for route in rows})


def _load_recoveries() -> dict[tuple[int, str, str], datetime]:
    """Return by connection, code and failure key when a replay of a failure of the group succeeded."""
    groups = FailureGroup.objects.exclude(recovered_at=None)
    rows = groups.values_list("connection_id", "code", "failure_key", "recovered_at")
    return {(connection, code, key): at for connection, code, key, at in rows if at is not None}


def _recovery(at: datetime | None, failed_at: datetime | None) -> PassedCause | None:
    is_newer = at is not None and failed_at is not None and at > failed_at
    return PassedCause(None, at) if at is not None and is_newer else None


def find_passed_causes(deliveries: Iterable[Delivery]) -> dict[int, PassedCause]:
    """Return the passed cause of each of these deliveries that is failed and has one, by their keys.

    Two statements if any is failed, else none.
    """
    dead = [delivery for delivery in deliveries if delivery.state == State.DEAD]
    if not dead:
        return {}
    changes, recoveries = load_settings_changes(), _load_recoveries()
    found = {
        delivery.pk: changes.of_delivery(delivery)
        or _recovery(recoveries.get(_group_key(delivery)), delivery.settled_at)
        for delivery in dead
    }
    return {key: cause for key, cause in found.items() if cause is not None}


def _group_key(delivery: Delivery) -> tuple[int, str, str]:
    connection_id = delivery.identity_id if is_about_identity(delivery.code) else delivery.target_id
    return connection_id, delivery.code, delivery.failure_key


def _newest_change(
    code: str, route: Route, mapping_changed_at: datetime | None, *, since: datetime | None
) -> PassedCause | None:
    changes = [
        PassedCause(setting, at)
        for setting, at in _deciding_settings(code, route, mapping_changed_at)
        if since is not None and at is not None and at > since
    ]
    return max(changes, key=lambda change: change.at, default=None)


def _deciding_settings(
    code: str, route: Route, mapping_changed_at: datetime | None
) -> Iterator[tuple[Route | Mapping | Connection, datetime | None]]:
    """Yield the settings that can decide whether a failure with this code happens again, with their last change.

    None for a system that does not respond, and for a delivery that crashes the worker: no setting makes it safe.
    """
    entry = CATALOGUE.get(code)
    if entry is None or code == CRASH_CODE or (entry.retryable and entry.owner != "hub"):
        return
    connection = route.identity if is_about_identity(code) else route.target
    yield from ((route, route.updated_at), (connection, connection.updated_at))
    is_about_access = is_about_identity(code) or (entry.retryable and code.startswith("target-"))
    if not is_about_access:
        yield route.mapping, mapping_changed_at
