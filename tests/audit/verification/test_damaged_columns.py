"""A column with a value that the hub does not write, or cannot read, is a fault of its row, and ends no check."""

from collections.abc import Callable
from io import StringIO
from random import Random

import pytest
from django.core.management import CommandError, call_command
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

pytestmark = pytest.mark.slow  # one test for each value of each column

STREAM = "event:damaged"
SEALED = "its columns differ from the sealed entry"
HASH = "its hash does not match its columns"
is_sqlite = connection.vendor == "sqlite"

# Times that are none, and one that Python does not have.
TIMES = (
    [
        "'x'",
        "5",
        "1.5",
        "''",
        "x'00'",
        "'2026-13-01 00:00:00'",
        "'0001-01-01 00:00:00+23:00'",
        "CAST(x'ff' AS TEXT)",
    ]
    if is_sqlite
    else ["'infinity'", "'-infinity'", "'0044-03-15 12:00:00+00 BC'", "'20260-01-01 00:00:00+00'"]
)
# Of another type than bytes. As a size, the number would take a terabyte.
NO_BYTES = ["'x'", "1099511627776", "1.5", "''", "CAST(x'ff' AS TEXT)"]
NO_NUMBERS = ["'x'", "1.5", "x'00'", "9007199254740993"]


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
    with connection.cursor() as cursor:
        for statement in statements:
            cursor.execute(statement)


@pytest.mark.parametrize("value", TIMES)
def test_an_invalid_time_is_a_fault_of_its_entry(target: Entry, value: str) -> None:
    found = faults_after(f"UPDATE audit_entry SET at = {value} WHERE id = {target.pk}")
    assert found == [f"entry {target.pk} ({STREAM} 2): {SEALED}"]


@pytest.mark.parametrize("value", TIMES)
def test_an_invalid_time_is_found_before_the_entry_is_sealed(target: Entry, value: str) -> None:
    append_test_entries("event:new", "event:other")
    new = Entry.objects.get(stream="event:new").pk
    found = faults_after(f"UPDATE audit_entry SET at = {value} WHERE id = {new}")
    assert found == [f"entry {new} (event:new 1): {HASH}"]


def test_an_entry_without_a_time_has_no_body() -> None:
    assert (
        entry_row(Entry(id=1, stream=STREAM, stream_seq=1, details="{}", prev_leaf=b"", leaf=b"")).body
        is None
    )


# PostgreSQL refuses values of another type.
@pytest.mark.only_sqlite
@pytest.mark.parametrize("column", ["leaf", "prev_leaf"])
def test_an_invalid_hash_is_a_fault_of_its_entry(target: Entry, column: str) -> None:
    for value in NO_BYTES:
        found = faults_after(f"UPDATE audit_entry SET {column} = {value} WHERE id = {target.pk}")
        assert any(fault.startswith(f"entry {target.pk} (") for fault in found), found


# PostgreSQL refuses values of another type.
@pytest.mark.only_sqlite
@pytest.mark.parametrize("column", ["stream", "action", "actor", "details", "stream_seq"])
def test_text_that_cannot_be_read_is_a_fault(target: Entry, column: str) -> None:
    found = faults_after(f"UPDATE audit_entry SET {column} = CAST(x'ff' AS TEXT) WHERE id = {target.pk}")
    assert any(fault.startswith(f"entry {target.pk} (") for fault in found), found


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


def columns_of(columns: dict[str, tuple[str, ...]], values: list[str]) -> list[tuple[str, str, list[str]]]:
    return [(table, name, values) for table, names in columns.items() for name in names]


def named(columns: dict[str, tuple[str, ...]], values: list[str]) -> list[tuple[str, str, str]]:
    return [(table, name, value) for table, names in columns.items() for name in names for value in values]


@pytest.mark.parametrize(
    ("table", "column", "values"),
    [*columns_of(TIMES_OF, TIMES), *(columns_of(BYTES_OF, NO_BYTES) if is_sqlite else [])],
)
def test_a_value_of_another_type_is_a_fault_that_names_row_and_column(
    target: Entry, table: str, column: str, values: list[str]
) -> None:
    where, name = ROWS[table]
    for value in values:
        found = faults_after(f"UPDATE {table} SET {column} = {value} WHERE {where}")
        if column == "valid_until" and "has an invalid value" not in " ".join(found):
            # Django reads it as no end.
            assert "key 3: does not start where the key before it ends" in found
        else:
            assert f"{name}: has an invalid value in: {column}" in found, value


# PostgreSQL refuses values of another type.
@pytest.mark.only_sqlite
@pytest.mark.parametrize(("table", "column", "value"), named(NUMBERS_OF, NO_NUMBERS))
def test_a_number_of_another_type_is_a_fault(target: Entry, table: str, column: str, value: str) -> None:
    where, _ = ROWS[table]
    found = faults_after(f"UPDATE {table} SET {column} = {value} WHERE {where}")
    assert any(f"has an invalid value in: {column}" in fault for fault in found), found


