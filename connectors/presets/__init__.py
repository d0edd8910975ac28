"""Which settings do known systems need? Data to copy, not a live reference.

Each JSON file is a preset. Its name is that of the preset.
"""

from collections.abc import Mapping
from copy import deepcopy
from pathlib import Path
from typing import Any

from config_schema.declared import setting
from config_schema.kinds import AnyValue, Text
from config_schema.preset_files import PresetMetadata, read_preset_files


class ConnectionPreset(PresetMetadata):
    """A known system. `authentication` and `connector_settings` are shared: copy them with `load_preset`."""

    connector: str = setting(Text(), "The connector of the connection.", example="rest-identity")
    authentication: Mapping[str, Any] = setting(
        AnyValue(), "How its requests are authenticated.", example={"scheme": "bearer"}
    )
    connector_settings: Mapping[str, Any] = setting(
        AnyValue(), "The settings of its connector.", name="settings", example={"entities": {}}
    )


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
