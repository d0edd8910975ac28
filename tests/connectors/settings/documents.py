"""Documents of settings for tests of connectors (`documents.json`)."""

import json
from collections.abc import Mapping, Sequence
from copy import deepcopy
from pathlib import Path
from typing import Any

DOCUMENTS: Mapping[str, dict[str, Any]] = json.loads(
    Path(__file__).with_name("documents.json").read_text("utf-8")
)


def change(document: dict[str, Any], place: Sequence[Any], new: Mapping[str, Any]) -> dict[str, Any]:
    """Return a document with another `value` at a place, or without the value there if there is no new one."""
    changed = deepcopy(document)
    inner: Any = changed
    for name in place[:-1]:
        inner = inner[name]
    if "value" in new:
        inner[place[-1]] = new["value"]
    else:
        del inner[place[-1]]
    return changed
