"""What operators set up, as this process knows it: for a second at most, shared by its threads, never changed here.

A change in the console counts in every process within that second; an attempt names the mapping's version that it used.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from django.conf import settings

from database.cached_read import cached_read
from database.model_rows import rows_from_columns, select_list
from database.statement import Statement
from sync.models import Connection, Mapping, MappingVersion, Route
from sync.planning.mapping import ParsedMapping, parse_mapping
from webhooks.models import Source


@dataclass(frozen=True, slots=True)
class Way:
    """A route with its two connections, its mapping's newest version, and that version parsed."""

    route: Route
    version: MappingVersion | None
    mapping: ParsedMapping | None

    @property
    def is_paused(self) -> bool:
        """Whether what goes this way is kept and not delivered for now."""
        return self.route.paused_at is not None or self.route.source.paused_at is not None


_ROUTES = Statement(
    f"""SELECT {select_list(Route, "routes")}, {select_list(Connection, "i")}, {select_list(Connection, "c")},
    {select_list(Mapping, "m")}, {select_list(Source, "s")}, {select_list(MappingVersion, "v")} FROM sync_route routes
    JOIN sync_connection i ON i.id = routes.identity_id JOIN sync_connection c ON c.id = routes.commercial_id
    JOIN sync_mapping m ON m.id = routes.mapping_id JOIN webhooks_source s ON s.id = routes.source_id
    LEFT JOIN sync_mappingversion v ON v.mapping_id = routes.mapping_id
    AND v.number = (SELECT MAX(n.number) FROM sync_mappingversion n WHERE n.mapping_id = routes.mapping_id)
    ORDER BY routes.id"""  # noqa: S608
)


@cached_read(settings.CONFIGURATION_SECONDS)
def ways() -> dict[int, Way]:
    """Every route by its key, disabled ones too: what is under way goes on."""
    return {way.route.pk: way for way in map(_way_of_row, _ROUTES.fetch_all())}


def _way_of_row(values: Sequence[Any]) -> Way:
    models = (Route, Connection, Connection, Mapping, Source, MappingVersion)
    route, identity, commercial, mapping, source, version = rows_from_columns(models, values)
    route.identity, route.commercial, route.mapping, route.source = identity, commercial, mapping, source
    return _way(route, version)


def _way(route: Route, version: MappingVersion | None) -> Way:
    if version is None:
        return Way(route, None, None)
    return Way(route, version, parse_mapping(version.declaration))


def ways_of(source_id: int, entity_type: str) -> list[Way]:
    """Where events of this type go. A disabled connection does not end a route: what it would get waits for it."""
    return [
        each
        for each in ways().values()
        if each.route.is_enabled
        and each.route.source_id == source_id
        and each.route.entity_type == entity_type
    ]


def way_with(way: Way, version_id: int | None) -> Way:
    """The same with another version of its mapping, where one is named."""
    if version_id is None or (way.version is not None and way.version.pk == version_id):
        return way
    version = MappingVersion.objects.get(pk=version_id)
    return replace(way, version=version, mapping=parse_mapping(version.declaration))


def way_of(route_id: int) -> Way:
    """A route that a stored delivery names; read afresh where this process does not know it yet."""
    found = ways().get(route_id)
    if found is None:
        ways.invalidate()
        found = ways()[route_id]
    return found
