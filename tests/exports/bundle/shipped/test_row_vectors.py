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

NAMES = names_for("check_rows.py")
GOOD = [name for name in NAMES if BY_NAME[name]["verdict"] == "good"]
SOURCE = Path(check_rows.__file__).read_text("utf-8")
CODES = sorted(set(re.findall(r'(?:add_fault|RowFault)\(\s*"([a-z-]+)"', SOURCE)))
TIME = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}\.[0-9]{6}Z")


def find_faults(name: str, scratch: Path) -> check_rows.RowChecker:
    scratch.mkdir(parents=True, exist_ok=True)
    rows = check_rows.RowChecker(str(assemble(BY_NAME[name], scratch)[0]))
    rows.check_export()
    return rows


@pytest.mark.pure
@pytest.mark.parametrize("name", NAMES)
def test_the_shipped_row_checker_finds_what_a_vector_says(tmp_path: Path, name: str) -> None:
    folder, _ = assemble(BY_NAME[name], tmp_path)
    result = run_main(check_rows.main, [str(folder)])
    assert result == (BY_NAME[name]["exit"], BY_NAME[name]["code"])


@pytest.mark.pure
@pytest.mark.parametrize("name", ["good/rows-whole", "bad/rows-call", "bad/rows-no-sheet"])
def test_the_shipped_row_checker_alone_finds_what_a_vector_says(tmp_path: Path, name: str) -> None:
    folder, _ = assemble(BY_NAME[name], tmp_path)
    result = run_script(Path(check_rows.__file__), [str(folder)])
    assert result == (BY_NAME[name]["exit"], BY_NAME[name]["code"])


@pytest.mark.pure
@pytest.mark.parametrize("name", NAMES)
def test_the_verifiers_of_entries_accept_each_vector(tmp_path: Path, name: str) -> None:
    folder, _ = assemble(BY_NAME[name], tmp_path)
    assert verify.ExportCheck(str(folder)).run_checks() == []
    assert find_export_faults(folder, None) == []


@pytest.mark.pure
def test_every_code_has_a_vector_and_is_in_the_documentation() -> None:
    assert {BY_NAME[name]["code"] for name in NAMES} - {None} == set(CODES)
    text = (ARCHIVE.parents[1] / "audit-format.md").read_text("utf-8")
    assert [code for code in CODES if f"`{code}`" not in text] == []


@pytest.mark.pure
@pytest.mark.parametrize("code", ["row-missing", "row-unexpected", "row-duplicate"])
def test_missing_added_and_doubled_rows_of_every_table_have_a_vector(tmp_path: Path, code: str) -> None:
    """The words of the first fault begin with the table, or with what is one row of it."""
    words = [find_faults(name, tmp_path / name).faults[0] for name in NAMES if BY_NAME[name]["code"] == code]
    for table in TABLES:
        row = "event" if table.name == "events" else check_rows.KEYS[table.name]
        assert any(re.search(rf"(^|: )({table.name}|{row})[ :]", fault) for fault in words), table.name


@pytest.mark.pure
@pytest.mark.parametrize(
    ("function", "missed"),
    [
        ("check_event_columns", {"time-of-arrival", "facts", "subject"}),
        (
            "check_erasure",
            {"erasure-unrecorded", "erased-with-event-id", "erased-with-body", "erased-with-key"},
        ),
        ("check_receipts", {"receipt-missing", "receipt-unexpected", "response"}),
        ("check_delivery_list", {"delivery-missing", "connection"}),
        ("check_delivery", {"state-of-delivery", "end-of-delivery", "delivery-outdated"}),
        ("check_attempts", {"attempt-missing", "attempt-unexpected", "outcome-of-attempt", "newer-start"}),
        ("check_record", {"record", "record-emptied", "erased-with-record"}),
        ("check_calls", {"call", "call-copied", "call-missing", "call-unexpected"}),
        ("check_event_state", {"state-of-event", "code-of-event", "ignored-event"}),
    ],
)
def test_a_variant_without_one_comparison_accepts_bad_vectors(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, function: str, missed: set[str]
) -> None:
    monkeypatch.setattr(check_rows, function, lambda *_, **__: iter(()))
    assert [name for name in missed if find_faults(f"bad/rows-{name}", tmp_path / name).faults] == []


