"""References of a mapping: what is asked for, what the answers give, and what is missing. No database."""

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

import pytest

from sync.planning.mapping import EntityNotMappable, ParsedMapping, ReferenceMissing, TooManyReferences
from sync.planning.mapping_comparison import ComparisonOutcome, MappingInput, compare_mappings
from sync.planning.mapping_declaration import InvalidMapping, parse_mapping
from sync.planning.reference_resolution import map_with_references
from sync.planning.references import MAX_REFERENCES, FindRecords, Reference

pytestmark = pytest.mark.pure

RECORDS = {("USER", "1"): "r1", ("USER", "2"): "r2", ("GROUP", "1"): "g1", ("USER", "r1"): "rr1"}


def find_among(records: Mapping[tuple[str, str], str], asked: list[Any] | None = None) -> FindRecords:
    def find(references: frozenset[Reference]) -> Mapping[Reference, str]:
        if asked is not None:
            asked.append(references)
        return {one: records[one] for one in references if one in records}

    return find


def mapping_of(**rules: Any) -> ParsedMapping:
    return parse_mapping({"fields": rules})


def resolve(rule: Any, entity: Any, **options: Any) -> Any:
    return map_with_references(mapping_of(a=rule), entity, {}, find_among(RECORDS), **options).fields["a"]


@pytest.mark.parametrize(
    ("rule", "made"),
    [
        ({"path": "entity.owner", "linked": "USER"}, "r1"),
        ({"path": "entity.members[].id", "linked": "USER"}, ["r1", "r2", "r1"]),
        ({"path": "' 1 '", "apply": ["trim"], "linked": "USER"}, "r1"),
        ({"constant": "1", "linked": "GROUP"}, "g1"),
        ({"path": "linked('USER', entity.owner)"}, "r1"),
        (
            {"path": "entity.members[].{user: linked('USER', id)}"},
            [{"user": "r1"}, {"user": "r2"}, {"user": "r1"}],
        ),
        ({"path": "[linked('USER', entity.owner), linked('GROUP', entity.owner)]"}, ["r1", "g1"]),
        ({"path": "linked('USER', linked('USER', entity.owner))"}, "rr1"),
        ({"path": "map(&linked('USER', id), entity.members)"}, ["r1", "r2", "r1"]),
    ],
)
def test_an_id_becomes_the_id_of_its_record(rule: Any, made: Any) -> None:
    entity = {"owner": "1", "number": 2, "members": [{"id": "1"}, {"id": "2"}, {"id": "1"}], "empty": []}
    assert resolve(rule, entity) == made


def test_all_references_are_asked_for_at_once() -> None:
    asked: list[Any] = []
    mapping = mapping_of(
        a={"path": "entity.ids", "linked": "USER"}, b={"path": "linked('GROUP', entity.ids[0])"}
    )
    map_with_references(mapping, {"ids": ["1", "2", "2"]}, {}, find_among(RECORDS, asked))
    assert asked == [{("USER", "1"), ("USER", "2"), ("GROUP", "1")}]


def test_a_mapping_without_references_asks_for_nothing() -> None:
    asked: list[Any] = []
    mapping = mapping_of(a={"path": "entity.id"})
    assert mapping.reference_types == frozenset()
    assert map_with_references(mapping, {"id": "1"}, {}, find_among({}, asked)).fields == {"a": "1"}
    assert asked == []


def test_what_is_missing_is_named_whatever_the_fields_say_while_the_delivery_waits() -> None:
    mapping = mapping_of(
        a={"path": "entity.ids", "linked": "USER", "when_missing": "leave_out"},
        b={"path": "entity.other", "linked": "GROUP"},
    )
    with pytest.raises(ReferenceMissing) as caught:
        map_with_references(mapping, {"ids": ["1", "8"], "other": "9"}, {}, find_among(RECORDS))
    assert caught.value.missing == {("USER", "8"), ("GROUP", "9")}
    assert not caught.value.is_final
    # No id in a message: it goes to logs.
    assert "8" not in str(caught.value)
    assert "9" not in str(caught.value)


@pytest.mark.parametrize(
    ("rule", "made"),
    [
        ({"path": "entity.ids", "linked": "USER"}, {"a": ["r1"]}),
        ({"path": "linked('USER', entity.ids[1])"}, {}),
        ({"path": "entity.ids[].linked('USER', @)"}, {"a": ["r1"]}),
        ({"path": "{user: linked('USER', entity.ids[1])}"}, {"a": {"user": None}}),
    ],
)
def test_after_the_wait_a_member_or_the_field_is_left_out(rule: Any, made: Any) -> None:
    mapping, entity = mapping_of(a=rule | {"when_missing": "leave_out"}), {"ids": ["1", "8"]}
    find = find_among(RECORDS)
    assert map_with_references(mapping, entity, {}, find, is_wait_over=True).fields == made
    assert map_with_references(mapping, entity, {}, find, is_partial=True, is_wait_over=True).fields == made


