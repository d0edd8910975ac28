"""`manage.py export_events --evidence`: the same export, with the same words, without a browser."""

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
from tests.support.builders.exports import checked, happened, history, kept, lines, requested, unpacked
from tests.support.people import entries


@pytest.fixture(autouse=True)
def is_one_of_many(monkeypatch: pytest.MonkeyPatch) -> None:
    """The process of the tests has more to do."""
    monkeypatch.setattr(export_events, "lower_priority", lambda: None)


def export(*words: Any) -> tuple[str, str]:
    out, said = StringIO(), StringIO()
    call_command(
        "export_events", "--evidence", "--reason", "the yearly audit", *words, stdout=out, stderr=said
    )
    return out.getvalue().strip(), said.getvalue()


def test_the_command_makes_what_the_console_makes(database: None, tmp_path: Path) -> None:
    history(3)
    happened(7, state="dead")
    copies = tmp_path / "copies"
    copies.mkdir()
    path, said = export("--state", "dead", "--output", copies / "copy.zip")
    made = Export.objects.get()
    assert Path(path) == copies / "copy.zip"
    assert made.archive.read_bytes() == Path(path).read_bytes()
    assert [stat.S_IMODE(each.stat().st_mode) for each in (made.archive, Path(path))] == [0o600, 0o600]
    assert [each.name for each in copies.iterdir()] == ["copy.zip"]
    assert hashlib.sha256(Path(path).read_bytes()).hexdigest() in said
    assert (made.requested_by, made.reason, made.filter) == (None, "the yearly audit", {"state": "dead"})
    folder = unpacked(made, tmp_path)
    kept(folder)
    assert checked(folder) == [0, 0, 0]
    assert [row["entity_id"] for row in lines(folder, "events")] == ["USR-7"]
    assert entries("export.completed")[0]["stream"] == f"export:{made.uuid}"


@pytest.mark.parametrize("place", ["nowhere/copy.zip", "."])
def test_where_no_copy_can_be_written_nothing_is_made(database: None, tmp_path: Path, place: str) -> None:
    with pytest.raises(CommandError, match=r"[Cc]annot write|is a folder"):
        export("--output", tmp_path / place)
    assert not Export.objects.exists()


def test_a_copy_that_fails_at_the_end_says_where_the_archive_lies(database: None, tmp_path: Path) -> None:
    history(1)
    folder = tmp_path / "copies"
    folder.mkdir()

    def lose_the_folder() -> None:
        for each in folder.iterdir():
            each.unlink()
        folder.rmdir()

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(export_events, "lower_priority", lose_the_folder)
        with pytest.raises(CommandError) as told:
            export("--output", folder / "copy.zip")
    assert str(Export.objects.get().archive) in str(told.value)


def test_a_command_that_fails_says_why(database: None, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(CommandError, match="reason"):
        call_command("export_events", "--evidence")
    assert not Export.objects.exists()
    monkeypatch.setattr(event_selection, "seal_audit", lambda: 0)
    with pytest.raises(CommandError, match="sealed"):
        export()


@pytest.mark.parametrize("command", ["export_events", "run_job"])
def test_both_commands_rest_where_cores_are_short(
    database: None, monkeypatch: pytest.MonkeyPatch, command: str
) -> None:
    """What they ask whether they go on is asked again and again, and rests: see `test_job_process`."""
    history(3)
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
        monkeypatch.setattr(run_job, "freeze_loaded_objects", lambda: None)
        claimed = claim_job_of(EXPORT_JOB, requested().pk)
        assert claimed is not None
        call_command("run_job", claimed.job_id, claimed.token)
    assert Export.objects.get().state == ExportState.DONE
    assert len(asked) > 3
    assert all(asked)
