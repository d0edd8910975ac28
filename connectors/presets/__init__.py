"""Which settings do known systems need? Data to copy, not a live reference.

Each JSON file is a preset. Its name is that of the preset.
"""

from collections.abc import Mapping
from copy import deepcopy
from dataclasses import replace
from pathlib import Path
from typing import Any, Self

from config_schema.declared import nullable, setting
from config_schema.kinds import AnyText, AnyValue, Text
from config_schema.objects import ListOf
from config_schema.preset_files import PresetMetadata, read_preset_files
from config_schema.settings import SettingValues
from connectors.presets.described_ends import (
    ACCEPTED_FIELDS,
    PROVIDED_VALUES,
    SAMPLE_ENTITIES,
    AcceptedField,
    mark_fields,
)
from connectors.presets.questions import MAX_QUESTIONS, PresetQuestion


class ConnectionPreset(PresetMetadata):
    """A known system. `authentication` and `connector_settings` are shared: copy them with `load_preset`."""

    connector: str = setting(Text(), "The connector of the connection.", example="rest-identity")
    authentication: Mapping[str, Any] = setting(
        AnyValue(), "How its requests are authenticated.", example={"scheme": "bearer"}
    )
    connector_settings: Mapping[str, Any] = setting(
        AnyValue(), "The settings of its connector.", name="settings", example={"entities": {}}
    )
    base_url: str = setting(
        AnyText(),
        "The base URL, if it is the same for all installations.",
        default="",
        example="https://api.example.com",
    )
    questions: tuple[PresetQuestion, ...] = nullable(
        ListOf(PresetQuestion.kind, MAX_QUESTIONS),
        "What must be filled in before the settings fit an installation.",
        absent=(),
        example=[{"placeholder": "REALM", "label": "Name of the realm"}],
    )
    provides: Mapping[str, Mapping[str, str]] = setting(
        PROVIDED_VALUES,
        "Of an identity service: the place of each value in an entity, by entity type and by meaning.",
        default={},
        example={"USER": {"given_name": "name.givenName"}},
    )
    accepts: Mapping[str, tuple[AcceptedField, ...]] = setting(
        ACCEPTED_FIELDS,
        "Of a target: the fields of a record that the preset writes, by entity type.",
        default={},
        example={"USER": [{"field": "email", "meaning": "email", "required": True}]},
    )
    samples: Mapping[str, Any] = setting(
        SAMPLE_ENTITIES,
        "Of an identity service: an entity of each type, as a mapping gets it.",
        default={},
        example={"USER": {"name": {"givenName": "Anna"}}},
    )

    @classmethod
    def _make(cls, values: SettingValues) -> Self:
        preset = super()._make(values)
        return replace(preset, accepts=mark_fields(preset.accepts, preset.connector_settings))


# By the name of the file.
PRESETS: Mapping[str, ConnectionPreset] = read_preset_files(Path(__file__).parent, ConnectionPreset.kind)


def load_preset(name: str) -> dict[str, Any]:
    """Return a new copy with `label`, `connector`, `authentication` and `settings`. Raises KeyError if
    unknown.
    """
    preset = PRESETS[name]
    return {
        "label": preset.label,
        "connector": preset.connector,
        "authentication": deepcopy(preset.authentication),
        "settings": deepcopy(preset.connector_settings),
    }
