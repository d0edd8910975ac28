"""Which settings do known systems need? Data to copy, not a live reference."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

PRESETS: Mapping[str, str] = {
    "trivore": "Trivore ID management API",
    "sandbox-identity": "Sandbox identity service",
    "sandbox-shop": "Sandbox shop",
}


def load_preset(name: str) -> dict[str, Any]:
    """Return a new copy with `label`, `connector`, `authentication` and `settings`. Raises KeyError if
    unknown.
    """
    if name not in PRESETS:
        raise KeyError(name)
    text = (Path(__file__).parent / f"{name}.json").read_text(encoding="utf-8")
    preset: dict[str, Any] = json.loads(text)
    return {"label": PRESETS[name], **preset}
