"""What a process knows of the routes: the same rows that the ORM reads, by one statement past it."""

from typing import Any

from django.db.models import Model

from sync.deliveries.routes import resolved_routes
from sync.models import Connection, Mapping, MappingVersion, Route
from tests.support.hub import Hub
from webhooks.models import Source


def told(row: Model | None) -> dict[str, Any] | None:
    if row is None:
        return None
    return {
        each.attname: (value := getattr(row, each.attname), type(value)) for each in row._meta.concrete_fields
    }


def read(model: type[Model], key: int) -> dict[str, Any] | None:
    return told(model._default_manager.get(pk=key))


def test_every_value_is_what_the_orm_reads(hub: Hub) -> None:
    resolved_routes.invalidate()
    known = resolved_routes()
    assert known.keys() == set(Route.objects.values_list("pk", flat=True)) != set()
    for key, way in known.items():
        route = way.route
        newest = MappingVersion.objects.filter(mapping=route.mapping_id).latest("number")
        assert told(route) == read(Route, key)
        assert told(route.identity) == read(Connection, route.identity_id)
        assert told(route.commercial) == read(Connection, route.commercial_id)
        assert told(route.mapping) == read(Mapping, route.mapping_id)
        assert told(route.source) == read(Source, route.source_id)
        assert told(way.mapping_version) == told(newest)
    assert any(way.route.commercial.credentials for way in known.values()), "one that is sealed"


def test_a_route_goes_by_the_newest_version_of_its_mapping_or_by_none(hub: Hub) -> None:
    first, *_ = Route.objects.order_by("pk")
    old = MappingVersion.objects.filter(mapping=first.mapping).latest("number")
    new = MappingVersion.objects.create(
        mapping=first.mapping, number=old.number + 1, declaration=old.declaration, text=old.text
    )
    bare = Mapping.objects.create(name="no version yet")
    other = Route.objects.create(
        source=first.source,
        entity_type="GROUP-OF-NONE",
        identity=first.identity,
        commercial=first.commercial,
        mapping=bare,
    )
    resolved_routes.invalidate()
    known = resolved_routes()
    assert known[first.pk].mapping_version == new
    assert (known[other.pk].mapping_version, known[other.pk].mapping, known[other.pk].route.mapping) == (
        None,
        None,
        bare,
    )
