"""The readable copy: raw, safe, or a sheet; the same events in each, and nothing that a spreadsheet runs."""

import csv
import json
import re
import zipfile
from pathlib import Path
from string import ascii_uppercase
from xml.etree import ElementTree

import pytest

from exports.bundle.shipped import check_rows
from exports.models import ExportState, TableFormat
from exports.tables import xlsx_writer
from exports.tables.csv_writer import COLUMNS
from tests.support.builders.exports import (
    FORMULAS,
    a_finished_export,
    a_recorded_event,
    a_recorded_history,
    a_requested_export,
    delete_event_rows,
    read_lines,
    unpack_export,
)
from tests.support.builders.history import NOON, a_source
from tests.support.jobs import run_jobs

STRANGE = ["_x0041_", "a\x01b\r", " both ends ", "<&>\"'", "ä€😀", "\ufffe", "1e5", "007"]
_ESCAPED = re.compile("_x([0-9A-Fa-f]{4})_")
NAMES = (*COLUMNS, "exported_by")
_CELLS = ".//{http://schemas.openxmlformats.org/spreadsheetml/2006/main}c"


def sheet(path: Path) -> list[list[str]]:
    """Return the cells of each row as a spreadsheet shows them."""
    with zipfile.ZipFile(path) as packed:
        assert packed.testzip() is None
        root = ElementTree.fromstring(packed.read("xl/worksheets/sheet1.xml"))
    found: dict[int, list[str]] = {}
    for cell in root.iterfind(_CELLS):
        assert cell.get("t") == "inlineStr"
        place = str(cell.get("r"))
        row = found.setdefault(int(place[1:]), [""] * len(NAMES))
        row[ascii_uppercase.index(place[0])] = shown("".join(cell.itertext()))
    return [found[number] for number in sorted(found)]


def shown(text: str) -> str:
    """ECMA-376, part 1, 22.9.2.19."""
    return _ESCAPED.sub(lambda match: chr(int(match[1], 16)), text)


def test_a_sheet_has_every_event_as_text_and_no_formula(database: None, tmp_path: Path) -> None:
    source = a_source()
    for number, text in enumerate([*FORMULAS, *STRANGE]):
        a_recorded_event(
            number, source=source, entity_id=text, event_id=None if number % 2 else text, occurred_at=NOON
        )
    folder = unpack_export(a_finished_export(table=TableFormat.XLSX), tmp_path)
    head, *rows = sheet(folder / "events.xlsx")
    assert tuple(head) == NAMES
    evidence = read_lines(folder, "events")
    assert rows == [
        [json.dumps(row[name]) if name == "signed" else row[name] or "" for name in NAMES] for row in evidence
    ]
    assert b"<f>" not in zipfile.ZipFile(folder / "events.xlsx").read("xl/worksheets/sheet1.xml")
    assert not (folder / "events.csv").exists()
    assert check_rows.RowChecker(str(folder)).check_export() == []


def test_the_same_rows_make_the_same_file(tmp_path: Path) -> None:
    for name in ("one", "two"):
        assert list(xlsx_writer.write_xlsx(["a"], [["x"], [None]], tmp_path / name)) == [2]
    assert (tmp_path / "one").read_bytes() == (tmp_path / "two").read_bytes()


@pytest.mark.submission
def test_raw_csv_is_unchanged(database: None, tmp_path: Path) -> None:
    source = a_source()
    for number, text in enumerate([*FORMULAS, *STRANGE]):
        a_recorded_event(number, source=source, entity_id=text)
    folder = unpack_export(a_finished_export(table=TableFormat.RAW), tmp_path)
    rows = list(csv.DictReader((folder / "events.csv").open(newline="", encoding="utf-8")))
    assert [row["entity_id"] for row in rows] == [*FORMULAS, *STRANGE]
    assert "a spreadsheet may read some of them as formulas" in (folder / "README.txt").read_text()


def test_an_export_without_a_table_contains_none(database: None, tmp_path: Path) -> None:
    a_recorded_history(1)
    folder = unpack_export(a_finished_export(table=TableFormat.NONE), tmp_path)
    assert not list(folder.glob("events.[cx]*"))
    assert check_rows.RowChecker(str(folder)).check_export() == []


@pytest.mark.submission
@pytest.mark.parametrize("table", [TableFormat.CSV, TableFormat.XLSX])
def test_a_table_with_other_events_is_found(database: None, tmp_path: Path, table: str) -> None:
    events = a_recorded_history(3)
    export = a_finished_export(table=table)
    folder = unpack_export(export, tmp_path)
    delete_event_rows(events[1])
    other = unpack_export(a_finished_export(table=table), tmp_path)
    (folder / export.table_name).write_bytes((other / export.table_name).read_bytes())
    assert (
        f"{export.table_name}: does not have the same events as events.jsonl"
        in check_rows.RowChecker(str(folder)).check_export()
    )


def test_more_events_than_a_sheet_holds_are_refused_at_once_with_a_message(
    database: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(xlsx_writer, "MAX_ROWS", 2)
    a_recorded_history(3)
    export = a_requested_export(table=TableFormat.XLSX)
    run_jobs("export")
    export.refresh_from_db()
    assert export.state == ExportState.FAILED
    assert export.failure == "An Excel sheet can contain 2 events, but 3 were selected. Choose CSV instead."
    assert a_finished_export(table=TableFormat.CSV).total == 3


@pytest.mark.pure
def test_the_number_of_written_rows_is_told_after_each_block_and_at_the_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(xlsx_writer, "_ROWS_PER_WRITE", 3)
    # The row of names is part of the first block.
    assert list(xlsx_writer.write_xlsx(["a"], [["x"]] * 6, tmp_path / "six")) == [2, 5, 6]
    assert list(xlsx_writer.write_xlsx(["a"], [], tmp_path / "none")) == [0]
