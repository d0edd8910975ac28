"""What `check_rows.py` prints and with which code it ends."""

from pathlib import Path

import pytest

from exports.bundle.shipped import check_rows
from exports.bundle.shipped.check_rows import CALL_COLUMNS, Deletions, check_calls, row_digest
from tests.support.builders.exports import a_finished_export, a_recorded_history, unpack_export


def test_a_good_export_ends_with_0_and_says_what_it_has(
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
    assert lines[-1] == f"{len(lines) - 1} faults. The rows do not match the audit entries."


@pytest.mark.pure
@pytest.mark.parametrize("arguments", [[], ["one", "two"], ["folder", "--unknown"]])
def test_wrong_arguments_end_with_2(arguments: list[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        check_rows.main(arguments)
    assert ended.value.code == 2


@pytest.mark.pure
@pytest.mark.parametrize("content", [None, b"{", b"[]", b"{}", b"[" * 100_000])
def test_an_unreadable_export_is_a_fault(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], content: bytes | None
) -> None:
    if content is not None:
        (tmp_path / "export.json").write_bytes(content)
    assert check_rows.main([str(tmp_path)]) == 1
    assert capsys.readouterr().out.startswith("FAULT [unreadable] the export: ")


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
