"""Retention that deletes rows while an export is made is no fault of the export; another deletion still is."""

import json
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from django.db import transaction
from django.utils import timezone

from audit.models import Entry
from audit.sealing.seal import seal_entries
from database.clock import read_clock
from exports.bundle import audit_evidence, builder, deletion_times, documentation
from exports.bundle.shipped import check_rows
from exports.models import Export, ExportState
from sync.housekeeping.audit_upkeep import CIPHER, seal_audit
from sync.housekeeping.retention_rules import prune_expired
from sync.models import Call
from tests.exports.interrupted_exports import elsewhere, killed_at
from tests.support.audit.triggers import disable_triggers
from tests.support.builders.exports import (
    a_finished_export,
    a_recorded_event,
    a_recorded_history,
    a_requested_export,
    delete_event_rows,
    readme_commands,
    run_command,
    save_checkpoint,
    unpack_export,
)
from tests.support.jobs import run_jobs
from webhooks.models import Event

pytestmark = [pytest.mark.concurrent, pytest.mark.usefixtures("database", "small_chunks")]


@pytest.fixture
def events(database: None) -> list[Event]:
    """Five events that retention deletes, and two that it keeps."""
    return [*a_recorded_history(5), *(a_recorded_event(n, received_at=timezone.now()) for n in (7, 8))]


def delete_old(settings: Any, kind: str) -> None:
    """Let retention delete the rows of one kind that belong to the five old events."""
    settings.KEEP_PAYLOADS_DAYS = settings.KEEP_CALLS_DAYS = settings.KEEP_EVENTS_DAYS = 0
    setattr(settings, f"KEEP_{kind}_DAYS", 30)
    assert prune_expired() > 0


def after_checkpoint(monkeypatch: pytest.MonkeyPatch, act: Callable[[], object]) -> None:
    """Do something once, between the checkpoint of the next export and its snapshot."""
    make_checkpoint = builder.make_fresh_checkpoint

    def make_and_act() -> Any:
        record = make_checkpoint()
        act()
        return record

    monkeypatch.setattr(builder, "make_fresh_checkpoint", make_and_act)


def checked(export: Export, folder: Path) -> check_rows.RowChecker:
    checker = check_rows.RowChecker(str(unpack_export(export, folder)))
    checker.check_export()
    return checker


