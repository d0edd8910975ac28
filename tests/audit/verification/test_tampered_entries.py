"""An edit of any column of a stored entry is found by `verify_audit`, which names the entry."""

from collections.abc import Callable, Mapping
from random import Random
from typing import Any

import pytest
from django.db import connection, transaction

from audit.checks import segments as segment_checks
from audit.checks.findings import EntryRow, Faults, IntegrityFault
from audit.entries import append
from audit.format import entry_body as entry_format
from audit.format.hashes import leaf_hash
from audit.models import Entry
from audit.models import entry as entry_model
from audit.sealing.seal import seal_entries
from audit.verification.check_database import verify_database
from tests.support.audit.entries import CIPHER, after_start, append_test_entries, write_history
from tests.support.audit.triggers import disable_triggers

STREAM = "event:tampered"
SEALED = "its columns differ from the sealed entry"
SEALED_HASH = "its hash differs from the sealed one"
HASH = "its hash does not match its columns"
DETAILS = "its details are not the canonical JSON of an object"
# The new value of each column that the body has, in SQL that both databases understand.
EDITS: Mapping[str, str] = {
    "stream": "'event:other'",
    "at": "'2026-03-04 12:00:00.000001+00:00'",
    "action": "'test.undone'",
    "actor": "'person:1'",
    "details": """'{"n":7}'""",
    "stream_seq": "9",
    "prev_leaf": "leaf",
}
SMUGGLED = '{},"details":{}'
# Other spellings of details, and details that would add a field to the body or end it early.
FORGED_DETAILS = [
    *("", "[]", "1", "null", '"x"', "{ }", '{"b":1,"a":2}', '{"a":1,"a":1}', '{"a":1.0}', '{"a":"ä"}'),
    *('{"n":9007199254740992}', '{"a":' * 5_000, '{"a":' * 5_000 + "1" + "}" * 5_000, "{}}", SMUGGLED),
    *('{},"e":1', '{},"prev_leaf":"","stream":"event:x","stream_seq":1,"v":1}'),
]


@pytest.fixture
def target(database: None) -> Entry:
    """Return the middle one of three entries of a stream. All are sealed, among others."""
    write_history(Random(20261129), segments=3)
    append_test_entries(STREAM, STREAM, STREAM, at=after_start(183))
    seal_entries(CIPHER, after_start(244))
    assert verify_database().faults == ()
    return Entry.objects.get(stream=STREAM, stream_seq=2)


def found_faults(target: Entry, edit: Callable[[Entry], None]) -> list[str]:
    """Return the faults that are reported after an edit, with the problem alone if they name the entry."""
    with transaction.atomic():
        disable_triggers()
        edit(target)
        report = verify_database()
        transaction.set_rollback(True)
    named = f"entry {target.pk} ("
    return [fault.problem if fault.location.startswith(named) else str(fault) for fault in report.faults]


def edit_column(column: str, value: str) -> Callable[[Entry], None]:
    """Return an edit of one column, to a value in SQL."""

    def edit(target: Entry) -> None:
        with connection.cursor() as cursor:
            cursor.execute(f"UPDATE audit_entry SET {column} = {value} WHERE id = {target.pk}")

    return edit


def with_new_leaf(edit: Callable[[Entry], None]) -> Callable[[Entry], None]:
    """Return an edit that also recomputes the entry's hash."""

    def edit_and_hash(target: Entry) -> None:
        edit(target)
        Entry.objects.filter(pk=target.pk).update(leaf=leaf_hash(Entry.objects.get(pk=target.pk).body))

    return edit_and_hash


def test_each_column_has_an_edit() -> None:
    columns = {field.column for field in Entry._meta.concrete_fields}
    assert columns == EDITS.keys() | {"id", "leaf"}


@pytest.mark.parametrize("column", EDITS)
def test_an_edit_of_a_column_is_found(target: Entry, column: str) -> None:
    reported = found_faults(target, edit_column(column, EDITS[column]))
    assert [fault for fault in reported if not fault.startswith("stream ")] == [SEALED]


@pytest.mark.parametrize("column", EDITS)
def test_an_edit_of_a_column_and_the_hash_is_found(target: Entry, column: str) -> None:
    reported = found_faults(target, with_new_leaf(edit_column(column, EDITS[column])))
    assert reported[:2] == [SEALED, SEALED_HASH]


def test_an_edit_of_the_hash_is_found(target: Entry) -> None:
    reported = found_faults(target, edit_column("leaf", "prev_leaf"))
    assert reported == [SEALED_HASH, f"stream {STREAM} at 3: does not continue the entry before it"]


