"""Write the files that explain an export to a reader without access to the hub."""

import json
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from string import Template
from typing import Any

from audit.export import verify
from audit.export.bundle import measure_file
from audit.format.signed_records import format_time
from audit.models import Segment
from exports.bundle import shipped
from exports.bundle.deletion_times import load_deletion_times
from exports.bundle.schema import TABLES, describe_columns
from exports.bundle.shipped import check_rows
from exports.models import Export

_COPIED_FILES = {"verify.py": Path(verify.__file__), "check_rows.py": Path(check_rows.__file__)}
_README = Path(shipped.__file__).with_name("README.txt")
_WRITTEN_FILES = ("README.txt", "columns.json", "export.json")
_TABLE_NOTES = {
    "csv": "Texts that a spreadsheet could read as a formula start with an apostrophe.",
    "csv-raw": "Its texts are unchanged: a spreadsheet may read some of them as formulas.",
    "xlsx": "All its cells are text.",
}
_SCOPE_TEXTS = {
    True: "all audit entries from segment $first to segment $last",
    False: "the complete streams of the events and deliveries in this export",
}


def write_documentation(export: Export, evidence_facts: Mapping[str, Any]) -> dict[str, Any]:
    """Write the explanations and the verification scripts into the export's folder.

    `evidence_facts` are the manifest's fields about the evidence. Returns the manifest's fields about the snapshot.
    """
    for name, path in _COPIED_FILES.items():
        shutil.copyfile(path, export.folder / name)
    metadata = export_metadata(export, evidence_facts)
    _write_json(export.folder / "export.json", metadata)
    _write_json(export.folder / "columns.json", describe_columns())
    filled = Template(_README.read_text()).substitute(_readme_values(export, metadata))
    (export.folder / "README.txt").write_text(filled)
    return {
        "at": metadata["snapshot"],
        "parts": metadata["parts"],
        "events": export.total or 0,
        "gone": metadata["gone"],
    }


def export_metadata(export: Export, evidence_facts: Mapping[str, Any]) -> dict[str, Any]:
    """Return the content of `export.json`. Raises NotSealed."""
    assert export.snapshot_at is not None, "it was chosen in a snapshot"
    deleted = load_deletion_times()
    return {
        "export": str(export.uuid),
        "by": export.actor,
        "reason": export.reason,
        "requested": format_time(export.created_at),
        "filter": export.filter,
        "snapshot": format_time(export.snapshot_at),
        "parts": export.progress["parts"],
        "gone": export.progress["gone"],
        "whole": export.first_segment is not None,
        "first_segment": None if export.first_segment is None else evidence_facts["first"],
        "entries_since": _entries_since(evidence_facts.get("pruned", 0)),
        "events_deleted_before": deleted["events"],
        "calls_deleted_before": deleted["calls"],
        "segments": export.segments,
        "rows": {table.name: export.counts.get(table.name, 0) for table in TABLES},
        "table": export.table,
        "payloads": False,
    }


def _pruning_note(metadata: Mapping[str, Any]) -> str:
    since = metadata["entries_since"]
    return (
        (f".\nEntries sealed up to {since} were deleted after their retention period; their hashes are")
        if since
        else ""
    )


def _entries_since(pruned: int) -> str:
    """Return the time up to which entries were pruned; empty if all entries are kept."""
    sealed_at = Segment.objects.filter(number=pruned).values_list("sealed_at", flat=True).first()
    return format_time(sealed_at) if sealed_at else ""


def _readme_values(export: Export, metadata: Mapping[str, Any]) -> dict[str, Any]:
    kind = Template(_SCOPE_TEXTS[metadata["whole"]]).substitute(
        first=metadata["first_segment"], last=export.segments
    )
    conditions = "\n".join(f"    {name} = {value}" for name, value in sorted(export.filter.items()))
    return {
        **{name: metadata[name] for name in ("export", "by", "requested", "snapshot", "segments")},
        "table": _TABLE_NOTES.get(metadata["table"], ""),
        "filter": conditions or "    none: everything",
        "rows": "\n".join(
            f"    {name + '.jsonl':20} {count:>12,}" for name, count in metadata["rows"].items()
        ),
        "kind": f"{kind}{_pruning_note(metadata)}",
    }


def _write_json(path: Path, document: Mapping[str, Any]) -> None:
    path.write_text(json.dumps(document, indent=1, ensure_ascii=True) + "\n", encoding="ascii")


def measure_own_files(folder: Path, heartbeat: Callable[[], None]) -> dict[str, dict[str, Any]]:
    """Return name and measure of each file that `audit.export.bundle` does not write itself."""
    names = [
        *_WRITTEN_FILES,
        *_COPIED_FILES,
        *(f"{table.name}.jsonl" for table in TABLES),
        "events.csv",
        "events.xlsx",
    ]
    measured = {}
    for name in names:
        # Of the two tables at most one was requested.
        if (folder / name).exists():
            measured[name] = measure_file(folder / name)
            heartbeat()
    return measured