@pytest.mark.submission
def test_events_deleted_between_checkpoint_and_snapshot_are_not_reported_missing(
    events: list[Event], tmp_path: Path, settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    after_checkpoint(monkeypatch, lambda: delete_old(settings, "EVENTS"))
    export = a_finished_export()
    assert export.total == 2
    folder = unpack_export(export, tmp_path)
    save_checkpoint(folder)
    outcomes = [run_command(command, folder) for command in readme_commands(folder)]
    assert [code for code, _ in outcomes] == [0, 0, 0], outcomes
    assert "5 events in the audit log have no row" in outcomes[2][1]


def test_events_deleted_before_a_resumed_part_are_not_reported_missing(
    events: list[Event], tmp_path: Path, settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    export = killed_at(monkeypatch, chunk=2)
    delete_old(settings, "EVENTS")
    run_jobs("export")
    export.refresh_from_db()
    assert (export.progress["gone"], len(export.progress["parts"])) == (3, 2)
    assert checked(export, tmp_path).faults == []


@pytest.mark.submission
def test_an_event_that_is_younger_than_retention_deletes_is_reported_missing(
    events: list[Event], tmp_path: Path, settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def delete() -> None:
        delete_old(settings, "EVENTS")
        delete_event_rows(events[-1])

    after_checkpoint(monkeypatch, delete)
    [fault] = checked(a_finished_export(), tmp_path).faults
    assert events[-1].reference in fault


@pytest.mark.submission
def test_calls_deleted_between_checkpoint_and_snapshot_are_not_reported_missing(
    events: list[Event], tmp_path: Path, settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    after_checkpoint(monkeypatch, lambda: delete_old(settings, "CALLS"))
    export = a_finished_export()
    assert Call.objects.filter(attempt__delivery__event=events[0]).count() == 0
    assert checked(export, tmp_path).faults == []


@pytest.mark.submission
def test_an_invalid_deletion_time_is_a_fault(events: list[Event], tmp_path: Path) -> None:
    folder = unpack_export(a_finished_export(), tmp_path)
    metadata = json.loads((folder / "export.json").read_text())
    for name in ("events_deleted_before", "calls_deleted_before"):
        for value in (None, 7, "9999", "2026-03-04"):
            (folder / "export.json").write_text(json.dumps(metadata | {name: value}))
            checker = check_rows.RowChecker(str(folder))
            checker.check_export()
            assert checker.codes == ["unreadable"], (name, value)


@pytest.mark.submission
def test_an_entry_that_was_changed_after_it_was_sealed_explains_no_deletion(
    events: list[Event], settings: Any
) -> None:
    delete_old(settings, "EVENTS")
    seal_audit()
    stated = deletion_times.load_deletion_times()
    [begun] = Entry.objects.filter(action="retention.begun")
    up_to = json.loads(begun.details)["up_to"]
    assert stated == {"events": up_to, "calls": ""}
    with transaction.atomic():
        disable_triggers()
        changed = begun.details.replace(up_to, "2099-01-01T00:00:00.000000Z")
        Entry.objects.filter(pk=begun.pk).update(details=changed)
        assert deletion_times.load_deletion_times() == stated, "`retention.pruned` says it too"
        Entry.objects.filter(action="retention.pruned").update(details=changed)
        assert deletion_times.load_deletion_times() == {"events": "", "calls": ""}
        transaction.set_rollback(True)


@pytest.mark.submission
def test_an_export_fails_if_the_entry_of_a_deletion_does_not_get_sealed(
    events: list[Event], settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    after_checkpoint(monkeypatch, lambda: delete_old(settings, "EVENTS"))
    monkeypatch.setattr(deletion_times, "seal_audit", lambda: 0)
    monkeypatch.setattr(deletion_times, "_MAX_TRIES", 2)
    export = a_requested_export()
    run_jobs("export")
    export.refresh_from_db()
    assert (export.state, export.failure) == (
        ExportState.FAILED,
        "New audit entries are not being sealed. Check that a worker is running.",
    )


STEPS = [
    *((builder, name) for name in ("select_events", "write_table", "read_rows", "write_evidence")),
    *((audit_evidence, name) for name in ("find_last_pruned_segment", "load_segments", "load_bodies")),
    *((documentation, name) for name in ("load_deletion_times", "_entries_since")),
    (builder, "sign_manifest"),
]


@pytest.mark.nightly
@pytest.mark.parametrize(("module", "step"), STEPS, ids=lambda value: getattr(value, "__name__", value))
def test_retention_before_any_step_of_an_export_raises_no_false_alarm(
    tmp_path: Path,
    settings: Any,
    monkeypatch: pytest.MonkeyPatch,
    module: ModuleType,
    step: str,
) -> None:
    """Rows and audit entries are deleted. If an entry is missing then, the export fails and says why."""
    a_recorded_history(5)
    seal_entries(CIPHER, read_clock() - timedelta(days=40))
    a_recorded_event(7, received_at=timezone.now())
    settings.KEEP_CALLS_DAYS = settings.KEEP_EVENTS_DAYS = settings.KEEP_AUDIT_DAYS = 30
    run_step, is_done = getattr(module, step), False

    def prune_and_run(*arguments: Any) -> Any:
        nonlocal is_done
        if not is_done:
            is_done = True
            elsewhere(prune_expired)
        return run_step(*arguments)

    monkeypatch.setattr(module, step, prune_and_run)
    export = a_requested_export()
    run_jobs("export")
    export.refresh_from_db()
    assert is_done
    if export.state == ExportState.FAILED:
        assert export.failure.startswith("Old audit entries were deleted while this export was running.")
        return
    folder = unpack_export(export, tmp_path)
    save_checkpoint(folder)
    outcomes = [run_command(command, folder) for command in readme_commands(folder)]
    assert [code for code, _ in outcomes] == [0, 0, 0], outcomes
