"""Entries that are kept no longer: what is deleted by the rule is told and still proved, all else is found."""

import subprocess
import sys
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from io import StringIO
from pathlib import Path
from random import Random
from typing import Any

import pytest
from django.core.management import call_command
from django.db import DatabaseError, connection, transaction
from django.db.models import Max

from audit.checks.retention import PRUNING_ACTION, PRUNING_STREAM
from audit.entries.append import NewEntry, append_entries
from audit.export.bundle_source import load_anchor, load_bodies, load_segments
from audit.format.id_ranges import unpack_ids
from audit.format.placement import PrunedHead
from audit.format.signed_records import format_time
from audit.models import Cut, Entry, Segment, Stub
from audit.retention.prune_entries import announce_pruning, prune_announced_entries
from audit.sealing.checkpoints import checkpoint_bytes
from audit.sealing.seal import seal_entries
from audit.sealing.segment_index import SegmentIndex, load_segment_leaves
from audit.verification.check_database import verify_database
from tests.support.audit.entries import BOX, START, after, write, write_history
from tests.support.audit.exports import begin, both, checkpoint, finish
from tests.support.audit.triggers import unguard

SEED = 20261125
DAYS = 10
LATER = START + timedelta(days=30)


def ids_of(*numbers: int) -> set[int]:
    rows = Segment.objects.filter(number__in=numbers).values_list("ids", flat=True)
    return {each for packed in rows for each in unpack_ids(bytes(packed))}


def kept() -> set[int]:
    return set(Entry.objects.values_list("id", flat=True))


def days_after(segment: int) -> datetime:
    """When segments up to this one have been sealed for more than ten days, and the next one has not."""
    return after(61 * segment + 30) + timedelta(days=DAYS)


def cut_at(segment: int) -> None:
    """Let go of everything up to this segment."""
    cut_when(days_after(segment))


def cut_when(at: datetime) -> None:
    assert announce_pruning(DAYS, at)
    seal_entries(BOX, at)
    while not prune_announced_entries(7)[1]:
        pass


def faults() -> list[str]:
    return [str(each) for each in verify_database().faults]


@pytest.fixture
def log(database: None) -> None:
    """Twelve segments under several keys, and streams that end early."""
    print("seed", SEED)
    write("event:early", "person:1", "person:1")
    write_history(Random(SEED))


@pytest.mark.usefixtures("log")
@pytest.mark.parametrize("days", [0, -1])
def test_the_log_never_says_that_nothing_is_kept(days: int) -> None:
    with pytest.raises(ValueError, match="keep no entry"):
        announce_pruning(days, LATER)
    assert not Cut.objects.exists()


@pytest.mark.usefixtures("log")
def test_whole_segments_lose_their_entries_and_everything_is_still_proved() -> None:
    before, segments = kept(), list(Segment.objects.order_by("number").values())
    cut_at(5)
    declared = Entry.objects.get(stream=PRUNING_STREAM)
    assert kept() == before - ids_of(1, 2, 3, 4, 5) | {declared.pk}
    assert list(Segment.objects.filter(number__lte=12).order_by("number").values()) == segments
    report = verify_database()
    assert report.faults == ()
    assert report.pruned is not None
    assert (report.pruned.segment, report.pruned.days, report.pruned.announced_in) == (5, DAYS, 13)
    said = StringIO()
    call_command("verify_audit", stdout=said)
    assert "Entries are stored from segment 6 on" in said.getvalue()
    assert bytes(Segment.objects.get(number=5).hash).hex() in said.getvalue()


@pytest.mark.usefixtures("log")
def test_it_goes_on_where_it_ended_and_the_newest_word_counts() -> None:
    for segment in (2, 5, 9):
        cut_at(segment)
        assert faults() == []
        assert not announce_pruning(DAYS, days_after(segment)), "nothing more is old enough"
    assert [each.segment for each in Cut.objects.order_by("segment")] == [2, 5, 9]
    assert not kept() & ids_of(*range(1, 10))
    cut_when(Segment.objects.get(number=13).sealed_at + timedelta(days=DAYS, seconds=1))
    assert Entry.objects.filter(stream=PRUNING_STREAM).count() == 3, "an older word goes as all others do"
    assert faults() == []


