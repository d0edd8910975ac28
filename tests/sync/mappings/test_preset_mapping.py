"""A mapping is drafted from what the presets of both ends say, and it can be saved as it is."""

from typing import Any

import pytest

from connectors.presets import PRESETS
from devtools.sandbox_setup import MAPPINGS
from sandbox.identity.seed import GROUPS, USERS
from sync.mappings.preset_mapping import draft_declaration
from sync.planning.mapping_declaration import parse_mapping

pytestmark = pytest.mark.pure

ENTITIES = {"USER": USERS, "GROUP": GROUPS}
WITHOUT_VALUES: dict[str, Any] = {"id": "u-1", "emails": [{"address": "Anna@Example.com"}], "name": "Anna"}


def draft(identity: str, target: str, entity_type: str = "USER") -> dict[str, Any]:
    return draft_declaration(PRESETS[identity].provides[entity_type], PRESETS[target].accepts[entity_type])


@pytest.mark.parametrize("entity_type", ENTITIES)
def test_the_draft_of_the_sandbox_writes_what_its_own_mapping_writes(entity_type: str) -> None:
    drafted = parse_mapping(draft("sandbox-identity", "sandbox-shop", entity_type))
    shipped = parse_mapping(MAPPINGS[entity_type][1])
    entities = [{"id": key, **entity} for key, entity in ENTITIES[entity_type].items()]
    for entity in (*entities, WITHOUT_VALUES):
        fields = drafted.map_entity(entity, {})
        assert fields == shipped.map_entity(entity, {})
        assert drafted.new_values(entity, {}, fields) == shipped.new_values(entity, {}, fields)
    for drafted_part, shipped_part in (
        (drafted.match.external_id, shipped.match.external_id),
        (drafted.caseless_fields, shipped.caseless_fields),
        (drafted.compared_fields, shipped.compared_fields),
        (drafted.reference_wait, shipped.reference_wait),
    ):
        assert drafted_part == shipped_part
