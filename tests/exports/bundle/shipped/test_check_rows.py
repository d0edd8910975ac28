"""What `check_rows.py` prints and with which code it ends."""

import ast
import json
import os
import re
from pathlib import Path
from types import ModuleType

import pytest

from audit.export import verify
from exports.bundle.schema import TABLES
from exports.bundle.shipped import check_rows
from exports.bundle.shipped.check_rows import (
    CALL_COLUMNS,
    Deletions,
    DeliveryLog,
    check_calls,
    keyed_row_digest,
    row_digest,
)
from tests.support.audit.vectors.published import ARCHIVE, BY_NAME, assemble, run_script
from tests.support.builders.exports import a_finished_export, a_recorded_history, unpack_export


def test_a_valid_export_exits_with_0_and_lists_its_contents(
    database: None, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    a_recorded_history(2)
    assert check_rows.main([str(unpack_export(a_finished_export(), tmp_path))]) == 0
    assert "2 events, 2 receipts, 2 deliveries, 2 attempts, 2 calls." in capsys.readouterr().out


def test_a_fault_is_printed_with_its_code_and_place_and_ends_with_1(
    database: None, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    a_recorded_history(2)
    folder = unpack_export(a_finished_export(), tmp_path)
    content = (folder / "events.jsonl").read_bytes()
    (folder / "events.jsonl").write_bytes(b"{\n" + content.split(b"\n", 1)[1])
    assert check_rows.main([str(folder)]) == 1
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("FAULT [unreadable] events.jsonl line 1: ")
    assert any(line.startswith("FAULT [count-differs] events.jsonl: has 1 rows") for line in lines)
    assert all(line.startswith("FAULT [") for line in lines[:-1])
    noun = "fault" if len(lines) == 2 else "faults"
    assert lines[-1] == f"{len(lines) - 1} {noun}. The rows do not match the audit entries."


@pytest.mark.pure
def test_wrong_arguments_end_with_2() -> None:
    with pytest.raises(SystemExit) as ended:
        check_rows.main(["one", "two"])
    assert ended.value.code == 2


@pytest.mark.pure
@pytest.mark.parametrize("content", [None, b"[]", b"[" * 100_000])
def test_an_unreadable_export_is_a_fault(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], content: bytes | None
) -> None:
    if content is not None:
        (tmp_path / "export.json").write_bytes(content)
    assert check_rows.main([str(tmp_path)]) == 1
    assert capsys.readouterr().out.startswith("FAULT [unreadable] the export: ")


@pytest.mark.submission_rows(2)
@pytest.mark.pure
@pytest.mark.parametrize("name", ["export.json", "entries.jsonl", "notes.txt"])
@pytest.mark.parametrize("is_pipe", [False, True])
def test_a_pipe_or_a_link_is_refused_before_a_file_is_opened(
    tmp_path: Path, name: str, is_pipe: bool
) -> None:
    """A program of its own with a deadline: to open a pipe waits for ever."""
    folder = assemble(BY_NAME["good/rows-whole"], tmp_path / "export")[0]
    (folder / name).unlink(missing_ok=True)
    if is_pipe:
        os.mkfifo(folder / name)
    else:
        (folder / name).symlink_to(tmp_path)
    assert run_script(Path(check_rows.__file__), [str(folder)]) == (1, "special-file")


@pytest.mark.pure
def test_a_changed_call_differs_and_one_more_is_unexpected() -> None:
    good, other = (dict.fromkeys(CALL_COLUMNS, value) | {"call": value} for value in (1, 2))
    digest = row_digest("call", *(good[name] for name in CALL_COLUMNS))

    def codes(*calls: dict[str, int], digests: int = 1) -> list[str]:
        attempt = {"attempt": "a", "started": "2026-03-04T12:00:00.000000Z"}
        return [fault.code for fault in check_calls(attempt, calls, [digest] * digests, Deletions())]

    assert codes(good) == []
    assert codes(other) == ["digest-differs"]
    assert codes(good, other) == ["row-unexpected"]
    assert codes(other, other) == ["digest-differs", "row-unexpected"]
    assert codes(good, digests=2) == ["row-missing"]


def test_the_row_checker_knows_every_column_and_its_type() -> None:
    types = {"number": int, "true or false": bool}
    for table in TABLES:
        known = {(name, type_) for type_, names in check_rows.COLUMNS[table.name] for name in names.split()}
        assert known == {(column.name, types.get(column.type, str)) for column in table.columns}
        nullable = {column.name for column in table.columns if column.nullable}
        assert set(check_rows.NULLABLE[table.name]) == nullable


# The row belongs to no parent then, or its event to no entries: another code.
KEYS = {"events reference", "receipts event", "deliveries event", "attempts delivery", "calls attempt"}


def missed_columns(folder: Path) -> list[str]:
    """Return the columns whose loss, or whose value of another type, the row checker does not find."""
    missed = []
    for table in TABLES:
        path = folder / f"{table.name}.jsonl"
        content = path.read_text()
        first, rest = content.split("\n", 1)
        for column in table.columns:
            row = json.loads(first)
            without = {name: value for name, value in row.items() if name != column.name}
            other = 5 if column.type == "text" or column.type.startswith("time") else "5"
            # In Python `true` equals 1.
            other = bool(row[column.name]) if column.type == "number" else other
            for changed in (without, row | {column.name: other}):
                path.write_text(f"{json.dumps(changed)}\n{rest}")
                if "unreadable" not in check_codes(folder):
                    missed.append(f"{table.name} {column.name}")
        path.write_text(content)
    return missed


def check_codes(folder: Path) -> set[str]:
    rows = check_rows.RowChecker(str(folder))
    rows.check_export()
    return set(rows.codes)


@pytest.mark.submission
@pytest.mark.pure
def test_a_column_that_is_missing_or_of_another_type_is_found(tmp_path: Path) -> None:
    folder = assemble(BY_NAME["good/rows-whole"], tmp_path)[0]
    assert check_codes(folder) == set()
    assert set(missed_columns(folder)) <= KEYS


@pytest.mark.pure
@pytest.mark.parametrize("script", [verify, check_rows])
def test_a_script_needs_no_newer_python(script: ModuleType) -> None:
    """The scripts in an export run on Python 3.9, as they say, although the hub needs a newer one."""
    tree = ast.parse(Path(str(script.__file__)).read_text("utf-8"), feature_version=(3, 9))
    nodes = list(ast.walk(tree))
    # Python 3.9 cannot evaluate an annotation with `|`. With this import it evaluates none.
    is_lazy = any(isinstance(node, ast.ImportFrom) and node.module == "__future__" for node in tree.body)
    written = [node.annotation for node in nodes if isinstance(node, ast.arg | ast.AnnAssign)]
    written += [node.returns for node in nodes if isinstance(node, ast.FunctionDef)]
    parts = [part for annotation in written if annotation for part in ast.walk(annotation)]
    assert is_lazy or not any(isinstance(part, ast.BinOp) for part in parts)


@pytest.mark.pure
def test_the_documented_examples_of_digests_are_right() -> None:
    text = (ARCHIVE.parents[1] / "audit-format.md").read_text("utf-8").split("\n## 6 Rows\n")[1]
    key = bytes.fromhex(re.findall(r"is `([0-9a-f]{32})`:", text)[0])
    rows = text.split("Examples; where a key is used")[1].split("\n|", 1)[1].split("\n\n")[0].split("\n")[2:]
    assert len(rows) == 7
    for row in rows:
        name, values, digest = (cell.strip(" `") for cell in row.strip("|").split(" | "))
        is_keyed = "subject" in name or "record" in name
        parts = json.loads(values)
        assert (keyed_row_digest(key, *parts) if is_keyed else row_digest(*parts)) == digest, name


@pytest.mark.pure
@pytest.mark.parametrize(
    ("words", "kept"),
    [(["reopened"], "held"), (["reopened", "closed"], "held"), (["reopened", "reopened"], "pending")],
)
def test_a_recheck_keeps_the_state_before_it(words: list[str], kept: str) -> None:
    log, at = DeliveryLog([]), "2026-03-05T12:00:00.000000Z"
    log.set("held", "earlier-code", "2026-03-04T12:00:00.000000Z")
    for word in words:
        entry = {"action": f"delivery.{word}", "at": at, "details": {"cause": "recheck"}, "stream_seq": 2}
        log.add_entry(entry)
    assert log.before == kept