@pytest.mark.usefixtures("log")
def test_every_moment_of_it_is_a_whole_log() -> None:
    at = days_after(6)
    assert announce_pruning(DAYS, at)
    assert prune_announced_entries() == (0, True), "nothing goes before what says so is sealed"
    seal_entries(BOX, at)
    looks = 0
    while not prune_announced_entries(4)[1]:
        looks += 1
        assert faults() == []
    assert looks > 5


@pytest.mark.usefixtures("log")
def test_a_stream_goes_on_from_an_entry_that_is_kept_no_longer() -> None:
    cut_at(12)
    assert not Entry.objects.exclude(stream=PRUNING_STREAM).exists()
    write("event:early", "person:1", "event:new", at=LATER)
    assert list(Entry.objects.filter(stream="person:1").values_list("stream_seq", flat=True)) == [3]
    seal_entries(BOX, LATER)
    assert faults() == []


@pytest.mark.usefixtures("log")
def test_a_segment_that_is_larger_than_a_batch_goes_by_parts() -> None:
    at = days_after(3)
    assert announce_pruning(DAYS, at)
    seal_entries(BOX, at)
    gone = []
    is_last = False
    while not is_last:
        number, is_last = prune_announced_entries(1)
        gone.append(number)
    assert set(gone) <= {0, 1}
    assert sum(gone) == len(ids_of(1, 2, 3))
    assert faults() == []


def test_silence_is_not_worth_a_word(database: None) -> None:
    write("event:1")
    for number in range(5):
        seal_entries(BOX, after(61 * (number + 1)))
    cut_at(2)
    assert not announce_pruning(DAYS, days_after(4))


@pytest.mark.usefixtures("log")
def test_the_database_lets_nothing_else_be_deleted() -> None:
    cut_at(5)
    for entries in (Entry.objects.filter(id__in=ids_of(6)), Entry.objects.filter(stream=PRUNING_STREAM)):
        with pytest.raises(DatabaseError, match="insert-only"):
            entries.delete()


def delete(*keys: int) -> None:
    """As who owns the tables can, with the ends of streams in step."""
    with transaction.atomic():
        unguard_here()
        for pk, stream, seq, leaf in (
            Entry.objects.filter(id__in=keys).order_by("id").values_list("id", "stream", "stream_seq", "leaf")
        ):
            values = {"seq": seq, "leaf": leaf, "segment": Cut.objects.aggregate(n=Max("segment"))["n"] or 1}
            Stub.objects.update_or_create(stream=stream, defaults=values)
            Entry.objects.filter(pk=pk).delete()


def unguard_here() -> None:
    if connection.vendor == "postgresql":
        unguard()
        return
    with connection.cursor() as cursor:
        cursor.execute("DROP TRIGGER IF EXISTS audit_entry_no_DELETE")


@pytest.fixture
def guarded(database: None) -> Any:
    """Triggers that a test took away are there again afterwards."""
    with connection.cursor() as cursor:
        triggers = []
        if connection.vendor == "sqlite":
            cursor.execute("SELECT sql FROM sqlite_master WHERE name = 'audit_entry_no_DELETE'")
            triggers = cursor.fetchall()
    yield
    with connection.cursor() as cursor:
        for (sql,) in triggers:
            cursor.execute("DROP TRIGGER IF EXISTS audit_entry_no_DELETE")
            cursor.execute(sql)


def one_too_many() -> None:
    cut_at(5)
    delete(min(ids_of(6)))


def the_middle() -> None:
    cut_at(3)
    delete(*ids_of(6, 7))


def an_unsealed_tail() -> None:
    cut_at(5)
    write("event:unsealed", at=LATER)
    delete(Entry.objects.get(stream="event:unsealed").pk)


def an_unsealed_tail_of_a_stream() -> None:
    cut_at(5)
    write("event:1", at=LATER)
    delete(Entry.objects.filter(stream="event:1").latest("stream_seq").pk)


def without_a_word() -> None:
    delete(*ids_of(1, 2))


def before_the_word_is_sealed() -> None:
    assert announce_pruning(DAYS, days_after(5))
    delete(*ids_of(1, 2))


def what_says_so() -> None:
    cut_at(5)
    delete(Entry.objects.get(stream=PRUNING_STREAM).pk)


def with_another_end() -> None:
    cut_at(5)
    Stub.objects.filter(stream="event:early").update(leaf=bytes(32))


