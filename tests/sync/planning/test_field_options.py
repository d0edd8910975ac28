"""Options of a field: written only at creation, not compared, kept or cleared without a value."""

from typing import Any

import pytest

from connectors.contracts.types import Record
from sync.planning.change import ChangeAction
from sync.planning.mapping_declaration import InvalidMapping, parse_mapping
from sync.planning.unkept_fields import WriteCount, count_writes, leave_out_unkept

pytestmark = pytest.mark.pure

FIELDS = {
    "email": {"path": "entity.email"},
    "origin": {"constant": "identity", "only_on_create": True},
    "password": {"path": "entity.secret", "not_compared": True},
}
ENTITY = {"email": "new@example.com", "secret": "s3"}


def _plan(record: Record | None, fields: Any = FIELDS, entity: Any = ENTITY) -> Any:
    mapping = parse_mapping({"fields": fields})
    return mapping.plan_record(mapping.map_entity(entity, {}), record)


def test_a_new_record_gets_every_field() -> None:
    assert _plan(None).values_to_send == {"email": "new@example.com", "origin": "identity", "password": "s3"}


def test_an_update_never_writes_creation_only_fields() -> None:
    change = _plan(Record("7", {"email": "old@example.com", "origin": "shop", "password": "s3"}))
    assert change.values_to_send == {"email": "new@example.com"}
    assert dict(change.unchanged_fields) == {"password": "s3"}


def test_uncompared_fields_are_sent_with_other_changes() -> None:
    change = _plan(Record("7", {"email": "old@example.com"}))
    assert change.values_to_send == {"email": "new@example.com", "password": "s3"}


def test_uncompared_fields_cause_no_change() -> None:
    change = _plan(Record("7", {"email": "new@example.com", "origin": "shop"}))
    assert (change.action, change.fields) == (ChangeAction.NOTHING, ())


def _digest(*difference: object) -> str:
    return repr(difference)


def test_fields_that_are_not_compared_never_count_as_unkept() -> None:
    change = _plan(Record("7", {"email": "old@example.com"}))
    counts = count_writes(change, {}, _digest, is_partial=False)
    assert set(counts) == {"email"}
    digests = [_digest(field.name, field.before, field.after) for field in change.fields]
    stuck = {"email": WriteCount(digests[0], 9), "password": WriteCount(digests[1], 9)}
    reduced = leave_out_unkept(change, stuck, _digest, 3)
    # The e-mail address is not kept, and nothing else causes an update.
    assert (reduced.action, reduced.fields) == (ChangeAction.NOTHING, ())
    assert [field.name for field in reduced.left_out_fields] == ["email"]


@pytest.mark.parametrize(
    ("option", "whole", "partial"),
    [
        ({}, {"phone": None}, {}),
        ({"when_absent": "keep"}, {}, {}),
        ({"when_absent": "clear"}, {"phone": None}, {"phone": None}),
    ],
)
def test_a_field_without_a_value_is_kept_or_cleared(option: Any, whole: Any, partial: Any) -> None:
    mapping = parse_mapping({"fields": {"phone": {"path": "entity.phone", **option}}})
    assert mapping.map_entity({}, {}) == whole
    assert mapping.map_partial_entity({"phone": None}, {}) == partial
    # What relayed data does not name is not known: it is kept in any case.
    assert mapping.map_partial_entity({"name": "A"}, {}) == {}


def test_an_empty_list_is_a_value() -> None:
    mapping = parse_mapping({"fields": {"tags": {"path": "entity.tags", "when_absent": "keep"}}})
    assert mapping.map_entity({"tags": []}, {}) == {"tags": []}


def test_a_required_field_cannot_keep_its_value_when_absent() -> None:
    mapping = parse_mapping({"fields": {"a": {"path": "entity.a", "when_absent": "keep", "required": True}}})
    with pytest.raises(Exception, match="required"):
        mapping.map_entity({}, {})


@pytest.mark.submission_rows(2)
@pytest.mark.parametrize(
    ("option", "place"),
    [
        ({"only_on_create": True, "not_compared": True}, "not_compared"),
        ({"when_absent": "drop"}, "when_absent"),
        ({"only_on_create": "yes"}, "only_on_create"),
    ],
)
def test_an_option_that_makes_no_sense_is_refused_by_name(option: Any, place: str) -> None:
    with pytest.raises(InvalidMapping, match=f"a.{place}"):
        parse_mapping({"fields": {"a": {"path": "entity.a", **option}}})
