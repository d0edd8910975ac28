"""An edit of any column of a stored entry is found by `verify_audit`, which names the entry."""

from collections.abc import Callable, Mapping
from random import Random

import pytest
from django.db import connection, transaction

from audit.format.hashes import leaf_hash
from audit.models import Entry
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


def test_an_edit_of_a_column_is_found_with_and_without_the_hash(target: Entry) -> None:
    for column, value in EDITS.items():
        edit = edit_column(column, value)
        reported = found_faults(target, edit)
        assert [fault for fault in reported if not fault.startswith("stream ")] == [SEALED], column
        assert found_faults(target, with_new_leaf(edit))[:2] == [SEALED, SEALED_HASH], column


def test_an_edit_of_the_hash_is_found(target: Entry) -> None:
    reported = found_faults(target, edit_column("leaf", "prev_leaf"))
    assert reported == [SEALED_HASH, f"stream {STREAM} at 3: does not continue the entry before it"]


def test_an_edit_of_the_id_is_found(target: Entry) -> None:
    reported = found_faults(target, edit_column("id", "id + 1000"))
    missing = f"entry {target.pk} in segment 4: is missing"
    # PostgreSQL knows which ids it gave; SQLite counts on from the new one.
    not_given = (
        f"entry {target.pk + 1000} ({STREAM} {target.stream_seq}): has an id that the database did not give"
    )
    assert reported == ([missing] if connection.vendor == "sqlite" else [missing, not_given])


def test_an_edit_before_the_entry_is_sealed_is_found(database: None) -> None:
    append_test_entries(STREAM, STREAM, STREAM)
    unsealed = Entry.objects.get(stream=STREAM, stream_seq=2)
    for column in (*EDITS, "leaf"):
        assert HASH in found_faults(unsealed, edit_column(column, EDITS.get(column, "prev_leaf"))), column


# PostgreSQL refuses values of another type.
@pytest.mark.only_sqlite
def test_a_hash_of_another_type_matches_no_entry_without_body(database: None) -> None:
    append_test_entries(STREAM)
    for column in ("stream", "action", "actor", "stream_seq", "prev_leaf"):

        def edit(target: Entry, column: str = column) -> None:
            edit_column(column, "'x'" if column == "prev_leaf" else "x'00'")(target)
            edit_column("leaf", "'x'")(target)

        assert HASH in found_faults(Entry.objects.get(), edit), column


def test_details_of_another_form_are_found_even_with_their_hash(database: None) -> None:
    """Before an entry is sealed, only the form of its details tells that the hub did not write them."""
    append_test_entries(STREAM)
    for text in FORGED_DETAILS:

        def edit(target: Entry, text: str = text) -> None:
            Entry.objects.filter(pk=target.pk).update(details=text)
            if text.isascii():
                Entry.objects.filter(pk=target.pk).update(
                    leaf=leaf_hash(Entry.objects.get(pk=target.pk).body)
                )

        assert found_faults(Entry.objects.get(), edit)[-1] == DETAILS, text[:40]
