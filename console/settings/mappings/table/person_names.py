"""What the person of a sample is called, by what the preset of the identity service provides."""

from collections.abc import Iterator, Mapping
from typing import Any

from connectors.presets.described_ends import AcceptedField
from console.settings.mappings.table.samples import Sample
from sync.mappings.preset_mapping import draft_declaration
from sync.planning.mapping_comparison import run_mapping
from sync.planning.mapping_declaration import parse_mapping

MAX_NAME_LENGTH = 80
_NAME, _EMAIL = (
    AcceptedField.kind.read({"field": meaning, "meaning": meaning}, ()) for meaning in ("name", "email")
)


def name_sample(sample: Sample, provides: Mapping[str, str]) -> str:
    """Return the name of the person, or else the e-mail address, or else the id of the entity. `provides`: the place of
    each value in the entity, by meaning. Empty for a masked sample, and for one without an id.
    """
    if sample.is_masked or sample.mapping_input is None:
        return ""
    for fields in _list_drafts(provides):
        made = run_mapping(parse_mapping({"fields": fields}), sample.mapping_input).fields or {}
        for value in made.values():
            if isinstance(value, str) and value.strip():
                return value.strip()[:MAX_NAME_LENGTH]
    return "" if sample.past_event is None else sample.past_event.event.entity_id


def _list_drafts(provides: Mapping[str, str]) -> Iterator[Mapping[str, Any]]:
    """Yield the fields of mappings of one field: the full name, the name of its parts, the address."""
    parts = {meaning: path for meaning, path in provides.items() if meaning != "name"}
    for known, accepted in ((provides, _NAME), (parts, _NAME), (provides, _EMAIL)):
        if fields := draft_declaration(known, (accepted,))["fields"]:
            yield fields