@pytest.mark.pure
@pytest.mark.parametrize("code", CODES)
def test_a_variant_that_overlooks_one_kind_of_fault_is_caught(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: str
) -> None:
    add_fault = check_rows.RowChecker.add_fault

    def add_others(self: check_rows.RowChecker, given: str, place: str, what: object) -> None:
        if given != code:
            add_fault(self, given, place, what)

    monkeypatch.setattr(check_rows.RowChecker, "add_fault", add_others)
    vectors = [name for name in NAMES if BY_NAME[name]["code"] == code]
    assert vectors
    for name in vectors:
        assert find_faults(name, tmp_path / name).codes[:1] != [code]


@pytest.mark.pure
@pytest.mark.parametrize(
    ("owner", "function", "result", "refused"),
    [
        (check_rows.Deletions, "add_entry", None, {"rows-erased", "rows-events-deleted"}),
        (check_rows.Deletions, "has_no_entries", False, {"rows-entries-deleted"}),
        (check_rows.RowChecker, "read_time", "", {"rows-events-deleted-after-checkpoint"}),
        (check_rows.RowChecker, "matches_filter", True, {"rows-period"}),
    ],
)
def test_a_variant_that_knows_of_no_deletion_or_filter_refuses_good_vectors(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    owner: type,
    function: str,
    result: Any,
    refused: set[str],
) -> None:
    monkeypatch.setattr(owner, function, lambda *_: result)
    found = {name.removeprefix("good/") for name in GOOD if find_faults(name, tmp_path / name).faults}
    assert refused <= found


DELIVERY_WORDS = [
    *("covered", "reopened", "approved", "record-linked", "record-approved", "postponed", "given_up"),
    *("superseded", "closed", "done-by-hand"),
]
ATTEMPT_WORDS = ["started", "unknown", "succeeded", "unchanged", "superseded", "failed", "held"]


@pytest.mark.pure
@pytest.mark.parametrize(
    ("reader", "word"),
    [("add_delivery_entry", word) for word in DELIVERY_WORDS]
    + [("add_attempt_entry", word) for word in ATTEMPT_WORDS],
)
def test_a_variant_that_overlooks_an_action_refuses_the_vector_with_all(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, reader: str, word: str
) -> None:
    read = getattr(check_rows.DeliveryLog, reader)

    def read_others(self: check_rows.DeliveryLog, given: str, details: Any, at: str) -> None:
        if given != word:
            read(self, given, details, at)

    monkeypatch.setattr(check_rows.DeliveryLog, reader, read_others)
    assert find_faults("good/rows-every-action", tmp_path).faults


# Each column and the name of its vector, in which it alone differs from its entry.
COLUMNS = [
    *("verification", "size", "time-of-repeat", "time-of-response", "code-of-response", "final", "repeat"),
    *("relayed", "identity", "code-of-delivery", "number-of-attempt", "cause-of-attempt"),
    *("start-of-attempt", "end-of-attempt", "code-of-attempt", "retryable", "action-of-attempt", "uuid"),
]


@pytest.mark.pure
@pytest.mark.parametrize("name", COLUMNS)
def test_a_column_alone_is_found(tmp_path: Path, name: str) -> None:
    assert find_faults(f"bad/rows-{name}", tmp_path).codes == ["row-differs"]


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


def test_an_export_of_the_hub_passes_and_has_the_format_of_the_vectors(
    real_export: Path, good_folders: dict[str, Path]
) -> None:
    assert run_main(check_rows.main, [str(real_export)]) == (0, None)
    for table in TABLES:
        assert columns(real_export, table.name) == {table.column_names}
        for folder in good_folders.values():
            assert columns(folder, table.name) <= {table.column_names}
        rows = [
            row for folder in (real_export, *good_folders.values()) for row in read_lines(folder, table.name)
        ]
        for column in table.columns:
            assert [row for row in rows if not fits_type(row[column.name], column)] == [], column.name
    for folder in good_folders.values():
        assert fields(folder, "export.json") == fields(real_export, "export.json")
        assert fields(folder, "manifest.json") - {"pruned"} == fields(real_export, "manifest.json")


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
