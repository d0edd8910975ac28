"""A database owner deletes the newest part of the log: what is found with the newest checkpoint, and what is not."""

from collections.abc import Callable
from random import Random

import pytest
from django.db import transaction

from audit.format.signed_records import Record
from audit.models import Checkpoint, Entry, Segment
from audit.verification.check_database import VerificationReport, verify_database
from tests.support.audit.log_state import LogState, build_log
from tests.support.audit.log_tampering import change_details
from tests.support.audit.stored_log import store_log
from tests.support.audit.triggers import disable_triggers
from tests.support.audit.vectors.bundles import checkpoint_of

HONEST = build_log(Random(20261128))
COVERED = 6  # of 8 segments


NEWEST_OUTSIDE = checkpoint_of(HONEST, COVERED)


def verify_after(
    cut: Callable[[], None], outside: Record | None = NEWEST_OUTSIDE, log: LogState = HONEST
) -> VerificationReport:
    """Return what a check finds after the owner of the database did this to the log; undoes it."""
    with transaction.atomic():
        disable_triggers()
        store_log(log)
        cut()
        report = verify_database(outside)
        transaction.set_rollback(True)
    return report


def faults_after(cut: Callable[[], None], outside: Record | None = NEWEST_OUTSIDE) -> list[str]:
    return [str(fault) for fault in verify_after(cut, outside).faults]


def ids_after(number: int) -> list[int]:
    """Return the ids of the entries of all segments after this one."""
    return [entry for segment in HONEST.segments[number:] for entry in segment.ids]


def delete_entries_after(number: int) -> None:
    Entry.objects.filter(pk__in=ids_after(number)).delete()


def delete_segments_after(number: int) -> None:
    """Delete the newest segments, and the checkpoints in the database that would betray it."""
    Segment.objects.filter(number__gt=number).delete()
    Checkpoint.objects.filter(count__gt=number).delete()


def cut_after(number: int) -> None:
    delete_entries_after(number)
    delete_segments_after(number)


@pytest.mark.parametrize("last", [COVERED, COVERED + 1])
def test_a_log_truncated_after_a_checkpoint_is_found_only_with_a_newer_checkpoint(
    database: None, last: int
) -> None:
    report = verify_after(lambda: cut_after(last))
    assert report.faults == ()
    assert (report.segments, report.unsealed) == (last, 0), "the report says how far the log goes"
    assert faults_after(lambda: cut_after(last), HONEST.checkpoint) == [
        f"the outside checkpoint: covers 8 segments, but there are only {last}"
    ]


def test_without_an_outside_checkpoint_a_cut_is_found_only_by_a_checkpoint_that_was_left(
    database: None,
) -> None:
    assert faults_after(lambda: cut_after(3), None) == []

    def cut_and_leave_checkpoints() -> None:
        delete_entries_after(3)
        Segment.objects.filter(number__gt=3).delete()

    assert faults_after(cut_and_leave_checkpoints, None) == [
        "checkpoint 8: covers 8 segments, but there are only 3"
    ]


def test_entries_whose_segments_were_deleted_are_no_fault_but_are_counted_as_unsealed(database: None) -> None:
    """The sealer seals them again, later: the new segments are not those of a checkpoint that covered the old ones."""
    report = verify_after(lambda: delete_segments_after(COVERED))
    assert report.faults == ()
    assert report.unsealed == len(ids_after(COVERED))
    assert report.unsealed_since is not None
    reported = faults_after(lambda: delete_segments_after(COVERED), HONEST.checkpoint)
    assert reported == [f"the outside checkpoint: covers 8 segments, but there are only {COVERED}"]


def rewrite_tail(number: int) -> LogState:
    """Return a log in which an entry of this segment differs and everything after it is signed again, all keys at hand."""
    state = HONEST.copy()
    entry = next(
        entry
        for entry in state.segments[number - 1].ids
        if state.read_body(entry)["action"] == "test.happened"
    )
    state.bodies[entry] = change_details(state, entry)
    state.rechain()
    return state


@pytest.mark.parametrize(("number", "is_found"), [(COVERED, True), (COVERED + 1, False)])
def test_a_rewritten_tail_is_found_exactly_as_far_as_a_checkpoint_covers_it(
    database: None, number: int, *, is_found: bool
) -> None:
    log = rewrite_tail(number)
    report = verify_after(lambda: None, log=log)
    expected = [f"the outside checkpoint: the first {COVERED} segments differ from those that it covers"]
    assert [str(fault) for fault in report.faults] == (expected if is_found else [])
    assert verify_after(lambda: None, HONEST.checkpoint, log).faults != ()
