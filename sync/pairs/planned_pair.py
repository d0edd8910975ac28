"""The parts of a pair draft as objects that are not stored: connections, mapping and policy of deletions."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from connectors.presets import PRESETS
from connectors.presets.described_ends import AcceptedField
from connectors.registry import CONNECTOR_SIDES
from sync.mappings.drafts import current_version
from sync.mappings.preset_mapping import draft_declaration, missing_fields
from sync.models import Connection, PairDraft, Route
from sync.models import Mapping as MappingRow
from sync.planning.mapping_declaration import parse_mapping

DEFAULT_TYPE = "USER"
SENDER, IDENTITY, TARGET, MAPPING = "sender", "identity", "target", "mapping"
CONNECTION_PARTS = (IDENTITY, TARGET)


@dataclass(frozen=True, slots=True)
class PlannedPair:
    """What *Create* makes. `mapping`: one that exists; without it, `declaration` becomes that of a new one, in which
    `missing` are fields that the target requires and nothing fills. A connection without a key does not exist yet.
    """

    identity: Connection
    target: Connection
    entity_type: str
    declaration: Mapping[str, Any]
    mapping: MappingRow | None = None
    missing: tuple[AcceptedField, ...] = ()

    @property
    def deactivation(self) -> Mapping[str, Any]:
        """Return the fields that mark a record as inactive, as the preset of the target describes them."""
        fields = self.declaration.get("fields", {})
        return {
            accepted.field: False
            for accepted in _accepts(self.target.preset, self.entity_type)
            if accepted.meaning == "active" and accepted.type == "boolean" and accepted.field in fields
        }

    def new_route(self) -> Route:
        """Return the route without its source, and without what is not stored yet. It only observes."""
        deactivation = dict(self.deactivation)
        policies = Route.DeletionPolicy
        return Route(
            entity_type=self.entity_type,
            mode=Route.Mode.OBSERVE,
            when_deleted=policies.DEACTIVATE if deactivation else policies.IGNORE,
            deactivation=deactivation,
        )


def plan_pair(draft: PairDraft) -> PlannedPair | None:
    """Return what a draft would become; None while a connection or the mapping is still missing."""
    identity, target = (load_connection(draft, part) for part in CONNECTION_PARTS)
    if identity is None or target is None:
        return None
    chosen = draft.parts.get(MAPPING, {}).get("id")
    if chosen is not None:
        mapping = MappingRow.objects.filter(pk=chosen).first()
        version = current_version(mapping) if mapping is not None else None
        if version is None:
            return None
        return PlannedPair(identity, target, DEFAULT_TYPE, version.declaration, mapping)
    entity_type = find_common_type(identity.preset, target.preset)
    if entity_type is None:
        return None
    accepts = _accepts(target.preset, entity_type)
    declaration = draft_declaration(PRESETS[identity.preset].provides[entity_type], accepts)
    missing = tuple(missing_fields(declaration, accepts))
    return PlannedPair(identity, target, entity_type, declaration, missing=missing)


def load_connection(draft: PairDraft, part: str) -> Connection | None:
    """Return the connection of a part: the one that was chosen, or one that is not stored, with the credentials that
    were entered; None while there is neither.
    """
    chosen = draft.parts.get(part, {})
    if "id" in chosen:
        return Connection.objects.filter(pk=chosen["id"], side=part).first()
    if "base_url" not in chosen:
        return None
    return Connection(
        **{name: chosen[name] for name in ("name", "preset", "base_url", "authentication", "settings")},
        connector=PRESETS[chosen["preset"]].connector,
        side=part,
        credentials=dict(draft.read_credentials().get(part, {})) or None,
    )


def find_preset(draft: PairDraft, part: str) -> str:
    """Return the preset of the connection of a part, chosen or stored; empty if there is none."""
    chosen = draft.parts.get(part, {})
    if "id" in chosen:
        stored = Connection.objects.filter(pk=chosen["id"]).values_list("preset", flat=True).first()
        return stored if stored and stored in PRESETS else ""
    return str(chosen.get("preset", ""))


def find_common_type(identity_preset: str, target_preset: str) -> str | None:
    """Return the entity type for which the presets draft a mapping, users first; None if there is none."""
    provides = PRESETS[identity_preset].provides if identity_preset in PRESETS else {}
    for entity_type in sorted(provides, key=lambda name: (name != DEFAULT_TYPE, name)):
        drafted = draft_declaration(provides[entity_type], _accepts(target_preset, entity_type))
        if drafted["fields"] and _is_valid(drafted):
            return entity_type
    return None


def is_preset_of(name: str, part: str) -> bool:
    """Return True if this is the name of a preset for this end."""
    return name in PRESETS and CONNECTOR_SIDES[PRESETS[name].connector] == part


def _accepts(preset: str, entity_type: str) -> tuple[AcceptedField, ...]:
    return PRESETS[preset].accepts.get(entity_type, ()) if preset in PRESETS else ()


def _is_valid(declaration: Mapping[str, Any]) -> bool:
    try:
        parse_mapping(declaration)
    except ValueError:
        return False
    return True