def test_after_the_wait_a_field_fails_unless_it_is_left_out() -> None:
    with pytest.raises(ReferenceMissing) as caught:
        resolve({"path": "entity.id", "linked": "USER"}, {"id": "8"}, is_wait_over=True)
    assert caught.value.is_final


def test_a_required_field_is_never_left_out() -> None:
    rule = {"path": "entity.id", "linked": "USER", "when_missing": "leave_out", "required": True}
    with pytest.raises(EntityNotMappable, match="required"):
        resolve(rule, {"id": "8"}, is_wait_over=True)


def test_a_thousand_references_are_allowed_and_not_one_more() -> None:
    ids = [str(number) for number in range(MAX_REFERENCES)]
    records = {("USER", key): f"r{key}" for key in ids}
    for rule in ({"path": "entity.ids", "linked": "USER"}, {"path": "linked('USER', entity.ids)"}):
        mapping = mapping_of(a=rule)
        made = map_with_references(mapping, {"ids": [*ids, ids[0]]}, {}, find_among(records)).fields
        assert len(made["a"]) == MAX_REFERENCES + 1
        with pytest.raises(TooManyReferences):
            map_with_references(mapping, {"ids": [*ids, "more"]}, {}, find_among(records))


@pytest.mark.parametrize("value", [True, [{"id": "1"}]])
def test_an_invalid_id_names_its_field(value: Any) -> None:
    for rule in ({"path": "entity.id", "linked": "USER"}, {"path": "linked('USER', entity.id)"}):
        with pytest.raises(EntityNotMappable, match="a: the expression does not fit"):
            resolve(rule, {"id": value})


def test_references_that_follow_each_other_without_end_are_refused() -> None:
    nested = "linked('USER', linked('USER', linked('USER', linked('USER', entity.id))))"
    with pytest.raises(EntityNotMappable, match="depend on other references"):
        resolve({"path": nested}, {"id": "1"})


@pytest.mark.parametrize(
    ("rule", "sentence"),
    [
        ({"path": "linked(entity.type, entity.id)"}, "must name the entity type"),
        ({"path": "linked(`1`, entity.id)"}, "must name the entity type"),
        ({"path": "entity.id", "linked": ""}, r"a\.linked"),
        ({"path": "entity.id", "linked": "X" * 65}, r"a\.linked"),
        ({"path": "entity.id", "linked": "USER", "when_missing": "wait"}, r"a\.when_missing"),
        ({"path": "entity.id", "when_missing": "leave_out"}, "does not refer to another entity"),
    ],
)
def test_a_reference_that_makes_no_sense_is_refused(rule: Any, sentence: str) -> None:
    with pytest.raises(InvalidMapping, match=sentence):
        mapping_of(a=rule)


def test_no_match_rule_can_use_references() -> None:
    match: Any = {"verified": {"new": {"a": {"path": "linked('USER', entity.id)"}}}}
    for part in (match, {"previous": {"a": "linked('USER', id)"}}):
        with pytest.raises(InvalidMapping, match="Known functions"):
            parse_mapping({"fields": {"a": {"constant": 1}}, "match": part})


def test_the_types_and_the_wait_are_known_without_running_the_mapping() -> None:
    declared: Any = {
        "fields": {
            "a": {"path": "entity.id", "linked": "USER"},
            "b": {"path": "linked('GROUP', entity.ids)[?@ != linked('FILE', 'x')]"},
            "c": {"constant": 1},
        }
    }
    mapping = parse_mapping(declared)
    assert mapping.reference_types == {"USER", "GROUP", "FILE"}
    assert mapping.reference_wait == timedelta(minutes=15)
    assert parse_mapping({**declared, "reference_wait_minutes": 0}).reference_wait == timedelta(0)
    with pytest.raises(InvalidMapping, match="reference_wait_minutes"):
        parse_mapping({**declared, "reference_wait_minutes": 4_321})


def test_a_comparison_shows_names_and_needs_no_link() -> None:
    plain, linked = mapping_of(a={"path": "entity.id"}), mapping_of(a={"path": "entity.id", "linked": "USER"})
    compared = compare_mappings(plain, linked, MappingInput({"id": "8"}, {}))
    assert compared.outcome is ComparisonOutcome.DIFFERENT
    assert [(field.before, field.after) for field in compared.fields] == [("8", "USER 8")]
    assert compare_mappings(linked, linked, MappingInput({"id": "8"}, {})).outcome is ComparisonOutcome.SAME
