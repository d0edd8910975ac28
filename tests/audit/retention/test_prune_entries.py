"""Pruned entries: a deletion by the rule is recorded and the log stays verifiable, all others are found."""

import json
from collections.abc import Callable
from datetime import datetime, timedelta
from io import StringIO
from random import Random
from typing import Any

import pytest
from django.core.management import call_command
from django.db import DatabaseError, connection, transaction
from django.db.models import Max

from audit.checks.retention import DELETION_STREAM, PRUNING_ACTION, PRUNING_STREAM
from audit.entries.append import NewEntry, append_entries
from audit.format.id_ranges import unpack_ids
from audit.format.signed_records import format_time
from audit.models import Cut, Entry, Segment, Stub
from audit.retention.prune_entries import announce_pruning, prune_announced_entries
from audit.sealing.seal import seal_entries
from audit.verification.check_database import verify_database
from tests.support.audit.entries import CIPHER, START, after_start, append_test_entries, write_history
from tests.support.audit.triggers import disable_triggers

RETENTION_STREAMS = (PRUNING_STREAM, DELETION_STREAM)
SEED = 20261125
DAYS = 10
LATER = START + timedelta(days=30)


def ids_of(*numbers: int) -> set[int]:
    rows = Segment.objects.filter(number__in=numbers).values_list("ids", flat=True)
    return {entry_id for packed in rows for entry_id in unpack_ids(bytes(packed))}


def remaining_ids() -> set[int]:
    return set(Entry.objects.values_list("id", flat=True))


def days_after(segment: int) -> datetime:
    """Return the time at which segments up to this one are older than ten days, and the next one is not."""
    return after_start(61 * segment + 30) + timedelta(days=DAYS)


def cut_at(segment: int) -> None:
    """Let go of everything up to this segment."""
    cut_when(days_after(segment))


def cut_when(at: datetime) -> None:
    assert announce_pruning(DAYS, at)
    seal_entries(CIPHER, at)
    while not prune_announced_entries(7)[1]:
        pass


def faults() -> list[str]:
    return [str(fault) for fault in verify_database().faults]


@pytest.fixture
def log(database: None) -> None:
    """Twelve segments under several keys, and streams that end early."""
    print("seed", SEED)
    append_test_entries("event:early", "person:1", "person:1")
    write_history(Random(SEED))


@pytest.mark.usefixtures("log")
@pytest.mark.parametrize("days", [0, -1])
def test_the_newest_segments_are_never_pruned(days: int) -> None:
    with pytest.raises(ValueError, match="too short a retention"):
        announce_pruning(days, LATER)
    assert not Cut.objects.exists()


@pytest.mark.usefixtures("log")
def test_entries_are_pruned_by_whole_segments_and_the_log_stays_verifiable() -> None:
    before, segments = remaining_ids(), list(Segment.objects.order_by("number").values())
    cut_at(5)
    declared = Entry.objects.filter(stream__in=RETENTION_STREAMS)
    assert remaining_ids() == before - ids_of(1, 2, 3, 4, 5) | {entry.pk for entry in declared}
    deleted = declared.filter(stream=DELETION_STREAM).values_list("details", flat=True)
    assert sum(json.loads(details)["entries"] for details in deleted) == len(ids_of(1, 2, 3, 4, 5))
    assert list(Segment.objects.filter(number__lte=12).order_by("number").values()) == segments
    report = verify_database()
    assert report.faults == ()
    assert report.pruned is not None
    assert (report.pruned.segment, report.pruned.days, report.pruned.announced_in) == (5, DAYS, 13)
    output = StringIO()
    call_command("verify_audit", stdout=output)
    assert "Entries are stored from segment 6 on" in output.getvalue()
    assert bytes(Segment.objects.get(number=5).hash).hex() in output.getvalue()


@pytest.mark.submission
@pytest.mark.usefixtures("log")
def test_pruning_continues_where_it_ended_and_the_newest_entry_counts() -> None:
    for segment in (2, 5, 9):
        cut_at(segment)
        assert faults() == []
        assert not announce_pruning(DAYS, days_after(segment)), "nothing more is old enough"
    assert [cut.segment for cut in Cut.objects.order_by("segment")] == [2, 5, 9]
    assert not remaining_ids() & ids_of(*range(1, 10))
    cut_when(Segment.objects.get(number=13).sealed_at + timedelta(days=DAYS, seconds=1))
    assert Entry.objects.filter(stream=PRUNING_STREAM).count() == 3, "an older word goes as all others do"
    assert faults() == []


@pytest.mark.submission
@pytest.mark.usefixtures("log")
def test_a_stream_continues_after_a_pruned_entry() -> None:
    cut_at(12)
    assert not Entry.objects.exclude(stream__in=RETENTION_STREAMS).exists()
    append_test_entries("event:early", "person:1", "event:new", at=LATER)
    assert list(Entry.objects.filter(stream="person:1").values_list("stream_seq", flat=True)) == [3]
    seal_entries(CIPHER, LATER)
    assert faults() == []


