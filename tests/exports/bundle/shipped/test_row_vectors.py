"""The published test vectors of `check_rows.py`: it finds what each says, and they are like exports of the hub."""

import json
import re
from collections import defaultdict
from pathlib import Path
from typing import Any

import pytest

from audit.export import verify
from exports.bundle.schema import TABLES, ColumnSchema
from exports.bundle.shipped import check_rows
from tests.support.audit.second_verifier import find_export_faults
from tests.support.audit.vectors.published import ARCHIVE, BY_NAME, assemble, names_for, run_main, run_script
from tests.support.builders.exports import a_finished_export, read_lines, unpack_export
from tests.support.hub import EXAMPLE, Hub

pytestmark = pytest.mark.concurrent

NAMES = names_for("check_rows.py")
GOOD = [name for name in NAMES if BY_NAME[name]["verdict"] == "good"]
SOURCE = Path(check_rows.__file__).read_text("utf-8")
CODES = sorted(set(re.findall(r'(?:add_fault|RowFault)\(\s*"([a-z-]+)"', SOURCE)))
TIME = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}\.[0-9]{6}Z")


def find_faults(name: str, scratch: Path) -> check_rows.RowChecker:
    rows = check_rows.RowChecker(str(assemble(BY_NAME[name], scratch)[0]))
    rows.check_export()
    return rows


@pytest.mark.pure
@pytest.mark.promise("I28")
def test_the_shipped_row_checker_finds_what_each_vector_says(tmp_path: Path) -> None:
    expected = {name: (BY_NAME[name]["exit"], BY_NAME[name]["code"]) for name in NAMES}
    folders = {name: assemble(BY_NAME[name], tmp_path / name)[0] for name in NAMES}
    assert {name: run_main(check_rows.main, [str(folders[name])]) for name in NAMES} == expected


@pytest.mark.pure
@pytest.mark.parametrize("name", ["good/rows-whole", "bad/rows-no-sheet"])
def test_the_shipped_row_checker_alone_finds_what_a_vector_says(tmp_path: Path, name: str) -> None:
    folder, _ = assemble(BY_NAME[name], tmp_path)
    result = run_script(Path(check_rows.__file__), [str(folder)])
    assert result == (BY_NAME[name]["exit"], BY_NAME[name]["code"])


@pytest.mark.nightly
@pytest.mark.pure
def test_the_verifiers_of_entries_accept_each_vector(tmp_path: Path) -> None:
    for name in (name for name in NAMES if BY_NAME[name]["code"] != "special-file"):
        folder, _ = assemble(BY_NAME[name], tmp_path / name)
        assert verify.ExportCheck(str(folder)).run_checks() == [], name
        assert find_export_faults(folder, None) == [], name


@pytest.mark.pure
def test_every_code_has_a_vector_and_is_in_the_documentation() -> None:
    assert {BY_NAME[name]["code"] for name in NAMES} - {None} == set(CODES)
    text = (ARCHIVE.parents[1] / "audit-format.md").read_text("utf-8")
    assert [code for code in CODES if f"`{code}`" not in text] == []


# Each column and the name of its vector, in which it alone differs from its entry.
COLUMNS = [
    *("verification", "size", "time-of-repeat", "time-of-response", "code-of-response", "final", "repeat"),
    *("relayed", "identity", "code-of-delivery", "number-of-attempt", "cause-of-attempt"),
    *("start-of-attempt", "end-of-attempt", "code-of-attempt", "retryable", "action-of-attempt", "uuid"),
]


@pytest.mark.pure
def test_a_column_alone_is_found(tmp_path: Path) -> None:
    for name in COLUMNS:
        assert find_faults(f"bad/rows-{name}", tmp_path / name).codes == ["row-differs"], name


def fits_type(value: Any, column: ColumnSchema) -> bool:
    if value is None:
        return column.nullable
    if column.type.startswith("time"):
        return TIME.fullmatch(value) is not None
    return type(value) is {"text": str, "number": int, "true or false": bool}[column.type]


def details_by_action(folder: Path) -> dict[str, list[set[str]]]:
    """Return the names of the details of each entry, by its action."""
    details = defaultdict(list)
    for entry in read_lines(folder, "entries"):
        details[entry["action"]].append(set(entry["details"]))
    return details


@pytest.fixture
def real_export(hub: Hub, tmp_path: Path) -> Path:
    """A whole export of a hub in which events succeeded, were sent twice, ignored, rejected and left to a retry."""
    hub.change_email("anna.new@example.com")
    hub.post_signed(EXAMPLE, "msg_first")
    hub.post_signed(EXAMPLE, "msg_first")
    hub.post_signed(EXAMPLE)
    hub.post_signed(json.loads(EXAMPLE) | {"entityType": "PLANET"})
    hub.change_email("taken@example.com")
    hub.post_signed(EXAMPLE)
    hub.shop.faults.add("error", status=503)
    hub.post_signed(EXAMPLE)
    hub.wait_until_quiet()
    return unpack_export(a_finished_export(), tmp_path / "real")


def columns(folder: Path, table: str) -> set[tuple[str, ...]]:
    return {tuple(row) for row in read_lines(folder, table)}


def fields(folder: Path, name: str) -> set[str]:
    return set(json.loads((folder / name).read_text()))


@pytest.fixture
def good_folders(tmp_path: Path) -> dict[str, Path]:
    """The exports of the good vectors, by name."""
    return {name: assemble(BY_NAME[name], tmp_path / name)[0] for name in GOOD}


@pytest.mark.submission
def test_an_export_of_the_hub_passes_and_has_the_format_of_the_vectors(
    real_export: Path, good_folders: dict[str, Path]
) -> None:
    assert run_main(check_rows.main, [str(real_export)]) == (0, None)
    for table in TABLES:
        assert columns(real_export, table.name) == {table.file_columns}
        added = check_rows.ADDED.get(table.name, {})
        earlier = tuple(name for name in table.file_columns if name not in added)
        for name, folder in good_folders.items():
            is_earlier = name == "good/rows-first-version"
            assert columns(folder, table.name) <= {earlier if is_earlier else table.file_columns}
        rows = [
            {**added, **row}
            for folder in (real_export, *good_folders.values())
            for row in read_lines(folder, table.name)
        ]
        for column in table.columns:
            assert [row for row in rows if not fits_type(row[column.name], column)] == [], column.name
    for folder in good_folders.values():
        assert fields(folder, "export.json") == fields(real_export, "export.json")
        assert fields(folder, "manifest.json") - {"pruned"} == fields(real_export, "manifest.json")


@pytest.mark.submission
def test_the_entries_of_the_vectors_have_the_details_that_the_hub_writes(
    real_export: Path, good_folders: dict[str, Path]
) -> None:
    real, compared = details_by_action(real_export), set()
    for action, entries in details_by_action(good_folders["good/rows-whole"]).items():
        if action in real:
            compared.add(action)
            always, ever = set.intersection(*real[action]), set.union(*real[action])
            assert [names for names in entries if not always <= names <= ever] == [], action
    assert compared >= {
        *("webhook.received", "webhook.repeated", "webhook.answered"),
        *("attempt.started", "attempt.succeeded", "attempt.unchanged", "attempt.failed"),
    }
