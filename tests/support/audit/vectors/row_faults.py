"""Changes of the rows of an export, as someone makes them who changes the database before it is exported.

The audit entries stay as they are, and the hub counts, measures and signs what it finds: `verify.py` accepts the result.
"""

import json
import shutil
import zipfile
from collections.abc import Callable
from typing import Any

from tests.support.audit.vectors import row_scenarios
from tests.support.audit.vectors.faults import Change, Draft, cut_bytes, remove
from tests.support.audit.vectors.history import Row
from tests.support.audit.vectors.row_exports import csv_content, pack_parts, write_metadata
from tests.support.audit.vectors.row_scenarios import PSEUDONYM, small_history

__all__ = ["cut_bytes", "remove"]

SHEET = "xl/worksheets/sheet1.xml"
# Each table under the events, the column that names the parent, and its own key.
_UNDER_EVENT = (
    ("receipts", "event", "receipt"),
    ("deliveries", "event", "delivery"),
    ("attempts", "delivery", "attempt"),
    ("calls", "attempt", "call"),
)
_TABLES = ("events", *(name for name, *_ in _UNDER_EVENT))


def _write_rows(draft: Draft, table: str, rows: list[Row]) -> None:
    """Write the rows of a table, and their number into export.json."""
    lines = [json.dumps(row, ensure_ascii=False, separators=(",", ":")) + "\n" for row in rows]
    draft.write(f"{table}.jsonl", "".join(lines).encode())
    metadata = json.loads(draft.read("export.json"))
    metadata["rows"][table] = len(rows)
    write_metadata(draft.folder, metadata)


def change_table(table: str, change: Callable[[list[Row]], object]) -> Change:
    def made(draft: Draft) -> None:
        rows = draft.lines(f"{table}.jsonl")
        change(rows)
        _write_rows(draft, table, rows)

    return made


def edit_row(table: str, place: int, **values: Any) -> Change:
    return change_table(table, lambda rows: rows[place].update(values))


# The pseudonym of another erasure, and nothing else that names an entity.
disguise_as_erased = edit_row(
    "events", 0, entity_id=f"~{PSEUDONYM}", event_id=None, body_sha256="", subject_key=None
)


def remove_field(table: str, place: int, name: str) -> Change:
    return change_table(table, lambda rows: rows[place].pop(name))


def delete_row(table: str, place: int) -> Change:
    return change_table(table, lambda rows: rows.pop(place))


def copy_row(table: str, place: int, **values: Any) -> Change:
    """Add a row that differs from the one before it in these values."""
    return change_table(table, lambda rows: rows.insert(place + 1, rows[place] | values))


def swap_rows(table: str, first: int, second: int) -> Change:
    def swap(rows: list[Row]) -> None:
        rows[first], rows[second] = rows[second], rows[first]

    return change_table(table, swap)


def swap_values(table: str, first: int, second: int, name: str) -> Change:
    """Exchange the values that two rows have in a column."""

    def swap(rows: list[Row]) -> None:
        rows[first][name], rows[second][name] = rows[second][name], rows[first][name]

    return change_table(table, swap)


def delete_event(place: int) -> Change:
    """Delete an event and everything under it."""

    def change(draft: Draft) -> None:
        tables = {name: draft.lines(f"{name}.jsonl") for name in _TABLES}
        parents = {tables["events"].pop(place)["reference"]}
        for name, column, own in _UNDER_EVENT:
            mine = [row for row in tables[name] if row[column] in parents]
            tables[name] = [row for row in tables[name] if row[column] not in parents]
            parents |= {row[own] for row in mine}
        for name, rows in tables.items():
            _write_rows(draft, name, rows)

    return change


def add_event_of_another_time(draft: Draft) -> None:
    """Add the third event of the log, which has no delivery here, to an export of another period."""
    event = small_history().ordered_rows()["events"][2]
    _write_rows(draft, "events", [*draft.lines("events.jsonl"), event])


def add_receipt_to_made_event(draft: Draft) -> None:
    """Give the second event, which a comparison made, a receipt."""
    events, receipts = draft.lines("events.jsonl"), draft.lines("receipts.jsonl")
    new = receipts[0] | {"event": events[1]["reference"], "receipt": "0" * 26}
    _write_rows(draft, "receipts", [*receipts, new])


def edit_metadata(**values: Any) -> Change:
    def change(draft: Draft) -> None:
        write_metadata(draft.folder, json.loads(draft.read("export.json")) | values)

    return change


def remove_metadata(name: str) -> Change:
    def change(draft: Draft) -> None:
        metadata = json.loads(draft.read("export.json"))
        del metadata[name]
        write_metadata(draft.folder, metadata)

    return change


def deny_whole(draft: Draft) -> None:
    """Delete an event, and say in export.json that the export is filtered."""
    delete_event(0)(draft)
    edit_metadata(whole=False, first_segment=None)(draft)


def edit_counts(**counts: int) -> Change:
    def change(draft: Draft) -> None:
        metadata = json.loads(draft.read("export.json"))
        metadata["rows"] |= counts
        write_metadata(draft.folder, metadata)

    return change


def export_scenario(name: str, *arguments: str) -> Change:
    """Replace the whole export by that of another log. The hub wrote and signed its entries."""

    def change(draft: Draft) -> None:
        shutil.rmtree(draft.folder)
        getattr(row_scenarios, name)(*arguments).write(draft.folder, has_sums=False)

    return change


def write_file(name: str, content: str) -> Change:
    return lambda draft: draft.write(name, content.encode())


def empty_csv(draft: Draft) -> None:
    draft.write("events.csv", csv_content([]))


def repeat_csv_line(draft: Draft) -> None:
    draft.move_lines("events.csv", lambda lines: [*lines, lines[-1]])


def empty_sheet(draft: Draft) -> None:
    """Remove all rows of the sheet but the headings."""
    path = draft.folder / "events.xlsx"
    with zipfile.ZipFile(path) as packed:
        parts = {name: packed.read(name) for name in packed.namelist()}
    begin, end = (
        parts[SHEET].index(b"</row>") + len(b"</row>"),
        parts[SHEET].rindex(b"</row>") + len(b"</row>"),
    )
    parts[SHEET] = parts[SHEET][:begin] + parts[SHEET][end:]
    pack_parts(path, parts)


def replace_call_by_copy(draft: Draft) -> None:
    """Replace a call by a copy of the one before it: the digest of either row is in the log, but only once."""
    rows = draft.lines("calls.jsonl")
    rows[1] = rows[0] | {"call": rows[1]["call"]}
    _write_rows(draft, "calls", rows)


def delete_delivery(draft: Draft) -> None:
    """Delete the third delivery with its attempt and its call."""
    for table, place in (("deliveries", 2), ("attempts", 3), ("calls", 4)):
        delete_row(table, place)(draft)


def delete_attempt(draft: Draft) -> None:
    """Delete the first attempt of the second delivery with its call."""
    for table, place in (("attempts", 1), ("calls", 2)):
        delete_row(table, place)(draft)
