"""Each stream is a chain without gaps, with any number of concurrent appends."""

import contextlib
import threading
from collections.abc import Iterator, Mapping
from random import Random
from typing import Any

import pytest
from django.db import IntegrityError, OperationalError, connection, transaction

from audit.entries import append as entries_append
from audit.entries import stream_heads
from audit.entries.append import NewEntry, append_entries, prepare_append
from audit.entries.stream_heads import EMPTY_STREAM, StreamHead
from audit.models import Entry
from tests.support.audit.chain_faults import find_chain_faults
from tests.support.audit.triggers import disable_triggers
from tests.support.hub import EXAMPLE, Hub
from tests.support.threads import in_threads

pytestmark = pytest.mark.concurrent

SEED = 20261124


def write(*streams: str) -> None:
    with transaction.atomic():
        append_entries(*(NewEntry(stream, "test.happened") for stream in streams))


def test_entries_of_a_stream_follow_each_other(database: None) -> None:
    write("event:a", "delivery:1", "event:a")
    write("event:a")
    rows = Entry.objects.order_by("id").values_list("stream", "stream_seq")
    assert list(rows) == [("delivery:1", 1), ("event:a", 1), ("event:a", 2), ("event:a", 3)]
    assert find_chain_faults() == []


@pytest.mark.parametrize("forged", [2**53 - 2, 2**53, 2**63 - 1])
def test_a_stream_continues_after_a_forged_number(database: None, forged: int) -> None:
    write("event:a", "event:a")
    with transaction.atomic():
        disable_triggers()
        Entry.objects.filter(stream_seq=2).update(stream_seq=forged)
    for _ in range(3):
        write("event:a")
    assert list(Entry.objects.order_by("id").values_list("stream_seq", flat=True)) == [1, forged, 2, 3, 4]


@pytest.mark.only_postgresql
def test_a_stream_continues_after_an_entry_with_a_forged_id_and_number(database: None) -> None:
    """An INSERT that names an id far above those given, and a number just below it. SQLite refuses it."""
    write("event:a")
    forged = Entry.objects.get()
    forged.pk, forged.stream_seq = 2**62 - 1, 2**62 - 2
    forged.save(force_insert=True)
    for _ in range(3):
        write("event:a")
    numbers = Entry.objects.order_by("stream_seq").values_list("stream_seq", flat=True)
    assert list(numbers) == [1, 2, 3, 4, 2**62 - 2]


def test_webhooks_leave_complete_chains(hub: Hub) -> None:
    for number in range(3):
        hub.change_email(f"anna.chain{number}@example.com")
        assert hub.post_signed(EXAMPLE).status_code == 200
    hub.wait_until_quiet()
    assert Entry.objects.values("stream").distinct().count() > 6
    assert find_chain_faults() == []


def test_an_append_is_two_statements_whether_its_streams_are_new_or_old(
    database: None, django_assert_num_queries: Any
) -> None:
    savepoint = 2 if connection.vendor == "postgresql" else 0
    for _ in range(2):
        with transaction.atomic(), django_assert_num_queries(2 + savepoint):
            append_entries(
                NewEntry("event:a", "test.one"), NewEntry("event:b", "test.two"), NewEntry("event:a", "x")
            )
        write("event:a")
    assert find_chain_faults() == []


def test_an_append_that_is_rolled_back_leaves_no_gap(database: None) -> None:
    write("event:a")
    for stream in ("event:a", "event:new"):
        with transaction.atomic():
            append_entries(NewEntry(stream, "test.undone"))
            transaction.set_rollback(True)
        write(stream)
    assert list(Entry.objects.order_by("id").values_list("stream", "stream_seq")) == [
        ("event:a", 1),
        ("event:a", 2),
        ("event:new", 1),
    ]
    assert find_chain_faults() == []


def test_details_without_a_canonical_form_leave_no_gap_even_where_the_error_is_caught(
    database: None,
) -> None:
    write("event:a")
    with transaction.atomic():
        with contextlib.suppress(TypeError):
            append_entries(
                NewEntry("event:a", "test.one"), NewEntry("event:b", "test.two", details={"seconds": 0.5})
            )
        append_entries(NewEntry("event:a", "test.three"))
    assert list(Entry.objects.values_list("stream", "stream_seq")) == [("event:a", 1), ("event:a", 2)]
    assert find_chain_faults() == []


