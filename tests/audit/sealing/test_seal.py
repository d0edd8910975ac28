"""The sealer: every entry is in exactly one segment, with any number of writers and sealers."""

import threading
from collections.abc import Callable
from datetime import timedelta
from random import Random
from typing import Any

import pytest
from django.db import DatabaseError, connection, transaction

from audit.entries.append import NewEntry, append_entries
from audit.format.hashes import ZERO_HASH, segment_hash
from audit.format.id_ranges import unpack_ids
from audit.format.merkle_tree import merkle_root, subtree_hash_of, tree_root
from audit.format.signed_records import has_valid_signature, signed_text
from audit.models import Entry, Segment, SigningKey
from audit.sealing import unsealed_entries
from audit.sealing.record_rows import key_records, segment_record
from audit.sealing.seal import rotate_signing_key, seal_entries, seal_missed_entries
from audit.sealing.seal_lock import sealing_lock
from audit.sealing.signed_segments import last_segment
from audit.sealing.stored_tree import stored_tree
from audit.sealing.unsealed_entries import find_low_water
from tests.support.audit.entries import (
    CIPHER,
    START,
    after_start,
    append_test_entries,
    count_unsealed_entries,
    sealed_ids,
    write_history,
)
from tests.support.threads import in_threads

pytestmark = pytest.mark.concurrent

SEED = 20261125


def test_new_entries_become_a_segment(database: None) -> None:
    append_test_entries("event:a", "event:b", "event:a")
    assert seal_entries(CIPHER, after_start(1)) == 1
    assert seal_entries(CIPHER, after_start(2)) == 1, "the entry that says that a key began"
    assert seal_entries(CIPHER, after_start(3)) == 0
    first, second = Segment.objects.order_by("number")
    entries = list(Entry.objects.order_by("id"))
    assert sealed_ids() == [entry.pk for entry in entries]
    assert (first.number, first.count, second.number, second.count) == (1, 3, 2, 1)
    assert bytes(first.prev_hash) == ZERO_HASH
    assert (
        bytes(second.prev_hash)
        == bytes(first.hash)
        == segment_hash(signed_text("segment", segment_record(first)))
    )
    assert bytes(first.leaves) == b"".join(bytes(entry.leaf or b"") for entry in entries[:3])
    assert bytes(first.root) == merkle_root([bytes(entry.leaf or b"") for entry in entries[:3]])
    key = SigningKey.objects.get()
    assert has_valid_signature("segment", segment_record(first), bytes(key.public))
    assert (first.sealed_at, first.key_id, first.is_late) == (after_start(1), key.key, False)


