"""Find the mappings that would refer to records which nothing delivers any more, if a route ended."""

from django.db.models import OuterRef, QuerySet, Subquery
from django.utils.translation import gettext as _

from sync.mappings.configuration_gaps import MAX_ROUTES
from sync.models import Mapping, MappingVersion, Route
from sync.planning.mapping_declaration import InvalidMapping, parse_mapping


def referring_mappings(route: Route) -> list[Mapping]:
    """Return the mappings of other enabled routes between the same two systems that refer to entities of the type of
    this route, by name; at most MAX_ROUTES.
    """
    newest = MappingVersion.objects.filter(mapping=OuterRef("pk")).order_by("-number").values("pk")[:1]
    used = _between_same_systems(route).values("mapping")
    mappings = Mapping.objects.filter(pk__in=used).annotate(newest=Subquery(newest)).order_by("name", "pk")
    found = list(mappings[:MAX_ROUTES])
    versions = MappingVersion.objects.in_bulk([mapping.newest for mapping in found if mapping.newest])
    return [
        mapping
        for mapping in found
        if mapping.newest in versions and route.entity_type in _read_reference_types(versions[mapping.newest])
    ]


def is_only_route(route: Route) -> bool:
    """Return True if no other enabled route delivers the entities of this type between the same two systems."""
    return not _between_same_systems(route).filter(entity_type=route.entity_type).exists()


def ending_warning(route: Route) -> str:
    """Return a sentence that names the mappings which refer to the records of a route, if no other route delivers its
    type; empty if none does.
    """
    mappings = referring_mappings(route) if is_only_route(route) else []
    if not mappings:
        return ""
    sentence = _(
        "These mappings refer to records of %(type)s: %(mappings)s. Without this route, no enabled route delivers "
        "that type from %(identity)s to %(connection)s. Their deliveries wait for records that never arrive; after "
        "the wait they fail or leave the field out, as the mapping says."
    )
    return sentence % {
        "type": route.entity_type,
        "mappings": ", ".join(f"“{mapping}”" for mapping in mappings),
        "identity": route.identity,
        "connection": route.target,
    }


def _between_same_systems(route: Route) -> QuerySet[Route]:
    others = Route.objects.filter(is_enabled=True, identity=route.identity_id, target=route.target_id)
    return others.exclude(pk=route.pk)


def _read_reference_types(version: MappingVersion) -> frozenset[str]:
    try:
        return parse_mapping(version.declaration).reference_types
    except InvalidMapping:
        return frozenset()
