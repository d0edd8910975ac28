"""What retention deleted is no fault of an export, for the log says so; what somebody else deleted is."""

from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.utils import timezone

from audit.sealing.checkpoints import checkpoint_bytes, make_checkpoint, newest_checkpoint
from audit.sealing.seal import seal_entries
from database.clock import read_clock
from exports.bundle.shipped import check_rows
from sync.housekeeping import batch_deletion as housekeeping_prune
from sync.housekeeping import retention_rules
from sync.housekeeping.audit_upkeep import BOX, seal_audit
from sync.housekeeping.retention_rules import prune_audit_entries, prune_expired
from tests.support.builders.exports import checked, commands, cut, exported, happened, lines, run, unpacked
from tests.support.builders.exports import kept as keep_checkpoint
from tests.support.builders.history import a_source
from webhooks.models import Event


def test_events_that_grew_too_old_are_not_missed_and_others_are(
    database: None, tmp_path: Path, settings: Any
) -> None:
    source = a_source()
    for number in range(3):
        happened(number, source=source)  # long ago
    kept = [happened(number, source=source, received_at=timezone.now()) for number in (7, 8)]
    settings.KEEP_EVENTS_DAYS = (timezone.now() - kept[0].received_at).days + 30
    assert prune_expired() > 0
    assert set(Event.objects.all()) == set(kept)
    seal_audit()
    assert faults(tmp_path) == []
    cut(kept[0])
    [fault] = faults(tmp_path)
    assert kept[0].reference in fault


def test_what_went_is_not_missed_while_retention_is_at_it_or_was_cut_off(
    database: None, tmp_path: Path, settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = a_source()
    old = [happened(number, source=source) for number in range(3)]
    kept = happened(7, source=source, received_at=timezone.now())
    settings.KEEP_EVENTS_DAYS = (timezone.now() - old[0].received_at).days - 1
    settings.KEEP_PAYLOADS_DAYS = settings.KEEP_CALLS_DAYS = 0
    monkeypatch.setattr(housekeeping_prune, "EVENT_BATCH_SIZE", 1)
    monkeypatch.setattr(retention_rules, "PAUSE_SECONDS", "the process dies")
    with pytest.raises(TypeError):
        prune_expired()
    assert list(Event.objects.order_by("pk")) == [*old[1:], kept]
    seal_audit()
    assert faults(tmp_path) == []
    cut(kept)
    [fault] = faults(tmp_path)
    assert kept.reference in fault


def faults(folder: Path) -> list[str]:
    """Of the rows of an export that is made now."""
    return check_rows.RowChecker(str(unpacked(exported(), folder))).check_export()


def test_a_whole_export_of_what_is_kept_goes_on_from_a_checkpoint_of_what_is_not(
    database: None, tmp_path: Path, settings: Any
) -> None:
    source, long_ago = a_source(), read_clock() - timedelta(days=2)
    happened(1, source=source)
    seal_entries(BOX, long_ago)
    make_checkpoint(BOX, long_ago)
    checkpoint = newest_checkpoint()
    assert checkpoint is not None
    happened(2, source=source)
    seal_entries(BOX, long_ago)
    settings.KEEP_AUDIT_DAYS = 1
    happened(3, received_at=timezone.now())
    assert prune_audit_entries() > 0
    folder = unpacked(exported(), tmp_path)
    (folder.parent / "kept.json").write_bytes(checkpoint_bytes(checkpoint))
    outcomes = [run(command, folder) for command in commands(folder)]
    assert [code for code, _ in outcomes] == [0, 0, 0], outcomes
    forged = checkpoint_bytes({**checkpoint, "root": "00" * 32})
    (folder.parent / "kept.json").write_bytes(forged)
    assert checked(folder) == [0, 1, 0]


def test_events_whose_audit_entries_are_kept_no_longer_are_told_and_the_rest_is_proved(
    database: None, tmp_path: Path, settings: Any
) -> None:
    """Whole and filtered: both checkers end well and say what is proved no longer; a deletion is found all the same."""
    source = a_source()
    old = [happened(number, source=source) for number in range(3)]
    seal_entries(BOX, read_clock() - timedelta(days=2))
    settings.KEEP_AUDIT_DAYS = 1
    kept = [happened(number, source=source, received_at=timezone.now()) for number in (7, 8)]
    assert prune_audit_entries() == 6
    assert prune_audit_entries() == 0
    for words in ({}, {"state": old[0].state}):
        folder = unpacked(exported(words), tmp_path)
        keep_checkpoint(folder)
        outcomes = [run(command, folder) for command in commands(folder)]
        assert [code for code, _ in outcomes] == [0, 0, 0], outcomes
        assert "were deleted, as recorded in the log" in outcomes[1][1]
        assert "The audit entries of 3 events were deleted after their retention period" in outcomes[2][1]
        assert [row["reference"] for row in lines(folder, "events")] == [
            each.reference for each in old + kept
        ]
    assert "were deleted after their retention period" in (folder / "README.txt").read_text()
    cut(kept[0])
    [fault] = faults(tmp_path)
    assert kept[0].reference in fault
