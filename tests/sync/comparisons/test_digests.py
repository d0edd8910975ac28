"""Digests are equal exactly where planning would write nothing, field by field, and say nothing without their key."""

from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as some

from sync.comparisons.sides.digests import ComparedFields, find_webhook_fields
from sync.planning.change import values_equal
from sync.planning.mapping import ParsedMapping
from sync.planning.mapping_declaration import parse_mapping

pytestmark = pytest.mark.pure

KEY = b"k" * 32
_SCALARS = (
    some.none()
    | some.booleans()
    | some.integers(-3, 3)
    | some.sampled_from([0.0, -0.0, 1.0, 0.5, 2.0**53, 2**53, 2**53 + 1, 1e300, int(1e300), float("inf")])
    | some.sampled_from(["", "a", "A", "ß", "SS", "ı", "1", "null", "true", "\ud800"])
)
VALUES = some.recursive(
    _SCALARS,
    lambda inner: (
        some.lists(inner, max_size=3) | some.dictionaries(some.sampled_from("aAb"), inner, max_size=2)
    ),
    max_leaves=5,
)


def compared(**changed: Any) -> ComparedFields:
    values = {"key": KEY, "steady": ("a", "b"), "optional": ("c",), "caseless": frozenset("bc")}
    return ComparedFields(**(values | changed))  # type: ignore[arg-type]


def is_same(before: dict[str, Any], after: dict[str, Any], unkept: frozenset[str] = frozenset()) -> bool:
    """What planning says of the three fields."""
    names = {name for name in "abc" if name in after} - unkept
    return all(values_equal(before.get(name), after[name], name in "bc") for name in names)


@given(
    some.fixed_dictionaries(dict.fromkeys("abc", VALUES)),
    some.dictionaries(some.sampled_from("abc"), VALUES),
)
@example({"a": True, "b": "x", "c": None}, {"a": 1})
@example({"a": [1.0, {"b": -0.0}], "b": "ß", "c": "İ"}, {"a": [1, {"b": 0}], "b": "SS", "c": "i̇"})
@example({"a": "A", "b": "A", "c": "A"}, {"a": "a"})
def test_digests_are_equal_exactly_where_planning_writes_nothing(
    record: dict[str, Any], changed: dict[str, Any]
) -> None:
    fields, entity = compared(), record | changed
    assert fields.is_equal(fields.digest_record(record), entity) is is_same(record, entity)
    for absent in ("a", "b"):
        shorter = {name: value for name, value in record.items() if name != absent}
        assert fields.digest_record(shorter) == fields.digest_record(record | {absent: None})
    lacking = {name: value for name, value in entity.items() if name != "c"}
    assert fields.is_equal(fields.digest_record(record), lacking) is is_same(record, lacking)
    unkept = frozenset("ac")
    digests = fields.digest_record(record, unkept)
    assert fields.is_equal(digests, entity, unkept) is is_same(record, entity, unkept)


def test_digests_of_two_comparisons_say_nothing_about_each_other() -> None:
    fields, other = compared(), compared(key=b"o" * 32)
    assert fields.digest_record({"a": 1}) != other.digest_record({"a": 1})
    assert fields.digest_text("id", "X") == fields.digest_text("id", "x") != other.digest_text("id", "x")
    assert fields.digest_text("match", "x") != fields.digest_text("id", "x")
    assert (fields.digest_text("id", ""), fields.digest_text("id", None)) == (None, None)


def test_fields_that_say_nothing_about_a_difference_are_not_compared() -> None:
    mapping: ParsedMapping = parse_mapping(
        {
            "fields": {
                "name": {"path": "entity.name", "caseless": True},
                "nick": {"path": "entity.nick", "when_absent": "keep"},
                "owner": {"path": "entity.owner", "linked": "USER", "when_missing": "leave_out"},
                "new": {"path": "entity.new"},
                "hidden": {"path": "entity.hidden"},
                "at": {"path": "webhook.timestamp"},
                "first": {"path": "entity.first", "only_on_create": True},
                "note": {"path": "webhook.note", "not_compared": True},
            }
        }
    )
    fields = ComparedFields.of_mapping(mapping, KEY, unread={"hidden"}, unseen={"new"})
    assert (fields.steady, fields.optional) == (("name",), ("new", "nick", "owner"))
    assert (fields.caseless, find_webhook_fields(mapping)) == (frozenset({"name"}), ("at",))
