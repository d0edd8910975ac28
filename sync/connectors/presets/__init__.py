"""Which settings do known systems need? Data to copy, not a live reference.

Each JSON file is a preset. Its name is that of the preset.
"""

from collections.abc import Mapping
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from config_schema.kinds import AnyValue, Text
from config_schema.objects import Object
from config_schema.preset_files import METADATA_SETTINGS, PresetMetadata, read_metadata, read_preset_files
from config_schema.settings import SettingValues, required

_CONNECTOR = required("connector", Text(), "The connector of the connection.", example="rest-identity")
_AUTHENTICATION = required(
    "authentication", AnyValue(), "How its requests are authenticated.", example={"scheme": "bearer"}
)
_SETTINGS = required("settings", AnyValue(), "The settings of its connector.", example={"entities": {}})


@dataclass(frozen=True, slots=True)
class ConnectionPreset:
    """A known system. `authentication` and `settings` are shared: copy them with `load_preset`."""

    metadata: PresetMetadata
    connector: str
    authentication: Mapping[str, Any]
    settings: Mapping[str, Any]


def _build(values: SettingValues) -> ConnectionPreset:
    return ConnectionPreset(
        read_metadata(values), values[_CONNECTOR], values[_AUTHENTICATION], values[_SETTINGS]
    )


CONNECTION_PRESET = Object((*METADATA_SETTINGS, _CONNECTOR, _AUTHENTICATION, _SETTINGS), _build)

# By the name of the file.
PRESETS: Mapping[str, ConnectionPreset] = read_preset_files(Path(__file__).parent, CONNECTION_PRESET)


def load_preset(name: str) -> dict[str, Any]:
    """Return a new copy with `label`, `connector`, `authentication` and `settings`. Raises KeyError if
    unknown.
    """
    preset = PRESETS[name]
    return {
        "label": preset.metadata.label,
        "connector": preset.connector,
        "authentication": deepcopy(preset.authentication),
        "settings": deepcopy(preset.settings),
    }
