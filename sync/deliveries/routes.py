"""Routes and connections as operators configured them, cached for one second and shared by all threads, read-only.

A change in the console takes effect in every process within that second. Each attempt names the mapping version that it
used.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from django.conf import settings
from django.db import transaction
from django.utils import timezone

from database.cached_read import cached_read
from database.model_rows import rows_from_columns, select_list
from database.statement import Statement
from sync.models import Connection, Delivery, Mapping, MappingVersion, Route
from sync.planning.first_values import find_unseen_fields
from sync.planning.mapping import ParsedMapping
from sync.planning.mapping_declaration import parse_mapping
from sync.planning.mapping_rules import FieldRule
from webhooks.models import Source


@dataclass(frozen=True, slots=True)
class ResolvedRoute:
    """A route with its two connections, the newest version of its mapping, and that version parsed.

    If `is_paused`, new deliveries of this route wait until a person resumes the route or its source. `identity_type`
    and `target_type` are the names of the entity type in the two connections. `unseen_fields` are those whose path has
    found no value in any entity yet. If it `observes`, its deliveries write nothing, as far as this cache knows: a
    claim reads the row. `search_rules`: the rules of the searchable fields of all enabled routes of its source and
    entity type, so that each delivery of an entity stores the same values.
    """

    route: Route
    mapping_version: MappingVersion | None
    mapping: ParsedMapping | None
    is_paused: bool
    identity_type: str
    target_type: str
    unseen_fields: frozenset[str] = frozenset()
    observes: bool = False
    search_rules: tuple[FieldRule, ...] = ()


# Reads the whole configuration at once: the tables are small, and the cache runs this at most once a second. LEFT
# JOIN, because a mapping may have no version yet.
_ROUTES = Statement(
    f"""SELECT {select_list(Route, "routes")}, {select_list(Connection, "i")}, {select_list(Connection, "c")},
    {select_list(Mapping, "m")}, {select_list(Source, "s")}, {select_list(MappingVersion, "v")} FROM sync_route routes
    JOIN sync_connection i ON i.id = routes.identity_id JOIN sync_connection c ON c.id = routes.target_id
    JOIN sync_mapping m ON m.id = routes.mapping_id JOIN webhooks_source s ON s.id = routes.source_id
    LEFT JOIN sync_mappingversion v ON v.mapping_id = routes.mapping_id
    AND v.number = (SELECT MAX(n.number) FROM sync_mappingversion n WHERE n.mapping_id = routes.mapping_id)
    ORDER BY routes.id"""  # noqa: S608
)


@cached_read(settings.CONFIGURATION_SECONDS)
def resolved_routes() -> dict[int, ResolvedRoute]:
    """Return every route by its key. Disabled routes are included: their open deliveries continue."""
    routes = [_route_from_row(row) for row in _ROUTES.fetch_all()]
    rules: dict[tuple[int, str], dict[Any, FieldRule]] = {}
    for resolved in routes:
        if resolved.route.is_enabled and resolved.mapping is not None:
            same = rules.setdefault(_source_and_type(resolved), {})
            same |= {
                (rule.path and rule.path.text, rule.apply): rule for rule in resolved.mapping.searchable_rules
            }
    return {
        resolved.route.pk: replace(
            resolved, search_rules=tuple(rules.get(_source_and_type(resolved), {}).values())
        )
        for resolved in routes
    }


def _source_and_type(resolved: ResolvedRoute) -> tuple[int, str]:
    return resolved.route.source_id, resolved.route.entity_type


def _route_from_row(values: Sequence[Any]) -> ResolvedRoute:
    models = (Route, Connection, Connection, Mapping, Source, MappingVersion)
    route, identity, target, mapping, source, version = rows_from_columns(models, values)
    route.identity, route.target, route.mapping, route.source = identity, target, mapping, source
    return _resolve_route(route, version)


def _resolve_route(route: Route, version: MappingVersion | None) -> ResolvedRoute:
    mapping = None if version is None else parse_mapping(version.declaration)
    flows = (route, route.source, route.identity, route.target)
    is_paused = any(flow.paused_at is not None for flow in flows)
    return ResolvedRoute(
        route,
        version,
        mapping,
        is_paused,
        route.identity_type,
        route.target_type,
        _unseen_fields(mapping, version),
        observes=route.mode == Route.Mode.OBSERVE,
    )


def _unseen_fields(mapping: ParsedMapping | None, version: MappingVersion | None) -> frozenset[str]:
    if mapping is None or version is None:
        return frozenset()
    return find_unseen_fields(mapping, version.fields_with_value)


def routes_for(source_id: int, entity_type: str) -> list[ResolvedRoute]:
    """Return the enabled routes for a source and an entity type. A disabled connection does not end a route."""
    return [
        resolved
        for resolved in resolved_routes().values()
        if resolved.route.is_enabled
        and resolved.route.source_id == source_id
        and resolved.route.entity_type == entity_type
    ]


def routed_types(source_id: int) -> frozenset[str]:
    """Return the entity types of the enabled routes of a source."""
    routes = (resolved.route for resolved in resolved_routes().values())
    return frozenset(
        route.entity_type for route in routes if route.is_enabled and route.source_id == source_id
    )


def is_referenced(target_id: int, entity_type: str) -> bool:
    """Return True if records of a target refer to the records of entities of this type."""
    return any(
        resolved.route.target_id == target_id
        and resolved.mapping is not None
        and entity_type in resolved.mapping.reference_types
        for resolved in resolved_routes().values()
    )


def types_of_same_target(delivery: Delivery) -> frozenset[str]:
    """Return all entity types of events whose records have the same entity type in the target as those of this
    delivery.

    Sources may use different names for one type. Disabled routes count, because their records are linked too.
    """
    if delivery.route_id is not None:
        # Makes sure that the cache has this route.
        get_resolved_route(delivery.route_id)
    routes = [
        resolved.route
        for resolved in resolved_routes().values()
        if resolved.route.target_id == delivery.target_id
    ]
    subject = delivery.identity_id, delivery.entity_type
    target_types = [
        route.target_type for route in routes if (route.identity_id, route.entity_type) == subject
    ]
    target_type = target_types[0] if target_types else delivery.entity_type
    same = {route.entity_type for route in routes if route.target_type == target_type}
    elsewhere = {route.entity_type for route in routes} - same
    # Records that were linked before the route that linked them was deleted.
    return frozenset(same | {delivery.entity_type} | ({target_type} - elsewhere))


def with_mapping_version(resolved: ResolvedRoute, version_id: int | None) -> ResolvedRoute:
    """Return the route with another version of its mapping, or unchanged if `version_id` is None."""
    if version_id is None or (
        resolved.mapping_version is not None and resolved.mapping_version.pk == version_id
    ):
        return resolved
    version = MappingVersion.objects.get(pk=version_id)
    mapping = parse_mapping(version.declaration)
    unseen_fields = _unseen_fields(mapping, version)
    return replace(resolved, mapping_version=version, mapping=mapping, unseen_fields=unseen_fields)


def record_first_values(resolved: ResolvedRoute, names: Iterable[str]) -> None:
    """Note that fields of a mapping version have had a value, and that the records which were written without them have
    to be completed. A commit of its own: if it is lost, the next value is the first one.
    """
    if resolved.mapping_version is None:
        return
    with transaction.atomic():
        # Two processes may find first values of different fields.
        version = MappingVersion.objects.select_for_update().get(pk=resolved.mapping_version.pk)
        new = sorted(set(names).difference(version.fields_with_value))
        if not new:
            return
        version.fields_with_value = sorted({*version.fields_with_value, *new})
        version.fields_to_complete |= dict.fromkeys(new, timezone.now().isoformat())
        version.save(update_fields=["fields_with_value", "fields_to_complete"])
    resolved_routes.invalidate()


def get_resolved_route(route_id: int) -> ResolvedRoute:
    """Return the route of a stored delivery; reads all routes again if this process does not know it yet."""
    resolved = resolved_routes().get(route_id)
    # Not cached: the route was created since the cache was filled.
    if resolved is None:
        resolved_routes.invalidate()
        resolved = resolved_routes()[route_id]
    return resolved