@pytest.mark.submission
@pytest.mark.usefixtures("log")
def test_a_segment_larger_than_a_batch_is_pruned_in_parts() -> None:
    at = days_after(3)
    assert announce_pruning(DAYS, at)
    seal_entries(CIPHER, at)
    pruned = []
    is_last = False
    while not is_last:
        number, is_last = prune_announced_entries(1)
        pruned.append(number)
    assert set(pruned) <= {0, 1}
    assert sum(pruned) == len(ids_of(1, 2, 3))
    assert faults() == []


def test_empty_segments_are_pruned_without_an_entry(database: None) -> None:
    append_test_entries("event:1")
    for number in range(5):
        seal_entries(CIPHER, after_start(61 * (number + 1)))
    cut_at(2)
    assert not announce_pruning(DAYS, days_after(4))


@pytest.mark.submission
@pytest.mark.usefixtures("log")
def test_the_database_refuses_every_other_deletion() -> None:
    cut_at(5)
    for entries in (Entry.objects.filter(id__in=ids_of(6)), Entry.objects.filter(stream=PRUNING_STREAM)):
        with pytest.raises(DatabaseError, match="insert-only"):
            entries.delete()


def delete(*keys: int) -> None:
    """Delete entries as the owner of the tables can, with consistent ends of streams."""
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
        disable_triggers()
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


def an_unsealed_tail() -> None:
    cut_at(5)
    append_test_entries("event:unsealed", at=LATER)
    delete(Entry.objects.get(stream="event:unsealed").pk)


def an_unsealed_tail_of_a_stream() -> None:
    cut_at(5)
    append_test_entries("event:1", at=LATER)
    delete(Entry.objects.filter(stream="event:1").latest("stream_seq").pk)


def before_the_word_is_sealed() -> None:
    assert announce_pruning(DAYS, days_after(5))
    delete(*ids_of(1, 2))


def pruning_records() -> None:
    cut_at(5)
    delete(Entry.objects.get(stream=PRUNING_STREAM).pk)


def with_another_end() -> None:
    cut_at(5)
    Stub.objects.filter(stream="event:early").update(leaf=bytes(32))


def record_a_false_pruning(segment: int, at: datetime | None = None, **details: Any) -> None:
    """Record a false pruning, in an entry with this time and in the table that the database uses."""
    row, sealed_at = Segment.objects.get(number=segment), days_after(5)
    at = at or sealed_at
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
    seal_entries(CIPHER, sealed_at)
    while not prune_announced_entries()[1]:
        pass


def too_young() -> None:
    record_a_false_pruning(8)


def from_the_future() -> None:
    record_a_false_pruning(8, days_after(8) + timedelta(days=400))


def of_another_age() -> None:
    record_a_false_pruning(8, up_to="2026-03-05T12:00:00.000000Z")


def another_hash() -> None:
    record_a_false_pruning(5, hash="00" * 32)


WRONG: dict[Callable[[], None], str] = {
    one_too_many: "is missing",
    an_unsealed_tail: "is not in segment 5",
    an_unsealed_tail_of_a_stream: "does not follow",
    before_the_word_is_sealed: "is missing",
    pruning_records: "is missing",
    with_another_end: "its previous entry is not in segment",
    too_young: "includes entries that are not older than 10 days",
    from_the_future: "but was sealed at",
    of_another_age: "includes entries that are not older than 10 days",
    another_hash: "does not match segment 5",
}


@pytest.mark.submission
@pytest.mark.usefixtures("guarded", "log")
@pytest.mark.parametrize("wrong", WRONG, ids=lambda change: change.__name__)
def test_every_other_deletion_is_found(wrong: Callable[[], None]) -> None:
    wrong()
    assert any(WRONG[wrong] in fault for fault in faults()), faults()


def a_deleted_stub() -> None:
    Stub.objects.get(stream="event:early").delete()


def a_stub_with_another_number() -> None:
    Stub.objects.filter(stream="event:early").update(seq=9)


def a_stub_of_another_stream() -> None:
    Stub.objects.filter(stream="event:early").update(stream="event:other")


def an_added_stub() -> None:
    stub = Stub.objects.get(stream="event:early")
    Stub.objects.create(stream="event:other", seq=1, leaf=stub.leaf, segment=stub.segment)


STUB_CHANGES: dict[Callable[[], None], str] = {
    a_deleted_stub: "counted",
    a_stub_with_another_number: "differ from those",
    a_stub_of_another_stream: "differ from those",
    an_added_stub: "counted",
}


@pytest.mark.submission
@pytest.mark.usefixtures("log")
@pytest.mark.parametrize("change", STUB_CHANGES, ids=lambda change: change.__name__)
def test_a_changed_stub_is_found_even_after_the_next_pruning(change: Callable[[], None]) -> None:
    cut_at(5)
    assert faults() == []
    change()
    [found] = [fault for fault in faults() if fault.startswith("the ends of streams with deleted entries")]
    assert STUB_CHANGES[change] in found
    cut_at(9)
    assert [fault for fault in faults() if "the ends of streams" in fault]


@pytest.mark.submission
@pytest.mark.usefixtures("log")
def test_a_deleted_stub_of_a_stream_without_entries_is_found_by_the_count_alone() -> None:
    cut_at(12)
    a_deleted_stub()
    (fault,) = faults()
    assert fault.startswith("the ends of streams with deleted entries: are ")
