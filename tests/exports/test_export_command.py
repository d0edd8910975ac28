"""`manage.py export_events --evidence`: the same export with the same options, without a browser."""

import hashlib
import stat
from collections.abc import Callable
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command

from exports.bundle import event_selection
from exports.jobs.lifecycle import EXPORT_JOB
from exports.management.commands import export_events
from exports.models import Export, ExportState
from sync.jobs.claims import claim_job_of
from sync.management.commands import run_job
from tests.support.builders.exports import (
    a_recorded_event,
    a_recorded_history,
    a_requested_export,
    read_lines,
    run_readme_commands,
    save_checkpoint,
    unpack_export,
)
from tests.support.people import entries


@pytest.fixture(autouse=True)
def is_one_of_many(monkeypatch: pytest.MonkeyPatch) -> None:
    """Do not lower the priority of this process, which runs other tests too."""
    monkeypatch.setattr(export_events, "lower_priority", lambda: None)


def export(*words: Any) -> tuple[str, str]:
    out, errors = StringIO(), StringIO()
    call_command(
        "export_events", "--evidence", "--reason", "the yearly audit", *words, stdout=out, stderr=errors
    )
    return out.getvalue().strip(), errors.getvalue()


@pytest.mark.submission
def test_the_command_makes_what_the_console_makes(database: None, tmp_path: Path) -> None:
    a_recorded_history(3)
    a_recorded_event(7, state="dead")
    copies = tmp_path / "copies"
    copies.mkdir()
    path, messages = export("--state", "dead", "--output", copies / "copy.zip")
    export_row = Export.objects.get()
    assert Path(path) == copies / "copy.zip"
    assert export_row.archive.read_bytes() == Path(path).read_bytes()
    assert [stat.S_IMODE(archive.stat().st_mode) for archive in (export_row.archive, Path(path))] == [
        0o600,
        0o600,
    ]
    assert [path.name for path in copies.iterdir()] == ["copy.zip"]
    assert hashlib.sha256(Path(path).read_bytes()).hexdigest() in messages
    assert (export_row.requested_by, export_row.reason, export_row.filter) == (
        None,
        "the yearly audit",
        {"state": "dead"},
    )
    folder = unpack_export(export_row, tmp_path)
    save_checkpoint(folder)
    assert run_readme_commands(folder) == [0, 0, 0]
    assert [row["entity_id"] for row in read_lines(folder, "events")] == ["USR-7"]
    assert entries("export.completed")[0]["stream"] == f"export:{export_row.uuid}"


@pytest.mark.parametrize("place", ["nowhere/copy.zip", "."])
def test_without_a_writable_target_nothing_is_made(database: None, tmp_path: Path, place: str) -> None:
    with pytest.raises(CommandError, match=r"[Cc]annot write|is a folder"):
        export("--output", tmp_path / place)
    assert not Export.objects.exists()


def test_a_failed_copy_reports_the_path_of_the_archive(database: None, tmp_path: Path) -> None:
    a_recorded_history(1)
    folder = tmp_path / "copies"
    folder.mkdir()

    def lose_the_folder() -> None:
        for path in folder.iterdir():
            path.unlink()
        folder.rmdir()

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(export_events, "lower_priority", lose_the_folder)
        with pytest.raises(CommandError) as error:
            export("--output", folder / "copy.zip")
    assert str(Export.objects.get().archive) in str(error.value)


def test_a_command_that_fails_says_why(database: None, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(CommandError, match="reason"):
        call_command("export_events", "--evidence")
    assert not Export.objects.exists()
    monkeypatch.setattr(event_selection, "seal_audit", lambda: 0)
    with pytest.raises(CommandError, match="sealed"):
        export()


@pytest.mark.submission
@pytest.mark.parametrize("command", ["export_events", "run_job"])
def test_both_commands_pause_on_a_busy_machine(
    database: None, monkeypatch: pytest.MonkeyPatch, command: str
) -> None:
    """The function that they ask to continue also pauses: see `test_job_process`."""
    a_recorded_history(3)
    module, asked = {"export_events": export_events, "run_job": run_job}[command], list[bool]()

    def resting(goes_on: Callable[[], bool]) -> Callable[[], bool]:
        def rested() -> bool:
            asked.append(goes_on())
            return asked[-1]

        return rested

    monkeypatch.setattr(module, "lower_priority", lambda: None)
    monkeypatch.setattr(module, "until_signal", lambda: lambda: True)
    monkeypatch.setattr(module, "yield_cpu_when_busy", resting)
    if command == "export_events":
        export()
    else:
        claimed = claim_job_of(EXPORT_JOB, a_requested_export().pk)
        assert claimed is not None
        call_command("run_job", claimed.job_id, claimed.token)
    assert Export.objects.get().state == ExportState.DONE
    assert len(asked) > 3
    assert all(asked)
