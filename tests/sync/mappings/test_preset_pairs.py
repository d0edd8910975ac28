"""A mapping can be drafted for every pair of presets, and a route with it lacks nothing."""

import pytest

from connectors.presets import PRESETS, load_preset
from sync.mappings.configuration_gaps import route_gaps
from sync.mappings.field_gaps import unread_warnings
from sync.mappings.preset_mapping import draft_declaration, missing_fields
from sync.models import Connection, ConnectionSide, MappingVersion, Route
from sync.planning.mapping_declaration import parse_mapping
from tests.support.hub import ANNA, Hub

pytestmark = [pytest.mark.one_database, pytest.mark.presets]


def connect(name: str, side: ConnectionSide) -> Connection:
    preset = load_preset(name)
    return Connection(
        slug=name, name=name, side=side, connector=preset["connector"], settings=preset["settings"]
    )


@pytest.mark.parametrize("entity_type", ["USER", "GROUP"])
def test_a_route_with_a_drafted_mapping_lacks_nothing(hub: Hub, entity_type: str) -> None:
    """It also maps the sample of the identity service, and says what the target requires and nobody provides."""
    route = Route.objects.get(source__slug="aurora", entity_type=entity_type)
    route.when_deleted, route.deactivation = Route.DeletionPolicy.IGNORE, {}
    sources = {name: preset for name, preset in PRESETS.items() if entity_type in preset.provides}
    targets = {name: preset for name, preset in PRESETS.items() if entity_type in preset.accepts}
    assert len(sources) * len(targets) > 25
    for target_name, target in targets.items():
        route.target = connect(target_name, ConnectionSide.TARGET)
        for source_name, source in sources.items():
            route.identity = connect(source_name, ConnectionSide.IDENTITY)
            accepted = target.accepts[entity_type]
            declaration = draft_declaration(source.provides[entity_type], accepted)
            MappingVersion.objects.filter(mapping=route.mapping).update(declaration=declaration)
            pair = f"{source_name} to {target_name}"
            assert list(route_gaps(route)) == [], pair
            assert list(unread_warnings(route, declaration)) == [], pair
            record = parse_mapping(declaration).map_entity(source.samples[entity_type], {})
            missing = {field.field for field in missing_fields(declaration, accepted)}
            required = {field.field for field in accepted if field.is_required}
            assert {name for name in required if record.get(name) in (None, "")} == missing, pair


def test_a_change_of_a_person_is_synced_by_the_drafted_mapping_of_the_sandbox(hub: Hub) -> None:
    route = Route.objects.get(source__slug="aurora", entity_type="USER")
    provides, accepts = PRESETS["sandbox-identity"].provides["USER"], PRESETS["sandbox-shop"].accepts["USER"]
    MappingVersion.objects.filter(mapping=route.mapping).update(
        declaration=draft_declaration(provides, accepts)
    )
    hub.change_email("Drafted@Example.com")
    answer = hub.post_signed({"id": ANNA, "entityType": "USER", "eventType": "UPDATE"})
    assert (answer.status_code, answer.json()["status"]) == (200, "succeeded")
    [customer] = [one for one in hub.shop.list_records("customers") if one["external_id"] == ANNA]
    assert (customer["email"], customer["first_name"]) == ("drafted@example.com", "Anna")
