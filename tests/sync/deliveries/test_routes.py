"""The cached routes of a process equal the rows that the ORM reads."""

from typing import Any

from django.db.models import Model

from sync.deliveries.routes import resolved_routes
from sync.models import Connection, Mapping, MappingVersion, Route
from tests.support.hub import Hub
from webhooks.models import Source


def field_values(row: Model | None) -> dict[str, Any] | None:
    if row is None:
        return None
    return {
        field.attname: (value := getattr(row, field.attname), type(value))
        for field in row._meta.concrete_fields
    }


def read(model: type[Model], key: int) -> dict[str, Any] | None:
    return field_values(model._default_manager.get(pk=key))


def test_every_value_equals_the_one_that_the_orm_reads(hub: Hub) -> None:
    resolved_routes.invalidate()
    routes = resolved_routes()
    assert routes.keys() == set(Route.objects.values_list("pk", flat=True)) != set()
    for key, way in routes.items():
        route = way.route
        newest = MappingVersion.objects.filter(mapping=route.mapping_id).latest("number")
        assert field_values(route) == read(Route, key)
        assert field_values(route.identity) == read(Connection, route.identity_id)
        assert field_values(route.target) == read(Connection, route.target_id)
        assert field_values(route.mapping) == read(Mapping, route.mapping_id)
        assert field_values(route.source) == read(Source, route.source_id)
        assert field_values(way.mapping_version) == field_values(newest)
    assert any(way.route.target.credentials for way in routes.values()), "one that is sealed"


def test_a_route_uses_the_newest_version_of_its_mapping_or_none(hub: Hub) -> None:
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
        target=first.target,
        mapping=bare,
    )
    resolved_routes.invalidate()
    routes = resolved_routes()
    assert routes[first.pk].mapping_version == new
    assert (routes[other.pk].mapping_version, routes[other.pk].mapping, routes[other.pk].route.mapping) == (
        None,
        None,
        bare,
    )
