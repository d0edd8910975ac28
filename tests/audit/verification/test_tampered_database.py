"""Tampering with the database is found by `verify_audit`, with its place."""

from io import StringIO
from random import Random

import pytest
from django.core.management import CommandError, call_command
from django.db import connection, transaction

from audit.format.canonical_json import canonical_json
from audit.format.hashes import leaf_hash
from audit.verification.check_database import verify_database
from tests.support.audit.log_state import LogState, build_log
from tests.support.audit.log_tampering import (
    KINDS,
    Tamper,
    body_and_leaf,
    rewritten,
)
from tests.support.audit.stored_log import store_log
from tests.support.audit.triggers import disable_triggers

SEED = 20261130
HONEST = build_log(Random(SEED))


def faults(state: LogState, *, outside: bool = True) -> list[str]:
    """Return the faults that a check of this log finds; empties the tables afterwards."""
    with transaction.atomic():
        disable_triggers()
        store_log(state)
        report = verify_database(HONEST.checkpoint if outside else None)
        transaction.set_rollback(True)
    return [str(fault) for fault in report.faults]


def test_an_unchanged_log_passes(database: None) -> None:
    assert faults(HONEST) == []


@pytest.mark.promise("T18")
@pytest.mark.parametrize("places", [1, pytest.param(20, marks=pytest.mark.nightly)])
@pytest.mark.parametrize("tamper", KINDS, ids=lambda tamper: tamper.__name__)
def test_tampering_with_the_database_is_found(database: None, tamper: Tamper, places: int) -> None:
    print("seed", SEED)
    generator = Random(f"{SEED} {tamper.__name__}")
    for _ in range(places):
        state = HONEST.copy()
        words = tamper(state, generator)
        words |= {word.replace(" at ", " ") for word in words}
        reported = faults(state)
        assert any(word in fault for word in words for fault in reported), (words, reported)


def test_a_rewriting_with_the_right_keys_is_found_by_an_outside_checkpoint_alone(database: None) -> None:
    state = HONEST.copy()
    rewritten(state, Random(SEED))
    assert faults(state, outside=False) == []
    assert ["the outside checkpoint" in fault for fault in faults(state)] == [True]


COLUMNS = {
    "a stored node": "UPDATE audit_segment SET nodes = hash WHERE number = 3",
    "a highest id": "UPDATE audit_segment SET highest_id = highest_id + 1 WHERE number = 3",
    "hashes of a segment": "UPDATE audit_segment SET leaves = hash WHERE number = 3",
    "ids of a segment": "UPDATE audit_segment SET ids = hash WHERE number = 3",
    "lateness": "UPDATE audit_segment SET is_late = NOT is_late WHERE number = 3",
    "the time of a key": "UPDATE audit_signingkey SET valid_from = '2020-01-01 00:00:00+00:00' WHERE number = 2",
    "a secret that was kept": "UPDATE audit_signingkey SET private = public WHERE number = 1",
    "a key that ended": "UPDATE audit_signingkey SET valid_until = valid_from WHERE number = 3",
    "a missing key": "DELETE FROM audit_signingkey WHERE number = 3",
    "a checkpoint": "UPDATE audit_checkpoint SET root = head",
    "the head of a checkpoint": "UPDATE audit_checkpoint SET head = root",
    "a key that is not on record": "DELETE FROM audit_entry WHERE action = 'signing-key.begun'",
}


@pytest.mark.submission
def test_columns_of_other_tables_are_checked(database: None) -> None:
    overlooked = []
    with transaction.atomic():
        disable_triggers()
        store_log(HONEST)
        for what, statement in COLUMNS.items():
            with transaction.atomic():
                with connection.cursor() as cursor:
                    cursor.execute(statement)
                if not verify_database().faults:
                    overlooked.append(what)
                transaction.set_rollback(True)
        transaction.set_rollback(True)
    assert overlooked == []


def test_the_command_names_each_fault_and_exits_with_status_one(database: None) -> None:
    state, output = HONEST.copy(), StringIO()
    words = body_and_leaf(state, Random(SEED))
    with transaction.atomic():
        disable_triggers()
        store_log(state)
        with pytest.raises(CommandError, match="fault") as ended:
            call_command("verify_audit", stdout=output, stderr=output)
        transaction.set_rollback(True)
    assert ended.value.returncode == 1
    assert any(word in output.getvalue() for word in words)
    assert "Checked everything up to segment 8" in output.getvalue()


def test_an_inserted_old_entry_is_found_because_no_segment_contains_it(database: None) -> None:
    """Only its id distinguishes it from an entry that waits for the sealer, and the highest id is not enough."""
    gap = next(number for number in range(1, max(HONEST.bodies)) if number not in HONEST.bodies)
    state = HONEST.copy()
    body = {
        **state.read_body(min(state.bodies)),
        "stream": "event:new",
        "stream_seq": 1,
        "prev_leaf": "00" * 32,
    }
    state.bodies[gap] = canonical_json(body)
    state.leaves[gap] = leaf_hash(state.bodies[gap])
    reported = faults(state)
    assert reported == [f"entry {gap} (event:new 1): stands in no segment"]
