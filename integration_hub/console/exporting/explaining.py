"""What an export says of itself, for somebody who has nothing of ours."""

import json
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from string import Template
from typing import Any

from audit.bundle import measure
from audit.records import time_text
from integration_hub.console.exporting.columns import TABLES, dictionary
from integration_hub.console.models import Export

_HERE = Path(__file__).parent
_VERIFIER = _HERE.parents[2] / "audit" / "verify.py"
_COPIED = {"verify.py": _VERIFIER, "check_rows.py": _HERE / "check_rows.py"}
_WRITTEN = ("README.txt", "columns.json", "export.json")
_KINDS = {
    True: "everything that is on the audit log from segment $first to segment $last",
    False: "the complete streams of the events and deliveries in this export",
}


def explain(export: Export) -> dict[str, Any]:
    """Write the explanations and the checkers beside the rows; what the manifest says of the snapshot."""
    for name, path in _COPIED.items():
        shutil.copyfile(path, export.folder / name)
    told = about(export)
    _write_json(export.folder / "export.json", told)
    _write_json(export.folder / "columns.json", dictionary())
    filled = Template((_HERE / "README.txt").read_text()).substitute(_words(export, told))
    (export.folder / "README.txt").write_text(filled)
    return {"at": told["snapshot"], "parts": told["parts"], "events": export.total or 0, "gone": told["gone"]}


def about(export: Export) -> dict[str, Any]:
    """What `export.json` says."""
    assert export.snapshot_at is not None, "it was chosen in a snapshot"
    return {
        "export": str(export.uuid),
        "by": export.actor,
        "reason": export.reason,
        "requested": time_text(export.created_at),
        "filter": export.filter,
        "snapshot": time_text(export.snapshot_at),
        "parts": export.progress["parts"],
        "gone": export.progress["gone"],
        "whole": export.first_segment is not None,
        "first_segment": export.first_segment,
        "segments": export.segments,
        "rows": {table.name: export.counts.get(table.name, 0) for table in TABLES},
        "csv": export.with_csv,
        "payloads": False,
    }


def _words(export: Export, told: Mapping[str, Any]) -> dict[str, Any]:
    kind = Template(_KINDS[told["whole"]]).substitute(first=export.first_segment, last=export.segments)
    conditions = "\n".join(f"    {name} = {value}" for name, value in sorted(export.filter.items()))
    return {
        **{name: told[name] for name in ("export", "by", "requested", "snapshot", "segments")},
        "filter": conditions or "    none: everything",
        "rows": "\n".join(f"    {name + '.jsonl':20} {count:>12,}" for name, count in told["rows"].items()),
        "kind": kind,
    }


def _write_json(path: Path, document: Mapping[str, Any]) -> None:
    path.write_text(json.dumps(document, indent=1, ensure_ascii=True) + "\n", encoding="ascii")


def own_files(folder: Path, beat: Callable[[], None]) -> dict[str, dict[str, Any]]:
    """Name and measure of each file that is not written by `audit.bundle`."""
    names = [*_WRITTEN, *_COPIED, *(f"{table.name}.jsonl" for table in TABLES), "events.csv"]
    measured = {}
    for name in names:
        if (folder / name).exists():
            measured[name] = measure(folder / name)
            beat()
    return measured