def lie(segment: int, **details: Any) -> None:
    """What `announce_pruning` never says, in an entry and in the table that the database goes by."""
    row, at = Segment.objects.get(number=segment), days_after(5)
    up_to = at - timedelta(days=DAYS)
    told = {
        "segment": segment,
        "hash": bytes(row.hash).hex(),
        "sealed_at": format_time(row.sealed_at),
        "days": DAYS,
    }
    told |= {"up_to": format_time(up_to), "entries": 1} | details
    with transaction.atomic():
        append_entries(NewEntry(PRUNING_STREAM, PRUNING_ACTION, details=told), at=at)
    entry = Entry.objects.get(stream=PRUNING_STREAM)
    Cut.objects.create(segment=segment, highest_id=row.highest_id, entry_id=entry.pk, emptied=0)
    seal_entries(BOX, at)
    while not prune_announced_entries()[1]:
        pass


def too_young() -> None:
    lie(8)


def of_another_age() -> None:
    lie(8, up_to="2026-03-05T12:00:00.000000Z")


def another_hash() -> None:
    lie(5, hash="00" * 32)


WRONG: dict[Callable[[], None], str] = {
    one_too_many: "is missing",
    the_middle: "is missing",
    an_unsealed_tail: "is not in segment 5",
    an_unsealed_tail_of_a_stream: "does not follow",
    without_a_word: "is missing",
    before_the_word_is_sealed: "is missing",
    what_says_so: "is missing",
    with_another_end: "its previous entry is not in segment",
    too_young: "includes entries that are not older than 10 days",
    of_another_age: "includes entries that are not older than 10 days",
    another_hash: "does not match segment 5",
}


@pytest.mark.usefixtures("guarded", "log")
@pytest.mark.parametrize("wrong", WRONG, ids=lambda each: each.__name__)
def test_whatever_else_is_deleted_is_found(wrong: Callable[[], None]) -> None:
    wrong()
    assert any(WRONG[wrong] in fault for fault in faults()), faults()


@pytest.fixture
def cut(log: None) -> None:
    """Five of the segments are let go, and some streams go on behind them."""
    cut_at(5)
    write("event:1", "event:early", at=LATER)
    seal_entries(BOX, LATER)


def filtered(folder: Path, streams: Sequence[str] = (), gone: Any = None) -> None:
    anchor = load_anchor(checkpoint(LATER))
    places = SegmentIndex(anchor.checkpoint["count"])
    bundle = begin(folder, anchor)
    names = streams or [*sorted(set(Entry.objects.values_list("stream", flat=True)))]
    finish(
        bundle,
        bundle.write_streams(
            places.entries_by_stream(names), load_segment_leaves, 5, gone or places.pruned_head
        ),
    )


def whole(folder: Path, first: int = 6, pruned: int = 5) -> None:
    anchor = load_anchor(checkpoint(LATER))
    last = anchor.checkpoint["count"]
    bundle = begin(folder, anchor)
    finish(bundle, bundle.write_segments(load_segments(first, last), load_bodies(first, last), pruned))


def outside() -> bytes:
    """A checkpoint that somebody kept."""
    return checkpoint_bytes(checkpoint(LATER))


@pytest.mark.usefixtures("cut")
@pytest.mark.parametrize("write_export", [whole, filtered])
def test_an_export_of_what_is_kept_passes_with_both_verifiers(
    write_export: Callable[[Path], None], tmp_path: Path
) -> None:
    kept_outside = outside()
    write_export(tmp_path / "export")
    assert both(tmp_path / "export", kept_outside) == ([], [])
    said = subprocess.run(
        [sys.executable, "-I", "verify.py", "."],
        cwd=tmp_path / "export",
        capture_output=True,
        text=True,
        check=True,
    )
    assert "Entries of segments 1 to 5 were deleted, as recorded in the log" in said.stdout


BROKEN: dict[str, Callable[[Path], None]] = {
    "a whole export that begins later": lambda folder: whole(folder, first=7),
    "a whole export of a log that says less": lambda folder: whole(folder, first=7, pruned=6),
    "a stream that begins later": lambda folder: filtered(folder, gone=lambda stream: LATE.get(stream)),
    "no word of it": lambda folder: filtered(folder, ["event:1"]),
}
LATE = {"event:1": PrunedHead(1, 6, 0)}


@pytest.mark.usefixtures("cut")
@pytest.mark.parametrize("what", BROKEN)
def test_an_export_that_leaves_out_more_than_the_log_says_is_found(what: str, tmp_path: Path) -> None:
    BROKEN[what](tmp_path / "export")
    first, second = both(tmp_path / "export")
    assert first
    assert second
