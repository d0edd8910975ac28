"""Rows that someone inserts into the tables of the audit log stop neither the sealer nor what is verified outside them."""

from datetime import timedelta
from typing import Any

import pytest
from django.db import connection, transaction

from audit.format.hashes import segment_hash
from audit.format.segment_record import SegmentHead
from audit.format.signed_records import signed_text
from audit.models import Entry, Segment, SigningKey
from audit.sealing import status
from audit.sealing.checkpoints import make_checkpoint
from audit.sealing.record_rows import segment_record
from audit.sealing.seal import rotate_signing_key, seal_entries
from audit.sealing.signed_segments import find_foreign_rows, last_segment
from audit.sealing.status import sealing_status
from audit.verification.check_database import verify_database
from tests.support.audit.entries import CIPHER, START, after_start, append_test_entries

HIGHEST = 2**62 - 1
# The hash of the inserted row itself: only its signature is wrong.
FITTING = b"fitting"


@pytest.fixture
def log(database: None) -> None:
    for second in (1, 2, 3):
        append_test_entries("event:a", "event:b", at=after_start(second))
        seal_entries(CIPHER, after_start(second))
    assert verify_database().faults == ()


def insert_copy(row: Any, **columns: Any) -> None:
    """Insert a copy of a row with other columns, as somebody does who can write to the database."""
    names = [field.column for field in row._meta.concrete_fields]
    values = {field.column: getattr(row, field.attname) for field in row._meta.concrete_fields} | columns
    with transaction.atomic(), connection.cursor() as cursor:
        places = ", ".join(["%s"] * len(names))
        cursor.execute(
            f"INSERT INTO {row._meta.db_table} ({', '.join(names)}) VALUES ({places})",
            [values[name] for name in names],
        )


def insert_segment(number: int, **columns: Any) -> None:
    last = Segment.objects.order_by("number")[2]
    if columns.get("hash") == FITTING:
        changed = Segment(**{field.attname: getattr(last, field.attname) for field in Segment._meta.fields})
        changed.number, changed.prev_hash = number, last.hash
        columns |= {
            "prev_hash": last.hash,
            "hash": segment_hash(signed_text("segment", segment_record(changed))),
        }
    insert_copy(last, number=number, **columns)


def unsealed_since_seal(second: float) -> list[int]:
    """Append an entry, seal, and return the ids of the entries that no signed segment holds."""
    append_test_entries("event:a", at=after_start(second))
    seal_entries(CIPHER, after_start(second))
    return list(Entry.objects.filter(pk__gt=last_segment().highest_id).values_list("pk", flat=True))


FORGED: list[tuple[list[int], dict[str, Any]]] = [
    ([HIGHEST], {}),
    ([2**40, 2**40 + 1, HIGHEST], {"highest_id": HIGHEST}),
    ([2**31], {"hash": b"", "nodes": b"", "ids": b"\xff"}),
    ([4], {"highest_id": HIGHEST, "nodes": b"x" * 32}),
    ([4, 5, 7], {"sealed_at": START + timedelta(days=90_000), "ids": b"\xff\xff"}),
    ([4], {"hash": FITTING, "highest_id": HIGHEST}),
    ([4], {"hash": b"", "prev_hash": b"", "root": b"", "signature": b"", "is_late": True}),
]


@pytest.mark.parametrize(("numbers", "columns"), FORGED)
def test_sealing_continues_past_foreign_segments(
    log: None, numbers: list[int], columns: dict[str, Any]
) -> None:
    for number in numbers:
        insert_segment(number, **columns)
    assert sealing_status().foreign == len(numbers)
    assert unsealed_since_seal(10) == []
    for second in (200, 400, 600):
        assert unsealed_since_seal(second) == []
    entries = Entry.objects.values_list("pk", flat=True)
    assert last_segment().highest_id == max(entries)
    faulty = {str(fault).split(" (")[0] for fault in verify_database().faults}
    assert all(f"segment {number}" in " ".join(faulty) for number in numbers), faulty
    # The segments of the hub are verified, whatever lies between them, and so are the checkpoints over all.
    checkpoint = make_checkpoint(CIPHER, after_start(700))
    assert checkpoint is not None
    ours = [f"segment {number}:" for number in range(1, 9) if number not in numbers]
    faults = [str(fault) for fault in verify_database().faults]
    # A segment with a forged time makes the next one seem too old.
    about_ours = [fault for fault in faults if fault.startswith((*ours, "checkpoint"))]
    assert [fault for fault in about_ours if "was sealed before" not in fault] == []
    recorded = Entry.objects.filter(action="audit.foreign-segments").count()
    assert recorded == (4 in numbers) + (7 in numbers)


@pytest.mark.parametrize("columns", [{}, {"signature": b"x" * 64}])
def test_sealing_continues_past_foreign_keys(log: None, columns: dict[str, Any]) -> None:
    """Their private halves cannot be decrypted, and the next number is taken."""
    key = SigningKey.objects.get()
    for number in (0, 2, 2**31 - 1):
        insert_copy(key, number=number, key=f"k{number}", private=b"x", **columns)
    assert unsealed_since_seal(10) == []
    rotate_signing_key(CIPHER, after_start(20))
    assert SigningKey.objects.filter(number=3).exists()
    assert unsealed_since_seal(30) == []


@pytest.mark.only_postgresql
def test_sealing_continues_past_an_entry_with_an_absurd_id(log: None) -> None:
    """PostgreSQL counts on where it was, so all entries that follow have lower ids."""
    for absurd in (10**6, HIGHEST):
        insert_copy(Entry.objects.earliest("id"), id=absurd, stream=f"event:{absurd}", stream_seq=1)
    assert sealing_status().foreign == 2
    for second in (10, 200, 400, 600):
        assert unsealed_since_seal(second) == [10**6, HIGHEST]
    assert last_segment().highest_id < 100
    assert sealing_status().unsealed_since is None
    faults = [str(fault) for fault in verify_database().faults]
    assert len([fault for fault in faults if "has an id that the database did not give" in fault]) == 2


def test_what_the_hub_writes_meanwhile_is_not_foreign(log: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """Entries and a segment are written after the end of the log was read, and before the rows above it are counted."""

    def count_later(last: SegmentHead, given: int) -> Any:
        append_test_entries("event:a", "event:b", at=after_start(10))
        seal_entries(CIPHER, after_start(10))
        return find_foreign_rows(last, given)

    monkeypatch.setattr(status, "find_foreign_rows", count_later)
    assert sealing_status().foreign == 0
    insert_segment(HIGHEST)
    assert sealing_status().foreign == 1


def test_a_foreign_checkpoint_is_not_published(log: None) -> None:
    made = make_checkpoint(CIPHER, after_start(5))
    assert made is not None
    insert_copy(made, count=4, at=START + timedelta(days=90_000), head=b"x" * 32)
    assert unsealed_since_seal(10) == []
    assert last_segment().number == 4
    assert make_checkpoint(CIPHER, after_start(11)) is None
    assert unsealed_since_seal(12) == []
    newest = make_checkpoint(CIPHER, after_start(13))
    assert newest is not None
    assert newest.count == 5
