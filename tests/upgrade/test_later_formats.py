"""The programs of this release say of an export of a later format what it needs, instead of faults that it does not have."""

import json
import zipfile
from pathlib import Path

import pytest

from audit.export import verify
from exports.bundle.shipped import check_rows
from tests.upgrade.releases import released_folders

pytestmark = pytest.mark.pure


@pytest.mark.parametrize("program", [verify, check_rows], ids=["verify.py", "check_rows.py"])
def test_an_export_of_a_later_format_needs_a_newer_program(
    program: object, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with zipfile.ZipFile(released_folders()[-1] / "sqlite" / "events.zip") as archive:
        archive.extractall(tmp_path)
    manifest = tmp_path / "export" / "manifest.json"
    record = json.loads(manifest.read_text()) | {"v": 2, "added": "by a later release"}
    manifest.write_text(json.dumps(record, sort_keys=True, separators=(",", ":")) + "\n")
    assert program.main([str(tmp_path / "export")]) == 1  # type: ignore[attr-defined]
    first, *_ = capsys.readouterr().out.splitlines()
    assert first.startswith("FAULT [unreadable]")
    assert first.endswith("which needs the program of a newer hub")