# SQLite cannot remove a constraint.
@pytest.mark.only_postgresql
@pytest.mark.parametrize(
    ("table", "column"),
    [
        *(("audit_entry", name) for name in ("stream", "at", "action", "actor", "details")),
        *(("audit_entry", name) for name in ("stream_seq", "prev_leaf", "leaf")),
        *(("audit_segment", name) for name in ("prev_hash", "ids", "leaves", "sealed_at", "is_late", "hash")),
        *(("audit_checkpoint", name) for name in ("root", "at", "key_id")),
        *(("audit_signingkey", name) for name in ("public", "valid_from", "key")),
    ],
)
def test_a_missing_value_is_a_fault(target: Entry, table: str, column: str) -> None:
    where, name = ROWS.get(table, (f"id = {target.pk}", f"entry {target.pk} ("))
    found = faults_after(
        f"ALTER TABLE {table} ALTER COLUMN {column} DROP NOT NULL",
        f"UPDATE {table} SET {column} = NULL WHERE {where}",
    )
    assert any(fault.startswith(name) for fault in found), found


@pytest.mark.parametrize("size", [0, 1])
def test_a_public_key_of_another_size_is_a_fault(target: Entry, size: int) -> None:
    value = f"x'{'00' * size}'" if is_sqlite else f"'\\x{'00' * size}'::bytea"
    found = faults_after(f"UPDATE audit_signingkey SET public = {value} WHERE number = 2")
    assert "key 2: does not follow the key before it" in found


def test_ids_above_those_of_a_database_are_a_fault(target: Entry) -> None:
    packed = "ff" * 8 + "7f" + "ff" * 8 + "7f"
    value = f"x'{packed}'" if is_sqlite else f"'\\x{packed}'::bytea"
    found = faults_after(f"UPDATE audit_segment SET ids = {value} WHERE number = 3")
    assert any(fault.startswith("segment 3: ") for fault in found), found


@pytest.mark.parametrize(
    "details",
    [
        '{"segment":"x","hash":"","sealed_at":"","up_to":"","days":1}',
        '{"segment":1,"hash":"","sealed_at":"","up_to":"","days":"x"}',
        '{"segment":1,"hash":"","sealed_at":"","up_to":"","days":999999999999}',
        '{"segment":1,"hash":7,"sealed_at":8,"up_to":"","days":1}',
    ],
)
def test_a_changed_announcement_of_deleted_entries_is_a_fault(target: Entry, details: str) -> None:
    prune()
    found = faults_after(f"UPDATE audit_entry SET details = '{details}' WHERE action = 'audit.pruned'")
    assert any(SEALED in fault for fault in found), found


@pytest.mark.parametrize(
    "statement",
    [
        *(f"UPDATE audit_entry SET at = {value} WHERE action = 'audit.pruned'" for value in TIMES),
        *(f"UPDATE audit_segment SET sealed_at = {value} WHERE number = 3" for value in TIMES),
        *(f"UPDATE audit_segment SET sealed_at = {value} WHERE number = 4" for value in TIMES),
        *(f"UPDATE audit_stub SET leaf = {value}" for value in NO_BYTES if is_sqlite),
        *(f"UPDATE audit_stub SET seq = {value}" for value in NO_NUMBERS if is_sqlite),
        *(f"UPDATE audit_stub SET segment = {value}" for value in NO_NUMBERS if is_sqlite),
        "DELETE FROM audit_segment WHERE number = 1",
    ],
)
def test_damage_of_a_pruned_log_is_a_fault(target: Entry, statement: str) -> None:
    prune()
    assert faults_after(statement) != []


def prune() -> None:
    with transaction.atomic():
        assert announce_pruning(1, after_start(86_400 + 200))
    seal_entries(CIPHER, after_start(86_400 + 201))
    while not prune_announced_entries()[1]:
        pass
    assert verify_database().faults == ()


def test_the_command_lists_the_fault_and_ends_with_one(target: Entry) -> None:
    output = StringIO()
    with transaction.atomic():
        disable_triggers()
        change(f"UPDATE audit_entry SET at = {TIMES[0]} WHERE id = {target.pk}")
        with pytest.raises(CommandError) as ended:
            call_command("verify_audit", "--log-only", stdout=output, stderr=output)
        transaction.set_rollback(True)
    assert ended.value.returncode == 1
    assert f"entry {target.pk} ({STREAM} 2): {SEALED}" in output.getvalue()


def in_rolled_back(then: Callable[[], None], *statements: str) -> None:
    with transaction.atomic():
        disable_triggers()
        change(*statements)
        then()
        transaction.set_rollback(True)


@pytest.mark.parametrize(
    "edit",
    [
        *(f"at = {value}" for value in TIMES),
        *(f"leaf = {value}" for value in NO_BYTES if is_sqlite and "CAST" not in value),
    ],
)
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


@pytest.mark.parametrize("value", TIMES)
def test_the_status_still_says_that_entries_wait(target: Entry, value: str) -> None:
    append_test_entries("event:new", at=after_start(432))

    def waits() -> None:
        since = sealing_status().unsealed_since
        assert since is not None
        assert since <= after_start(432)

    in_rolled_back(waits, f"UPDATE audit_entry SET at = {value} WHERE stream = 'event:new'")
    in_rolled_back(waits, f"UPDATE audit_segment SET sealed_at = {value} WHERE number = 7")
    if is_sqlite:
        for column in ("hash", "number", "highest_id"):
            in_rolled_back(waits, f"UPDATE audit_segment SET {column} = 'x' WHERE number = 7")
    assert Checkpoint.objects.count() == 1