def test_a_segment_has_a_maximum_size_and_the_rest_follows_at_once(
    database: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in ("unsealed_entries", "seal"):
        monkeypatch.setattr(f"audit.sealing.{module}.MAX_SEGMENT_ENTRIES", 10)
    append_test_entries(*["event:a"] * 35)
    assert seal_entries(CIPHER, after_start(1)) == 4
    assert list(Segment.objects.order_by("number").values_list("count", flat=True)) == [10, 10, 10, 6]
    assert count_unsealed_entries() == 0


@pytest.fixture
def backlog(database: None, monkeypatch: pytest.MonkeyPatch) -> list[bytes]:
    """Eighty entries, two a segment. The ids of each segment that is read, as they are read."""
    for module in ("unsealed_entries", "seal"):
        monkeypatch.setattr(f"audit.sealing.{module}.MAX_SEGMENT_ENTRIES", 2)
    append_test_entries(*["event:a"] * 80)
    read: list[bytes] = []
    unpack_ids = unsealed_entries.unpack_ids
    monkeypatch.setattr(
        unsealed_entries, "unpack_ids", lambda packed: (read.append(packed), unpack_ids(packed))[1]
    )
    return read


@pytest.mark.submission
def test_the_cost_of_a_long_backlog_is_linear(backlog: list[bytes]) -> None:
    """On SQLite each run of the sealer blocks every writer."""
    segments = seal_entries(CIPHER, after_start(1))
    assert (segments, count_unsealed_entries()) == (41, 0)
    assert len(backlog) <= segments


@pytest.mark.parametrize("last", [(1, b"\x01" * 32), (99, b"\x01" * 32)])
def test_cached_segments_of_another_log_are_not_used(database: None, last: tuple[int, bytes]) -> None:
    append_test_entries("event:a")
    seal_entries(CIPHER, after_start(1))
    known, newest = unsealed_entries._segment_cache, Segment.objects.latest("number")
    assert known.sealed_after(0).largest_id == newest.highest_id
    known.ids.add_ids([10**6])
    assert known.sealed_after(0).largest_id == 10**6, "what is still there is not read again"
    known.last = last
    assert known.sealed_after(0).largest_id == newest.highest_id


def test_ids_older_than_the_cached_segments_are_found_too(database: None) -> None:
    append_test_entries("event:a")
    seal_entries(CIPHER, after_start(1))
    seal_entries(CIPHER, after_start(2))
    first, second = (unpack_ids(bytes(segment.ids)) for segment in Segment.objects.order_by("number"))
    known = unsealed_entries._SegmentCache()
    assert (second[0] in known.sealed_after(1), first[0] in known.sealed_after(1)) == (True, False)
    assert (second[0] in known.sealed_after(0), first[0] in known.sealed_after(0)) == (True, True)


def test_silence_is_sealed_each_minute(database: None) -> None:
    seal_entries(CIPHER, START)
    seal_entries(CIPHER, after_start(1))
    sealed = [seal_entries(CIPHER, after_start(1 + seconds)) for seconds in (30, 59, 60, 61, 119, 120)]
    assert sealed == [0, 0, 1, 0, 0, 1]
    assert Segment.objects.get(number=3).count == 0
    assert bytes(Segment.objects.get(number=3).root) == merkle_root([])


def test_times_of_segments_never_decrease(database: None) -> None:
    seal_entries(CIPHER, after_start(100))
    for seconds in (50, 20):
        append_test_entries("event:a")
        seal_entries(CIPHER, after_start(seconds))
        rotate_signing_key(CIPHER, after_start(seconds))
    append_test_entries("event:a")
    seal_entries(CIPHER, after_start(10))
    times = list(Segment.objects.order_by("number").values_list("sealed_at", flat=True))
    assert times == sorted(times)
    for segment in Segment.objects.all():
        key = SigningKey.objects.get(key=segment.key_id)
        assert key.valid_from <= segment.sealed_at
        assert key.valid_until is None or segment.sealed_at < key.valid_until


@pytest.mark.submission
def test_the_stored_nodes_are_those_of_the_tree_over_all_segments(database: None) -> None:
    write_history(Random(SEED), segments=21, most=2)
    hashes = [
        bytes(segment_hash)
        for segment_hash in Segment.objects.order_by("number").values_list("hash", flat=True)
    ]
    for size in range(1, len(hashes) + 1):
        assert tree_root(stored_tree(), size) == tree_root(subtree_hash_of(hashes), size)


def test_a_new_key_is_signed_by_the_old_one_whose_secret_is_destroyed(database: None) -> None:
    seal_entries(CIPHER, START)
    rotate_signing_key(CIPHER, after_start(10))
    append_test_entries("event:a")
    seal_entries(CIPHER, after_start(11))
    first, second = key_records()
    assert has_valid_signature("key", first, bytes.fromhex(first["public"]))
    assert has_valid_signature("key", second, bytes.fromhex(first["public"]))
    assert not has_valid_signature("key", second, bytes.fromhex(second["public"]))
    assert second["prev"] == first["key"]
    old, new = SigningKey.objects.order_by("number")
    assert old.private is None
    assert old.valid_until == new.valid_from == after_start(10)
    assert CIPHER.decrypt(bytes(new.private or b"")) not in bytes(new.private or b"")
    assert Segment.objects.latest("number").key_id == new.key
    began = Entry.objects.filter(action="signing-key.begun").order_by("id")
    assert [entry.stream for entry in began] == ["setting:signing-key"] * 2
    assert second["signature"] in began[1].body


def test_the_sealer_rotates_an_old_key(database: None) -> None:
    for hours in (0, 23, 24, 25, 47, 49):
        append_test_entries("event:a")
        seal_entries(CIPHER, after_start(hours * 3600), key_days=1)
    begun = SigningKey.objects.order_by("number").values_list("valid_from", flat=True)
    assert list(begun) == [START, after_start(24 * 3600), after_start(49 * 3600)]
    append_test_entries("event:a")
    seal_entries(CIPHER, after_start(1000 * 3600), key_days=0)
    assert SigningKey.objects.count() == 3


def test_many_sealers_at_once_seal_everything_once(database: None) -> None:
    append_test_entries(*[f"event:{number}" for number in range(200)])
    in_threads(lambda number: [seal_entries(CIPHER, after_start(1)) for _ in range(3)], 4)
    seal_entries(CIPHER, after_start(1))
    assert count_unsealed_entries() == 0
    assert len(sealed_ids()) == len(set(sealed_ids())) == Entry.objects.count()
    numbers = list(Segment.objects.order_by("number").values_list("number", flat=True))
    assert numbers == list(range(1, len(numbers) + 1))


@pytest.mark.writers_at_once
def test_a_second_sealer_does_not_wait(database: None) -> None:
    append_test_entries("event:a")
    with sealing_lock() as is_ours:
        assert is_ours
        assert in_threads(lambda _: seal_entries(CIPHER, START), 1) == [0]
    assert seal_entries(CIPHER, START) > 0


def late_commit(stream: str, between: Callable[[], None]) -> None:
    """Append an entry whose transaction commits after the body of the context."""
    begun, go_on = threading.Event(), threading.Event()

    def hold() -> None:
        try:
            with transaction.atomic():
                append_entries(NewEntry(stream, "test.late"), at=START)
                begun.set()
                go_on.wait(60)
        finally:
            connection.close()

    thread = threading.Thread(target=hold)
    thread.start()
    assert begun.wait(60)
    between()
    go_on.set()
    thread.join()


@pytest.mark.writers_at_once
def test_a_late_commit_is_found_after_hours_without_sealing(database: None) -> None:
    """Low water does not move by the clock, only by a later run of the sealer."""

    def others_are_sealed() -> None:
        append_test_entries("event:b")
        seal_entries(CIPHER, START)
        seal_entries(CIPHER, START)

    late_commit("event:a", others_are_sealed)
    assert count_unsealed_entries() == 1
    seal_entries(CIPHER, START + timedelta(hours=5))
    assert count_unsealed_entries() == 0
    assert not Segment.objects.filter(is_late=True).exists()


@pytest.mark.writers_at_once
def test_entries_after_low_water_are_found_by_the_nightly_check(database: None) -> None:
    def minutes_pass() -> None:
        append_test_entries("event:b")
        for seconds in range(0, 400, 60):
            seal_entries(CIPHER, after_start(seconds))

    late_commit("event:a", minutes_pass)
    seal_entries(CIPHER, after_start(401))
    assert count_unsealed_entries() == 1, "this commit took more than three minutes"
    assert seal_missed_entries(CIPHER, after_start(402)) == 1
    assert count_unsealed_entries() == 0
    late = Segment.objects.get(is_late=True)
    assert (late.count, late.number) == (1, last_segment().number)
    assert seal_missed_entries(CIPHER, after_start(403)) == 0


def append_below_low_water(monkeypatch: pytest.MonkeyPatch) -> None:
    """Append an entry far below low water that is in no segment."""
    with monkeypatch.context() as blind:
        blind.setattr(
            "audit.sealing.seal.load_unsealed", lambda last: unsealed_entries.load_unsealed(last)[1:]
        )
        append_test_entries("event:a", "event:b")
        for seconds in range(0, 400, 60):
            seal_entries(CIPHER, after_start(seconds))
    assert count_unsealed_entries() == 1


def check_while(happens: Callable[[], Any]) -> int:
    """Return the number of entries that the nightly check seals while `happens` runs during its read."""
    waiting = [happens]

    def once(execute: Any, sql: str, *rest: Any) -> Any:
        result = execute(sql, *rest)
        if waiting and 'FROM "audit_entry"' in sql:
            in_threads(lambda _: waiting.pop()(), 1)
        return result

    with connection.execute_wrapper(once):
        found = seal_missed_entries(CIPHER, after_start(402))
    assert not waiting
    return found


def test_the_nightly_check_does_not_move_low_water(database: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """It read nothing above low water: entries that were open meanwhile must still be looked for."""
    append_below_low_water(monkeypatch)
    append_test_entries("event:c")
    seal_entries(CIPHER, after_start(401))
    low = find_low_water(last_segment())
    assert seal_missed_entries(CIPHER, after_start(800)) == 1
    assert find_low_water(last_segment()) == low


def test_others_write_and_seal_during_the_nightly_check(
    database: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    append_below_low_water(monkeypatch)
    sealed: list[int] = []

    def go_on() -> None:
        append_test_entries("event:c")
        sealed.append(seal_entries(CIPHER, after_start(401)))

    assert check_while(go_on) == 1
    assert sealed == [1]
    assert count_unsealed_entries() == 0


def test_entries_sealed_by_another_check_meanwhile_are_not_sealed_twice(
    database: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    append_below_low_water(monkeypatch)
    assert check_while(lambda: seal_missed_entries(CIPHER, after_start(401))) == 0
    assert count_unsealed_entries() == 0
    assert len(sealed_ids()) == len(set(sealed_ids()))
    assert Segment.objects.filter(is_late=True).count() == 1


CHANGES = [
    "UPDATE audit_segment SET root = root",
    "DELETE FROM audit_segment",
    "UPDATE audit_signingkey SET valid_from = '2020-01-01 00:00:00+00:00'",
    "UPDATE audit_signingkey SET public = signature",
    "UPDATE audit_signingkey SET private = signature WHERE private IS NULL",
    "UPDATE audit_signingkey SET valid_until = NULL WHERE valid_until IS NOT NULL",
    "DELETE FROM audit_signingkey",
    *(
        ["TRUNCATE audit_segment", "TRUNCATE audit_signingkey", "TRUNCATE audit_checkpoint CASCADE"]
        if connection.vendor == "postgresql"
        else [
            "INSERT OR REPLACE INTO audit_segment SELECT * FROM audit_segment",
            "INSERT OR REPLACE INTO audit_signingkey SELECT * FROM audit_signingkey",
            "UPDATE OR REPLACE audit_segment SET number = 1",
        ]
    ),
]


@pytest.mark.promise("T18")
def test_the_database_refuses_to_change_segments(database: None) -> None:
    append_test_entries("event:a")
    seal_entries(CIPHER, START)
    rotate_signing_key(CIPHER, after_start(1))
    seal_entries(CIPHER, after_start(2))
    before = (list(Segment.objects.values()), list(SigningKey.objects.values()))
    for change in CHANGES:
        with pytest.raises(DatabaseError, match=r"insert-only|evidence"), connection.cursor() as cursor:
            cursor.execute(change)
    assert (list(Segment.objects.values()), list(SigningKey.objects.values())) == before
