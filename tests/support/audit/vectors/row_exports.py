"""Exports of a small history with rows, for the published test vectors of `check_rows.py`."""

import csv
import io
import json
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from audit.export.line_formats import REQUESTER_COLUMN, json_lines, with_requester
from audit.format.signed_records import format_time
from exports.bundle.schema import TABLES
from exports.tables.csv_writer import COLUMNS
from exports.tables.xlsx_writer import write_xlsx
from tests.support.audit.entries import after_start
from tests.support.audit.log_state import LogState
from tests.support.audit.vectors.bundles import PRUNING_STREAM, write_filtered, write_whole
from tests.support.audit.vectors.faults import Draft
from tests.support.audit.vectors.history import History, Row

REQUESTER = "person:1"
_NAMES = (*COLUMNS, REQUESTER_COLUMN)


@dataclass
class RowExport:
    """A history and what is exported of it. `first`: the first segment, 0 for an export by streams."""

    history: History
    filter: dict[str, str] = field(default_factory=dict)
    first: int = 1
    # The number of sealed segments; 0: all.
    segments: int = 0
    # The last segment whose entries were deleted.
    pruned: int = 0
    table: str = "none"
    # The events that were deleted while the export was made: only the table has them.
    gone: list[Row] = field(default_factory=list)
    events_deleted_before: str = ""
    calls_deleted_before: str = ""
    # The columns of events that an export of 0.1.0 does not have.
    left_out: Sequence[str] = ()

    def to_log(self) -> LogState:
        return self.history.to_log(self.segments)

    def write(self, folder: Path, *, has_sums: bool = True) -> None:
        state, rows = self.to_log(), self.history.ordered_rows()
        if self.first:
            write_whole(folder, state, self.first, len(state.segments), pruned=self.pruned)
        else:
            write_filtered(folder, state, self._streams(), pruned=self.pruned)
        for table in TABLES:
            names = [name for name in table.column_names if name not in self.left_out]
            values = [[row[name] for name in names] for row in rows[table.name]]
            text = "".join(json_lines([*names, REQUESTER_COLUMN], with_requester(values, REQUESTER)))
            (folder / f"{table.name}.jsonl").write_text(text, encoding="utf-8")
        self._write_table(folder, [*self.gone, *rows["events"]])
        metadata = self._metadata(state, rows)
        write_metadata(folder, metadata)
        snapshot = {"at": metadata["snapshot"], "parts": metadata["parts"], "gone": len(self.gone)}
        snapshot["events"] = len(rows["events"]) + len(self.gone)
        manifest = {"filter": self.filter, "snapshot": snapshot}
        Draft(folder, state, manifest, has_sums=has_sums).finish()

    def _streams(self) -> list[str]:
        rows = self.history.tables
        streams = [f"event:{row['reference']}" for row in rows["events"]]
        streams += [f"delivery:{row['event']}:{row['route']}" for row in rows["deliveries"]]
        return streams + ([PRUNING_STREAM] if self.pruned else [])

    def _metadata(self, state: LogState, rows: dict[str, list[Row]]) -> dict[str, Any]:
        snapshot = format_time(after_start(10_001))
        pruned_at = state.segments[self.pruned - 1].record["sealed_at"] if self.pruned else ""
        return {
            "export": "00000000-0000-4000-8000-000000000000",
            "by": REQUESTER,
            "reason": "test vectors",
            "requested": format_time(after_start(9_999)),
            "filter": self.filter,
            "snapshot": snapshot,
            "parts": [{"first_event": 1, "snapshot": snapshot}],
            "gone": len(self.gone),
            "whole": bool(self.first),
            "first_segment": self.first or None,
            "entries_since": pruned_at,
            "events_deleted_before": self.events_deleted_before,
            "calls_deleted_before": self.calls_deleted_before,
            "segments": len(state.segments),
            "rows": {table.name: len(rows[table.name]) for table in TABLES},
            "table": self.table,
            "payloads": False,
        }

    def _write_table(self, folder: Path, events: Sequence[Row]) -> None:
        values = (
            [json.dumps(row[name]) if name == "signed" else str(row[name] or "") for name in COLUMNS]
            for row in events
        )
        cells = list(with_requester(values, REQUESTER))
        if self.table == "xlsx":
            write_stored_xlsx(folder / "events.xlsx", cells)
        elif self.table != "none":
            (folder / "events.csv").write_bytes(csv_content(cells))


def write_metadata(folder: Path, metadata: dict[str, Any]) -> None:
    (folder / "export.json").write_text(json.dumps(metadata, indent=1) + "\n", encoding="ascii")


def csv_content(rows: Sequence[Sequence[str]]) -> bytes:
    """Return a table with a line of headings."""
    text = io.StringIO(newline="")
    csv.writer(text).writerows([_NAMES, *rows])
    return text.getvalue().encode()


def write_stored_xlsx(path: Path, rows: Sequence[Sequence[str]]) -> None:
    """Write a table without compression: compressed bytes depend on the version of the library."""
    for _ in write_xlsx(_NAMES, rows, path):
        pass
    with zipfile.ZipFile(path) as packed:
        parts = {name: packed.read(name) for name in packed.namelist()}
    pack_parts(path, parts)


def pack_parts(path: Path, parts: dict[str, bytes]) -> None:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as packed:
        for name, content in parts.items():
            packed.writestr(zipfile.ZipInfo(name, (1980, 1, 1, 0, 0, 0)), content)
