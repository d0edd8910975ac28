"""A column with a value that the hub does not write, or cannot read, is a fault of its row, and ends no check."""

from collections.abc import Callable
from random import Random

import pytest
from django.db import connection, transaction

from audit.models import Checkpoint, Entry, Segment
from audit.retention.prune_entries import announce_pruning, prune_announced_entries
from audit.sealing.checkpoints import make_checkpoint
from audit.sealing.seal import seal_entries
from audit.sealing.status import sealing_status
from audit.verification.check_database import verify_database
from audit.verification.database_rows import entry_row
from tests.support.audit.entries import CIPHER, after_start, append_test_entries, write_history
from tests.support.audit.triggers import disable_triggers

STREAM = "event:damaged"
SEALED = "its columns differ from the sealed entry"
HASH = "its hash does not match its columns"
is_sqlite = connection.vendor == "sqlite"

# Times that are none, and one that Python does not have.
TIMES = (
    ["'x'", "5", "x'00'", "'0001-01-01 00:00:00+23:00'", "CAST(x'ff' AS TEXT)"]
    if is_sqlite
    else ["'infinity'", "'0044-03-15 12:00:00+00 BC'", "'20260-01-01 00:00:00+00'"]
)
# Of another type than bytes. As a size, the number would take a terabyte.
NO_BYTES = ["'x'", "1099511627776", "CAST(x'ff' AS TEXT)"]
NO_NUMBERS = ["'x'", "1.5", "9007199254740993"]


@pytest.fixture
def target(database: None) -> Entry:
    """Return the middle one of three entries of a stream. All are sealed, among others, and have a checkpoint."""
    write_history(Random(20261129), segments=6)
    append_test_entries(STREAM, STREAM, STREAM, at=after_start(367))
    seal_entries(CIPHER, after_start(430))
    make_checkpoint(CIPHER, after_start(431))
    assert verify_database().faults == ()
    return Entry.objects.get(stream=STREAM, stream_seq=2)


def faults_after(*statements: str) -> list[str]:
    """Return the faults that a check finds after changes by the owner of the database; undoes them."""
    with transaction.atomic():
        disable_triggers()
        change(*statements)
        report = verify_database()
        transaction.set_rollback(True)
    return [str(fault) for fault in report.faults]


def change(*statements: str) -> None:
    """Execute statements; on SQLite without CHECKs, as somebody can who may write to the file."""
    unchecked = ["PRAGMA ignore_check_constraints = ON"] * is_sqlite
    checked = ["PRAGMA ignore_check_constraints = OFF"] * is_sqlite
    with connection.cursor() as cursor:
        for statement in [*unchecked, *statements, *checked]:
            cursor.execute(statement)


def test_an_invalid_time_is_a_fault_of_its_entry_sealed_or_not(target: Entry) -> None:
    append_test_entries("event:new", "event:other")
    new = Entry.objects.get(stream="event:new").pk
    for value in TIMES:
        found = faults_after(f"UPDATE audit_entry SET at = {value} WHERE id = {target.pk}")
        assert found == [f"entry {target.pk} ({STREAM} 2): {SEALED}"]
        found = faults_after(f"UPDATE audit_entry SET at = {value} WHERE id = {new}")
        assert found == [f"entry {new} (event:new 1): {HASH}"]


def test_an_entry_without_a_time_has_no_body() -> None:
    assert (
        entry_row(Entry(id=1, stream=STREAM, stream_seq=1, details="{}", prev_leaf=b"", leaf=b"")).body
        is None
    )


# PostgreSQL refuses values of another type.
@pytest.mark.submission
@pytest.mark.only_sqlite
def test_a_value_that_cannot_be_read_is_a_fault_of_its_entry(target: Entry) -> None:
    values = dict.fromkeys(("leaf", "prev_leaf"), NO_BYTES)
    values |= dict.fromkeys(("stream", "action", "actor", "details", "stream_seq"), NO_BYTES[-1:])
    for column, others in values.items():
        for value in others:
            found = faults_after(f"UPDATE audit_entry SET {column} = {value} WHERE id = {target.pk}")
            assert any(fault.startswith(f"entry {target.pk} (") for fault in found), (column, value, found)