def test_an_edit_of_the_id_is_found(target: Entry) -> None:
    reported = found_faults(target, edit_column("id", "id + 1000"))
    assert reported == [f"entry {target.pk} in segment 4: is missing"]


@pytest.mark.parametrize("column", [*EDITS, "leaf"])
def test_an_edit_before_the_entry_is_sealed_is_found(database: None, column: str) -> None:
    append_test_entries(STREAM, STREAM, STREAM)
    unsealed = Entry.objects.get(stream=STREAM, stream_seq=2)
    assert HASH in found_faults(unsealed, edit_column(column, EDITS.get(column, "prev_leaf")))


# PostgreSQL refuses values of another type.
@pytest.mark.only_sqlite
@pytest.mark.parametrize("value", ["'x'", "x'00'", "1.5"])
@pytest.mark.parametrize(
    "column", ["stream", "action", "actor", "details", "stream_seq", "prev_leaf", "leaf"]
)
def test_a_value_of_another_type_is_found(target: Entry, column: str, value: str) -> None:
    expected = SEALED_HASH if column == "leaf" else SEALED
    assert expected in found_faults(target, edit_column(column, value))


# PostgreSQL refuses values of another type.
@pytest.mark.only_sqlite
@pytest.mark.parametrize("column", ["stream", "action", "actor", "stream_seq", "prev_leaf"])
def test_a_hash_of_another_type_matches_no_entry_without_body(database: None, column: str) -> None:
    append_test_entries(STREAM)

    def edit(target: Entry) -> None:
        edit_column(column, "'x'" if column == "prev_leaf" else "x'00'")(target)
        edit_column("leaf", "'x'")(target)

    assert HASH in found_faults(Entry.objects.get(), edit)


@pytest.mark.parametrize("text", FORGED_DETAILS, ids=range(len(FORGED_DETAILS)))
def test_details_of_another_form_are_found_even_with_their_hash(database: None, text: str) -> None:
    """Before an entry is sealed, only the form of its details tells that the hub did not write them."""
    append_test_entries(STREAM)

    def edit(target: Entry) -> None:
        Entry.objects.filter(pk=target.pk).update(details=text)
        if text.isascii():
            Entry.objects.filter(pk=target.pk).update(leaf=leaf_hash(Entry.objects.get(pk=target.pk).body))

    assert found_faults(Entry.objects.get(), edit)[-1] == DETAILS


# Broken variants: each overlooks edits that the tests above find.


def trust_stored_hash(row: EntryRow, sealed_leaf: bytes | None = None) -> Faults:
    """Compare the stored hash with the sealed one, and compute none."""
    if row.leaf != sealed_leaf:
        yield IntegrityFault(row.location, SEALED)


def ignore_stored_hash(row: EntryRow, sealed_leaf: bytes | None = None) -> Faults:
    """Compare the computed hash with the sealed one alone."""
    if leaf_hash(row.body or "") != sealed_leaf:
        yield IntegrityFault(row.location, SEALED)


@pytest.mark.parametrize(
    ("variant", "overlooked"), [(trust_stored_hash, set(EDITS)), (ignore_stored_hash, {"leaf"})]
)
def test_a_check_that_skips_a_hash_overlooks_edits(
    target: Entry, monkeypatch: pytest.MonkeyPatch, variant: Any, overlooked: set[str]
) -> None:
    monkeypatch.setattr(segment_checks, "check_entry", variant)
    edits = {**EDITS, "leaf": "prev_leaf"}
    assert overlooked == {
        column
        for column, value in edits.items()
        if not {SEALED, SEALED_HASH} & set(found_faults(target, edit_column(column, value)))
    }


@pytest.mark.parametrize("position", range(len(EDITS)), ids=EDITS)
def test_a_body_without_a_column_overlooks_its_edit(
    database: None, monkeypatch: pytest.MonkeyPatch, position: int
) -> None:
    """The order of the arguments is that of the columns."""
    column, fixed = [*EDITS][position], ("event:x", after_start(0), "x", "x", "{}", 1, bytes(32))[position]

    def entry_body(*values: Any) -> str:
        return entry_format.entry_body(*values[:position], fixed, *values[position + 1 :])

    for module in (append, entry_model):
        monkeypatch.setattr(module, "entry_body", entry_body)
    append_test_entries(STREAM, STREAM, STREAM)
    seal_entries(CIPHER, after_start(1))
    assert verify_database().faults == ()
    edited = Entry.objects.get(stream=STREAM, stream_seq=2)
    reported = found_faults(edited, edit_column(column, EDITS[column]))
    assert not {SEALED, SEALED_HASH} & set(reported)
