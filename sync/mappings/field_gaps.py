"""Find fields that a route's target does not get, or that the hub cannot read back, before a webhook meets them."""

from collections.abc import Iterator
from typing import Any

from django.utils.translation import gettext as _

from connectors.records.field_coverage import list_uncleared, list_unread, list_unsent, sends_key
from connectors.settings.target import RecordSettings
from sync.mappings.target_settings import read_records, settings_path
from sync.models import Route
from sync.planning.mapping import ParsedMapping
from sync.planning.mapping_declaration import InvalidMapping, parse_mapping


def parse_or_none(declaration: Any) -> ParsedMapping | None:
    """Return a mapping; None if its declaration is invalid, which other checks report."""
    try:
        return parse_mapping(declaration)
    except InvalidMapping:
        return None


def unsent_gaps(route: Route, records: RecordSettings, declaration: Any) -> Iterator[str]:
    """Yield a sentence for each operation of a route's target that leaves out fields of a declaration."""
    mapping = parse_or_none(declaration)
    if mapping is None:
        return
    create, updates, external_id = (
        records.operations.create,
        records.operations.updates,
        mapping.match.external_id,
    )
    created = [name for name in mapping.fields if name != external_id or not sends_key(create)]
    if names := list_unsent(records, [create], created):
        text = _(
            "The settings of %(connection)s (%(path)s) do not send these fields of the mapping when a record is "
            "created: %(fields)s."
        )
        yield text % _names(route, names, "create")
    # The external id of an entity never changes.
    updated = [name for name in mapping.fields if name not in mapping.creation_fields | {external_id}]
    if names := list_unsent(records, updates, updated):
        text = _(
            "The settings of %(connection)s (%(path)s) do not send these fields of the mapping when a record is "
            "updated: %(fields)s."
        )
        yield text % _names(route, names, "update")
    clearable = [name for name in updated if mapping.fields[name].can_clear]
    if names := list_uncleared(records, updates, clearable):
        text = _(
            "The settings of %(connection)s (%(path)s) do not send these fields of the mapping when they are cleared: "
            "%(fields)s. Send them whenever `changed` has them, or set `when_absent` of the fields to `keep`."
        )
        yield text % _names(route, names, "update")


def deactivation_gaps(route: Route, records: RecordSettings) -> Iterator[str]:
    """Yield a sentence if no update sends the fields that are set when an entity of a route is deleted, or leaves the
    scope of the route.
    """
    policies = {route.when_deleted, route.on_leaving}
    if Route.DeletionPolicy.DEACTIVATE not in policies or not isinstance(route.deactivation, dict):
        return
    if names := list_unsent(records, records.operations.updates, list(route.deactivation)):
        text = _(
            "The settings of %(connection)s (%(path)s) do not send these fields when the entity is deleted: %(fields)s."
        )
        if route.when_deleted != Route.DeletionPolicy.DEACTIVATE:
            text = _(
                "The settings of %(connection)s (%(path)s) do not send these fields when an entity leaves the scope: "
                "%(fields)s."
            )
        yield text % _names(route, names, "update")


def reactivation_gaps(route: Route, records: RecordSettings) -> Iterator[str]:
    """Yield a sentence if no update sends the fields that are set when an entity comes back into the scope."""
    if not isinstance(route.reactivation, dict) or not route.reactivation:
        return
    if names := list_unsent(records, records.operations.updates, list(route.reactivation)):
        text = _(
            "The settings of %(connection)s (%(path)s) do not send these fields when an entity comes back into the "
            "scope: %(fields)s."
        )
        yield text % _names(route, names, "update")


def unread_warnings(route: Route, declaration: Any) -> Iterator[str]:
    """Yield a sentence if a route's target does not return fields that a declaration compares."""
    records, mapping = read_records(route.target, route.target_type), parse_or_none(declaration)
    if records is None or mapping is None:
        return
    uncompared = mapping.creation_fields | mapping.uncompared_fields
    if names := list_unread(records, [name for name in mapping.fields if name not in uncompared]):
        text = _(
            "The settings of %(connection)s (%(path)s) do not read these fields back: %(fields)s. The hub compares "
            "them with the values that it sent last, and does not notice changes that are made in %(connection)s."
        )
        yield text % _names(route, names, "get", "result")


def _names(route: Route, fields: list[str], *operation: str) -> dict[str, Any]:
    path = settings_path(route.target, route.target_type, "operations", *operation)
    return {"connection": route.target, "path": path, "fields": ", ".join(fields)}
