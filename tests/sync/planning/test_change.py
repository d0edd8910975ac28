"""The plan: the changes that lead from the current record to the mapped one."""

from typing import Any

import pytest

from connectors.contracts.types import Record
from sync.planning.change import ChangeAction, FieldChange, plan_deleted_entity, plan_existing_entity

pytestmark = pytest.mark.pure

NONE: frozenset[str] = frozenset()


@pytest.mark.parametrize(
    ("before", "after", "caseless", "differs"),
    [
        ("a@example.com", "b@example.com", False, True),
        ("A@Example.com", "a@example.com", True, False),
        ("a", "a ", True, True),
        (None, "", False, True),
        (1, 1.0, False, False),
        (1, True, False, True),
        (False, None, False, True),
        (["a", "b"], ["b", "a"], False, True),
        ([0], [False], False, True),
        ({"a": [1, {"b": None}]}, {"a": [1, {"b": None}]}, False, False),
        ({"a": None}, {}, False, True),
    ],
)
def test_a_field_is_changed_only_where_its_value_differs(
    before: Any, after: Any, caseless: bool, differs: bool
) -> None:
    names = frozenset({"field"}) if caseless else NONE
    change = plan_existing_entity({"field": after}, Record("7", {"field": before}), names)
    assert change.action is (ChangeAction.UPDATE if differs else ChangeAction.NOTHING)
    assert change.fields == ((FieldChange("field", before, after),) if differs else ())
    assert change.unchanged_fields == (() if differs else (("field", after),))


def test_an_update_names_only_the_fields_that_differ_and_keeps_the_others_for_support() -> None:
    record = Record("7", {"email": "old@example.com", "name": "Anna", "points": 12})
    change = plan_existing_entity({"email": "new@example.com", "name": "Anna"}, record, NONE)
    assert change.values_to_send == {"email": "new@example.com"}
    assert change.to_document() == {
        "action": "update",
        "record": "7",
        "fields": [{"name": "email", "before": "old@example.com", "after": "new@example.com"}],
        "same": {"name": "Anna"},
    }


def test_a_field_that_the_record_lacks_counts_as_empty() -> None:
    assert plan_existing_entity({"phone": None}, Record("7", {}), NONE).action is ChangeAction.NOTHING
    assert plan_existing_entity({"phone": "1"}, Record("7", {}), NONE).values_to_send == {"phone": "1"}


def test_an_entity_without_a_record_has_one_created_with_every_field() -> None:
    change = plan_existing_entity({"email": "a@example.com", "phone": None}, None, NONE)
    assert (change.action, change.record_id) == (ChangeAction.CREATE, None)
    assert change.values_to_send == {"email": "a@example.com", "phone": None}
    assert all(field.before is None for field in change.fields)


@pytest.mark.parametrize(
    ("record", "deactivation", "deletes", "action", "values"),
    [
        (None, {"active": False}, False, ChangeAction.NOTHING, {}),
        ({"active": True}, {"active": False}, False, ChangeAction.UPDATE, {"active": False}),
        ({"active": False}, {"active": False}, False, ChangeAction.NOTHING, {}),
        ({}, {"active": False}, False, ChangeAction.UPDATE, {"active": False}),
        ({"active": True}, None, False, ChangeAction.NOTHING, {}),
        ({"active": True}, {"active": False}, True, ChangeAction.DELETE, {"active": None}),
    ],
)
def test_the_record_of_a_deleted_entity_follows_the_policy(
    record: dict[str, Any] | None,
    deactivation: dict[str, Any] | None,
    deletes: bool,
    action: ChangeAction,
    values: dict[str, Any],
) -> None:
    change = plan_deleted_entity(
        None if record is None else Record("7", record), deactivation, deletes=deletes
    )
    assert (change.action, change.values_to_send) == (action, values)
    assert change.record_id == (None if record is None else "7")
