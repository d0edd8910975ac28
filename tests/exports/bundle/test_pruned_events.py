"""Events deleted by retention are no fault of an export, because the log records it; other deletions are."""

from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.utils import timezone

from audit.sealing.checkpoints import checkpoint_bytes, make_checkpoint
from audit.sealing.seal import seal_entries
from database.clock import read_clock
from exports.bundle.shipped import check_rows
from sync.housekeeping import batch_deletion as housekeeping_prune
from sync.housekeeping import retention_rules
from sync.housekeeping.audit_upkeep import CIPHER, seal_audit
from sync.housekeeping.retention_rules import prune_audit_entries, prune_expired
from tests.support.builders.exports import (
    a_finished_export,
    a_recorded_event,
    delete_event_rows,
    newest_checkpoint,
    read_lines,
    readme_commands,
    run_command,
    run_readme_commands,
    unpack_export,
)
from tests.support.builders.exports import save_checkpoint as keep_checkpoint
from tests.support.builders.history import a_source
from webhooks.models import Event


def test_expired_events_are_not_reported_missing_and_others_are(
    database: None, tmp_path: Path, settings: Any
) -> None:
    source = a_source()
    for number in range(3):
        a_recorded_event(number, source=source)  # long ago
    recent_events = [a_recorded_event(number, source=source, received_at=timezone.now()) for number in (7, 8)]
    settings.KEEP_EVENTS_DAYS = (timezone.now() - recent_events[0].received_at).days + 30
    assert prune_expired() > 0
    assert set(Event.objects.all()) == set(recent_events)
    seal_audit()
    assert faults(tmp_path) == []
    delete_event_rows(recent_events[0])
    [fault] = faults(tmp_path)
    assert recent_events[0].reference in fault


@pytest.mark.submission
def test_expired_events_are_not_reported_missing_during_or_after_an_interrupted_retention(
    database: None, tmp_path: Path, settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = a_source()
    old = [a_recorded_event(number, source=source) for number in range(3)]
    recent_event = a_recorded_event(7, source=source, received_at=timezone.now())
    settings.KEEP_EVENTS_DAYS = (timezone.now() - old[0].received_at).days - 1
    settings.KEEP_PAYLOADS_DAYS = settings.KEEP_CALLS_DAYS = 0
    monkeypatch.setattr(housekeeping_prune, "EVENT_BATCH_SIZE", 1)
    monkeypatch.setattr(retention_rules, "PAUSE_SECONDS", "the process dies")
    with pytest.raises(TypeError):
        prune_expired()
    assert list(Event.objects.order_by("pk")) == [*old[1:], recent_event]
    seal_audit()
    assert faults(tmp_path) == []
    delete_event_rows(recent_event)
    [fault] = faults(tmp_path)
    assert recent_event.reference in fault


def faults(folder: Path) -> list[str]:
    """Make an export now. Returns the faults of its rows."""
    return check_rows.RowChecker(str(unpack_export(a_finished_export(), folder))).check_export()


@pytest.mark.submission
def test_a_whole_export_continues_from_a_checkpoint_of_pruned_segments(
    database: None, tmp_path: Path, settings: Any
) -> None:
    source, long_ago = a_source(), read_clock() - timedelta(days=2)
    a_recorded_event(1, source=source)
    seal_entries(CIPHER, long_ago)
    make_checkpoint(CIPHER, long_ago)
    checkpoint = newest_checkpoint()
    a_recorded_event(2, source=source)
    seal_entries(CIPHER, long_ago)
    settings.KEEP_AUDIT_DAYS = 1
    a_recorded_event(3, received_at=timezone.now())
    assert prune_audit_entries() > 0
    folder = unpack_export(a_finished_export(), tmp_path)
    (folder.parent / "kept.json").write_bytes(checkpoint_bytes(checkpoint))
    outcomes = [run_command(command, folder) for command in readme_commands(folder)]
    assert [code for code, _ in outcomes] == [0, 0, 0], outcomes
    forged = checkpoint_bytes({**checkpoint, "root": "00" * 32})
    (folder.parent / "kept.json").write_bytes(forged)
    assert run_readme_commands(folder) == [0, 1, 0]


@pytest.mark.submission
def test_events_with_pruned_entries_are_reported_and_the_rest_is_verified(
    database: None, tmp_path: Path, settings: Any
) -> None:
    """Whole and filtered: both checkers succeed and name what is no longer proved; other deletions are found."""
    source = a_source()
    old = [a_recorded_event(number, source=source) for number in range(3)]
    seal_entries(CIPHER, read_clock() - timedelta(days=2))
    settings.KEEP_AUDIT_DAYS = 1
    recent_events = [a_recorded_event(number, source=source, received_at=timezone.now()) for number in (7, 8)]
    assert prune_audit_entries() == 9
    assert prune_audit_entries() == 0
    for words in ({}, {"state": old[0].state}):
        folder = unpack_export(a_finished_export(words), tmp_path)
        keep_checkpoint(folder)
        outcomes = [run_command(command, folder) for command in readme_commands(folder)]
        assert [code for code, _ in outcomes] == [0, 0, 0], outcomes
        assert "were deleted, as recorded in the log" in outcomes[1][1]
        assert "The audit entries of 3 events were deleted after their retention period" in outcomes[2][1]
        assert [row["reference"] for row in read_lines(folder, "events")] == [
            event.reference for event in old + recent_events
        ]
    assert "were deleted after their retention period" in (folder / "README.txt").read_text()
    delete_event_rows(recent_events[0])
    [fault] = faults(tmp_path)
    assert recent_events[0].reference in fault