# PostgreSQL refuses values of another type.
@pytest.mark.only_sqlite
def test_two_places_that_are_no_numbers_are_a_fault(target: Entry) -> None:
    found = faults_after(
        f"UPDATE audit_entry SET stream_seq = 'x' WHERE id = {target.pk}",
        f"UPDATE audit_entry SET stream_seq = 'y' WHERE id = {target.pk + 1}",
    )
    assert f"stream {STREAM} at y: does not follow 0" in found


BYTES_OF = {
    "audit_segment": ("prev_hash", "ids", "leaves", "root", "signature", "hash", "nodes"),
    "audit_checkpoint": ("root", "head", "signature"),
    "audit_signingkey": ("public", "signature"),
}
TIMES_OF = {
    "audit_segment": ("sealed_at",),
    "audit_checkpoint": ("at",),
    "audit_signingkey": ("valid_from", "valid_until"),
}
NUMBERS_OF = {
    "audit_segment": ("number", "count", "highest_id"),
    "audit_checkpoint": ("count",),
    "audit_signingkey": ("number",),
}
# The row to be damaged: where it is, and what a fault calls it.
ROWS = {
    "audit_segment": ("number = 3", "segment 3"),
    "audit_checkpoint": ("count = 7", "checkpoint 7"),
    "audit_signingkey": ("number = 2", "key 2"),
}


@pytest.mark.submission
@pytest.mark.parametrize("table", ROWS)
def test_a_value_of_another_type_is_a_fault_that_names_row_and_column(target: Entry, table: str) -> None:
    where, name = ROWS[table]
    values = dict.fromkeys(TIMES_OF[table], TIMES)
    values |= dict.fromkeys(BYTES_OF[table], NO_BYTES) if is_sqlite else {}
    for column, others in values.items():
        for value in others:
            found = faults_after(f"UPDATE {table} SET {column} = {value} WHERE {where}")
            if column == "valid_until" and "has an invalid value" not in " ".join(found):
                # Django reads it as no end.
                assert "key 3: does not start where the key before it ends" in found
            else:
                assert f"{name}: has an invalid value in: {column}" in found, value
    for column in NUMBERS_OF[table] if is_sqlite else ():  # PostgreSQL refuses values of another type
        for value in NO_NUMBERS:
            found = faults_after(f"UPDATE {table} SET {column} = {value} WHERE {where}")
            # One that could be the id of an entry is compared with the ids of the segment.
            texts = (f"has an invalid value in: {column}", f"but its column says {value}")
            assert any(text in fault for fault in found for text in texts), found


# SQLite cannot remove a constraint.
@pytest.mark.only_postgresql
def test_a_missing_value_is_a_fault(target: Entry) -> None:
    columns = {
        "audit_entry": ("stream", "at", "action", "actor", "details", "stream_seq", "prev_leaf", "leaf"),
        "audit_segment": ("prev_hash", "ids", "leaves", "sealed_at", "is_late", "hash"),
        "audit_checkpoint": ("root", "at", "key_id"),
        "audit_signingkey": ("public", "valid_from", "key"),
    }
    for table, names in columns.items():
        where, name = ROWS.get(table, (f"id = {target.pk}", f"entry {target.pk} ("))
        for column in names:
            found = faults_after(
                f"ALTER TABLE {table} ALTER COLUMN {column} DROP NOT NULL",
                f"UPDATE {table} SET {column} = NULL WHERE {where}",
            )
            assert any(fault.startswith(name) for fault in found), (column, found)


@pytest.mark.submission
def test_a_public_key_of_another_size_is_a_fault(target: Entry) -> None:
    for content in ("", "00"):
        value = f"x'{content}'" if is_sqlite else f"'\\x{content}'::bytea"
        found = faults_after(f"UPDATE audit_signingkey SET public = {value} WHERE number = 2")
        assert "key 2: does not follow the key before it" in found


