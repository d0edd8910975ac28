"""The presets that an add form offers: a choice of known systems, and what the chosen one needs."""

from collections.abc import Mapping
from typing import Any

from config_schema.preset_files import PresetMetadata


def preset_context(presets: Mapping[str, PresetMetadata], chosen: str) -> dict[str, Any]:
    """Return the context of `console/settings/_preset_choice.html`. `chosen`: any name, as an address typed by hand may
    have it.
    """
    labels = sorted(((name, preset.label) for name, preset in presets.items()), key=_by_label)
    return {"presets": labels, "chosen": chosen, "chosen_preset": presets.get(chosen)}


def _by_label(preset: tuple[str, str]) -> str:
    return preset[1].casefold()
