"""What operators set up, as this process knows it: for a second at most, shared by its threads, never changed here.

A change in the console counts in every process within that second; an attempt names the mapping's version that it used.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace

from django.conf import settings
from django.db.models import OuterRef, Subquery

from sync.mapping import ParsedMapping, parse_mapping
from sync.models import MappingVersion, Route
from webhooks.knowing import known


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


@known(settings.CONFIGURATION_SECONDS)
def ways() -> Mapping[int, Way]:
    """Every route by its key, disabled ones too: what is under way goes on."""
    newest = MappingVersion.objects.filter(mapping=OuterRef("mapping")).order_by("-number").values("pk")[:1]
    routes = list(
        Route.objects.select_related("identity", "commercial", "mapping", "source").annotate(
            newest=Subquery(newest)
        )
    )
    versions = MappingVersion.objects.in_bulk({each.newest for each in routes if each.newest})
    return {each.pk: _way(each, versions.get(each.newest)) for each in routes}


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
        ways.forget()
        found = ways()[route_id]
    return found
