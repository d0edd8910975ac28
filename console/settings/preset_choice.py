"""The presets that an add form offers: a choice of known systems, and what the chosen one needs."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from config_schema.preset_files import PresetMetadata
from console.ui.translation import translate_text


def preset_context(presets: Mapping[str, PresetMetadata], chosen: str) -> dict[str, Any]:
    """Return the context of `console/settings/_preset_choice.html`. `chosen`: any name, as an address typed by hand may
    have it.
    """
    labels = sorted(((name, translate_text(preset.label)) for name, preset in presets.items()), key=_by_label)
    chosen_preset = translate_metadata(presets[chosen]) if chosen in presets else None
    return {"presets": labels, "chosen": chosen, "chosen_preset": chosen_preset}


def translate_metadata(metadata: PresetMetadata) -> PresetMetadata:
    """Return the metadata of a preset with its name and its needs in the language of the reader."""
    needs = tuple(translate_text(need) for need in metadata.needs)
    return replace(metadata, label=translate_text(metadata.label), needs=needs)


def _by_label(preset: tuple[str, str]) -> str:
    return preset[1].casefold()