def test_a_known_stream_head_is_continued_while_it_is_current(database: None) -> None:
    def third(known: Mapping[str, StreamHead]) -> Mapping[str, StreamHead]:
        with transaction.atomic():
            entry = prepare_append(NewEntry("event:a", "test.happened"), heads=known)
            entry.insert_entries()
        return entry.heads

    once = third(third({"event:a": EMPTY_STREAM}))
    assert once["event:a"].seq == 2
    write("event:a")
    with pytest.raises(IntegrityError):
        third(once)
    assert Entry.objects.count() == 3
    assert find_chain_faults() == []


def test_more_streams_than_one_statement_takes(database: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stream_heads, "MAX_STREAMS", 7)
    monkeypatch.setattr("audit.entries.append.MAX_INSERT_ROWS", 5)
    for _ in range(2):
        write(*(f"event:{number}" for number in range(23)))
    assert Entry.objects.count() == 46
    assert find_chain_faults() == []


def crowd(number: int) -> int:
    """Appends to some of twelve streams, in any order; how many entries."""
    generator, written = Random(f"{SEED} {number}"), 0
    for _ in range(40):
        streams = [f"event:{generator.randrange(12)}" for _ in range(generator.randint(1, 8))]
        write(*streams)
        written += len(streams)
    return written


def test_appends_to_the_same_streams_at_once_neither_deadlock_nor_break_a_chain(database: None) -> None:
    print("seed", SEED)
    assert sum(in_threads(crowd)) == Entry.objects.count()
    assert find_chain_faults() == []


def test_appends_after_a_collision_follow_the_order_of_streams_too(database: None) -> None:
    """A transaction that waits for one stream must hold none that another one waits for."""
    write("event:a", "delivery:b")
    known = stream_heads.load_stream_heads({"event:a", "delivery:b"})
    new_entries = [
        NewEntry("event:a", "second"),
        NewEntry("delivery:b", "second"),
        NewEntry("event:a", "third"),
    ]
    with transaction.atomic():
        prepare_append(*new_entries, heads=known).insert_entries()
    rows = Entry.objects.order_by("pk").values_list("stream", "action")[2:]
    assert list(rows) == [("delivery:b", "second"), ("event:a", "second"), ("event:a", "third")]
    assert find_chain_faults() == []


@pytest.mark.writers_at_once
def test_a_collision_does_not_undo_earlier_writes_of_the_transaction(
    database: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All four have read the same end of the stream before one of them appends to it."""
    met, calls = threading.Barrier(4), threading.local()
    entry_columns = entries_append._entry_columns

    def meet(*arguments: Any) -> Any:
        calls.number = getattr(calls, "number", 0) + 1
        if calls.number == 2:
            met.wait(60)
        return entry_columns(*arguments)

    monkeypatch.setattr(entries_append, "_entry_columns", meet)

    def twice(number: int) -> None:
        with transaction.atomic():
            append_entries(NewEntry(f"delivery:{number}", "test.first"))
            append_entries(NewEntry("event:a", "test.second"))

    in_threads(twice, 4)
    assert Entry.objects.filter(action="test.first").count() == 4
    assert Entry.objects.filter(action="test.second").count() == 4
    assert find_chain_faults() == []


@pytest.fixture
def held(database: None) -> Iterator[None]:
    """Another transaction has appended to `event:held` and is not over."""
    write("event:held", "event:free")
    begun, over = threading.Event(), threading.Event()

    def hold() -> None:
        try:
            with transaction.atomic():
                append_entries(NewEntry("event:held", "test.happened"))
                begun.set()
                over.wait(60)
        finally:
            connection.close()

    thread = threading.Thread(target=hold)
    thread.start()
    assert begun.wait(60)
    yield
    over.set()
    thread.join()
    assert find_chain_faults() == []


@pytest.mark.writers_at_once
@pytest.mark.usefixtures("held")
def test_an_append_waits_for_its_own_streams_only() -> None:
    with connection.cursor() as cursor:
        cursor.execute("SET lock_timeout = '300ms'")
    write("event:free", "event:new")
    try:
        with pytest.raises(OperationalError, match="lock timeout"):
            write("event:held")
    finally:
        with connection.cursor() as cursor:  # the connection goes back to the pool, and to other tests
            cursor.execute("RESET lock_timeout")


@pytest.mark.submission_rows(2)
@pytest.mark.parametrize("column", ["stream_seq", "prev_leaf", "leaf"])
def test_an_entry_without_its_place_in_the_chain_is_refused(database: None, column: str) -> None:
    write("event:a")
    entry = Entry.objects.get()
    entry.pk, entry.stream_seq = None, 2
    setattr(entry, column, None)
    with pytest.raises(IntegrityError), transaction.atomic():
        entry.save(force_insert=True)
    assert find_chain_faults() == []