@pytest.mark.submission
def test_ids_above_those_of_a_database_are_a_fault(target: Entry) -> None:
    packed = "ff" * 8 + "7f" + "ff" * 8 + "7f"
    value = f"x'{packed}'" if is_sqlite else f"'\\x{packed}'::bytea"
    found = faults_after(f"UPDATE audit_segment SET ids = {value} WHERE number = 3")
    assert any(fault.startswith("segment 3: ") for fault in found), found


@pytest.mark.nightly
def test_damage_of_a_pruned_log_is_a_fault(target: Entry) -> None:
    prune()
    for details in (
        '{"segment":"x","hash":"","sealed_at":"","up_to":"","days":1}',
        '{"segment":1,"hash":"","sealed_at":"","up_to":"","days":"x"}',
        '{"segment":1,"hash":"","sealed_at":"","up_to":"","days":999999999999}',
        '{"segment":1,"hash":7,"sealed_at":8,"up_to":"","days":1}',
    ):
        found = faults_after(f"UPDATE audit_entry SET details = '{details}' WHERE action = 'audit.pruned'")
        assert any(SEALED in fault for fault in found), found
    for statement in (
        *(f"UPDATE audit_entry SET at = {value} WHERE action = 'audit.pruned'" for value in TIMES),
        *(f"UPDATE audit_segment SET sealed_at = {value} WHERE number = 3" for value in TIMES),
        *(f"UPDATE audit_segment SET sealed_at = {value} WHERE number = 4" for value in TIMES),
        *(f"UPDATE audit_stub SET leaf = {value}" for value in NO_BYTES if is_sqlite),
        *(f"UPDATE audit_stub SET seq = {value}" for value in NO_NUMBERS if is_sqlite),
        *(f"UPDATE audit_stub SET segment = {value}" for value in NO_NUMBERS if is_sqlite),
        "DELETE FROM audit_segment WHERE number = 1",
    ):
        assert faults_after(statement) != [], statement


def prune() -> None:
    with transaction.atomic():
        assert announce_pruning(1, after_start(86_400 + 200))
    seal_entries(CIPHER, after_start(86_400 + 201))
    while not prune_announced_entries()[1]:
        pass
    assert verify_database().faults == ()


def in_rolled_back(then: Callable[[], None], *statements: str) -> None:
    with transaction.atomic():
        disable_triggers()
        change(*statements)
        then()
        transaction.set_rollback(True)


@pytest.mark.submission
@pytest.mark.parametrize("edit", [f"at = {TIMES[0]}", f"at = {TIMES[-1]}", *["leaf = 'x'"] * is_sqlite])
def test_the_sealer_seals_past_a_damaged_entry(target: Entry, edit: str) -> None:
    append_test_entries("event:new", "event:other", at=after_start(432))
    new = Entry.objects.get(stream="event:new").pk

    def seal_and_verify() -> None:
        assert seal_entries(CIPHER, after_start(433)) == 1
        assert any(str(fault).startswith(f"entry {new} (") for fault in verify_database().faults)
        append_test_entries("event:other", at=after_start(434))
        assert seal_entries(CIPHER, after_start(435)) == 1
        assert Segment.objects.count() == 9

    in_rolled_back(seal_and_verify, f"UPDATE audit_entry SET {edit} WHERE id = {new}")


@pytest.mark.submission
def test_the_status_still_says_that_entries_wait(target: Entry) -> None:
    append_test_entries("event:new", at=after_start(432))

    def waits() -> None:
        since = sealing_status().unsealed_since
        assert since is not None
        assert since <= after_start(432)

    for value in TIMES:
        in_rolled_back(waits, f"UPDATE audit_entry SET at = {value} WHERE stream = 'event:new'")
        in_rolled_back(waits, f"UPDATE audit_segment SET sealed_at = {value} WHERE number = 7")
    for column in ("hash", "number", "highest_id") if is_sqlite else ():
        in_rolled_back(waits, f"UPDATE audit_segment SET {column} = 'x' WHERE number = 7")
    assert Checkpoint.objects.count() == 1
