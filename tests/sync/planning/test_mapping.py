"""Mappings: a declaration is checked when saved, and makes a record of an entity or names the field that fails."""

import json
import math
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from devtools.sandbox_setup import MAPPINGS
from sandbox.identity.seed import USERS
from sync.planning.mapping import EntityNotMappable, MatchValue, ParsedMapping
from sync.planning.mapping_declaration import InvalidMapping, parse_mapping
from sync.planning.mapping_functions import FUNCTIONS
from sync.planning.mapping_rules import MAX_VERIFIED_VALUES

pytestmark = pytest.mark.pure

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=12,
)
NAMES = [
    "fields",
    "match",
    "path",
    "constant",
    "apply",
    "required",
    "caseless",
    "external_id",
    "previous",
    "new",
    "x",
]
DECLARATIONS = st.recursive(
    JSON | st.sampled_from([*NAMES, *FUNCTIONS]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(NAMES), inner, max_size=4),
    max_leaves=20,
)
PATHS = st.text("abentiywhok.[]*?&|!@(){}`'\"\\:,=<> 019-", min_size=1, max_size=40)


def field(**rule: Any) -> Any:
    return parse_mapping({"fields": {"x": rule}})


def mapped_value(entity: dict[str, Any], webhook: dict[str, Any] | None = None, **rule: Any) -> Any:
    """Return the value that a rule makes of an entity."""
    return field(**rule).map_entity(entity, webhook or {})["x"]


@pytest.mark.parametrize(
    ("entity", "rule", "value"),
    [
        ({"a": 1}, {"path": "entity.a"}, 1),
        ({"a": {"b": [1, 2]}}, {"path": "entity.a.b[-1]"}, 2),
        ({"a": [{"n": 1}, {"n": 2}]}, {"path": "entity.a[?n==`2`] | [0].n"}, 2),
        ({"a": ["x", "y"]}, {"path": "join(', ', entity.a)"}, "x, y"),
        ({}, {"path": "webhook.id"}, "W1"),
        ({}, {"constant": {"k": [1]}}, {"k": [1]}),
        ({}, {"constant": " Ä ", "apply": ["trim", "lower"]}, "ä"),
        ({"a": 5}, {"path": "entity.a", "apply": ["upper", "trim", "lower"]}, 5),
        ({"a": [7, 8]}, {"path": "entity.a", "apply": ["first"]}, 7),
        ({"a": []}, {"path": "entity.a", "apply": ["first"]}, None),
        ({"a": 5}, {"path": "entity.a", "apply": ["text"]}, "5"),
        ({"a": True}, {"path": "entity.a", "apply": ["text"]}, "true"),
    ],
)
def test_a_rule_produces_its_value(entity: dict[str, Any], rule: dict[str, Any], value: Any) -> None:
    assert mapped_value(entity, {"id": "W1"}, **rule) == value


@pytest.mark.parametrize(
    ("emails", "address"),
    [
        ([{"address": "a@x", "verified": False}, {"address": "b@x", "verified": True}], "b@x"),
        (
            [{"address": "a@x"}, {"address": "b@x", "verified": True}, {"address": "c@x", "verified": True}],
            "b@x",
        ),
        ([{"address": "a@x", "verified": "true"}, {"address": "b@x"}], None),
        ([{"address": "a@x", "verified": 1}], None),
        ([{"address": "", "verified": True}, {"address": "b@x"}], None),
        (["a@x", None, {"address": "b@x"}], None),
        ({"address": "a@x", "verified": True}, "a@x"),
    ],
)
def test_an_unverified_address_never_counts_as_verified(emails: Any, address: str | None) -> None:
    assert mapped_value({"emails": emails}, path="entity.emails", apply=["verified_email"]) == address


@pytest.mark.parametrize("value", [None, "  "])
def test_a_required_field_without_a_value_is_named(value: Any) -> None:
    with pytest.raises(EntityNotMappable) as caught:
        mapped_value({"a": value}, path="entity.a", apply=["trim"], required=True)
    assert caught.value.field == "x"
    assert mapped_value({"a": value}, path="entity.a") == value


@pytest.mark.parametrize("value", [0, False])
def test_zero_and_false_are_values(value: Any) -> None:
    assert mapped_value({"a": value}, path="entity.a", required=True) == value


@pytest.mark.parametrize(
    "path",
    [
        "length(entity.number)",
        "sort(entity.mixed)",
        "ceil(to_number('1e999'))",
        "to_number('nan')",
        "&entity",
        "[&entity, entity]",
    ],
)
def test_an_expression_that_does_not_fit_the_entity_names_its_field(path: str) -> None:
    with pytest.raises(EntityNotMappable) as caught:
        mapped_value({"number": 1, "mixed": [1, "a"]}, path=path)
    assert caught.value.field == "x"
    assert str(caught.value) == "x: the expression does not fit this entity"


@pytest.mark.parametrize(
    ("previous", "found"),
    [
        ({"email": "old@x", "no": 7}, [("email", "old@x"), ("number", 7)]),
        ({"email": ""}, []),
        ({"email": ["old@x"]}, []),
    ],
)
def test_previous_values_are_those_of_searchable_fields(
    previous: dict[str, Any], found: list[tuple[str, Any]]
) -> None:
    match = {"previous": {"email": "email", "number": "no", "broken": "ceil(to_number('1e999'))"}}
    mapping = parse_mapping({"fields": {"x": {"constant": 1}}, "match": match})
    assert mapping.previous_values([previous]) == [MatchValue(*pair) for pair in found]


VERIFIED = {"email": {"path": "emails[?verified].address", "apply": []}}


def matching(**verified: Any) -> ParsedMapping:
    """Return a mapping that writes the first address, and matches by `verified`."""
    fields = {"email": {"path": "entity.emails[0].address", "caseless": True}}
    match = {"previous": {"email": "email"}, "new": ["email"], "verified": verified}
    return parse_mapping({"fields": fields, "match": match})


def test_only_values_that_the_mapping_marks_as_verified_are_verified() -> None:
    entity = {"emails": [{"address": "a@x"}, {"address": "B@x", "verified": True}]}
    rule = {"email": {"path": "entity.emails", "apply": ["verified_email"]}}
    mapping = matching(new=rule)
    wanted = mapping.map_entity(entity, {})
    assert wanted == {"email": "a@x"}, "what is written may be unverified"
    found = [MatchValue("email", "B@x", is_verified=True), MatchValue("email", "a@x")]
    assert mapping.new_values(entity, {}, wanted) == found
    assert matching().new_values(entity, {}, wanted) == found[1:]
    same = mapping.new_values(entity, {}, {"email": "b@x"})
    assert same == found[:1], "a field without case is searched once, as verified"


def test_a_previous_value_is_verified_only_by_a_rule_of_its_own() -> None:
    documents = [{"email": "a@x"}, {"emails": [{"address": "a@x", "verified": True}], "email": "b@x"}]
    found = [MatchValue("email", "a@x", is_verified=True), MatchValue("email", "b@x")]
    assert matching(previous=VERIFIED).previous_values(documents) == found
    assert matching().previous_values(documents) == [MatchValue("email", "a@x"), MatchValue("email", "b@x")]


def test_a_list_gives_at_most_ten_verified_values() -> None:
    entity = {"emails": [{"address": f"{number}@x", "verified": True} for number in range(20)]}
    mapping = matching(new={"email": {"path": "entity.emails[].address"}})
    values = mapping.new_values(entity, {}, {})
    assert [value.value for value in values] == [f"{number}@x" for number in range(MAX_VERIFIED_VALUES)]


@pytest.mark.parametrize(
    ("path", "part", "value"),
    [
        ("entity.locked != `true`", {"phone": "1"}, None),
        ("entity.locked != `true`", {"locked": False}, True),
        ("entity.consents[0].mail == `true`", {"consents": []}, False),
        ("length(entity.memberOf || `[]`)", {}, None),
        ("entity.mobile || entity.phone", {"phone": "1"}, "1"),
        ("webhook.eventType == 'UPDATE'", {}, True),
    ],
)
def test_a_part_has_no_value_for_missing_fields(path: str, part: dict[str, Any], value: Any) -> None:
    mapping = parse_mapping({"fields": {"x": {"path": path}, "source": {"constant": "identity"}}})
    made = mapping.map_partial_entity(part, {"eventType": "UPDATE"})
    assert made == {"source": "identity"} | ({} if value is None else {"x": value})


def test_a_required_field_may_be_left_out_of_a_part_and_not_be_emptied_by_it() -> None:
    mapping = parse_mapping({"fields": {"email": {"path": "entity.email", "required": True}}})
    assert mapping.map_partial_entity({}, {}) == mapping.map_partial_entity({"email": None}, {}) == {}
    for empty in ("", []):
        with pytest.raises(EntityNotMappable):
            mapping.map_partial_entity({"email": empty}, {})


def test_a_changed_mapping_is_not_read_from_the_cache() -> None:
    declaration: dict[str, Any] = {"fields": {"x": {"path": "entity.a"}, "y": {"constant": 1}}}
    entity = {"a": "one", "b": "two"}
    assert parse_mapping(declaration) is parse_mapping(json.loads(json.dumps(declaration)))
    assert parse_mapping(declaration).map_entity(entity, {}) == {"x": "one", "y": 1}
    declaration["fields"]["x"]["path"] = "entity.b"
    declaration["fields"]["y"]["constant"] = True
    assert json.dumps(parse_mapping(declaration).map_entity(entity, {})) == '{"x": "two", "y": true}'
    with pytest.raises(EntityNotMappable):
        parse_mapping({"fields": {"x": {"path": "entity.n"}}}).map_entity({"n": 10**5000}, {})


def test_the_sandbox_mapping_produces_a_customer() -> None:
    anna = {"id": "IDNUMBER1234", **USERS["IDNUMBER1234"]}
    assert parse_mapping(MAPPINGS["USER"][1]).map_entity(anna, {}) == {
        "external_id": "IDNUMBER1234",
        "email": "anna.aalto@example.com",
        "first_name": "Anna",
        "last_name": "Aalto",
        "phone": "+358401234567",
        "language": "fi",
        "active": True,
    }


@pytest.mark.nightly
@given(DECLARATIONS)
@settings(max_examples=300, deadline=None)
def test_any_declaration_is_accepted_or_refused_with_a_message(declaration: Any) -> None:
    with suppress(InvalidMapping):  # nothing else may come out
        parse_mapping(declaration)


@pytest.mark.nightly
@given(PATHS, st.dictionaries(st.sampled_from("aben"), JSON))
@settings(max_examples=500, deadline=None)
@example("entity[::0]", {})
@example("to_number('-inf')", {"a": math.pi})
def test_any_expression_gives_json_or_names_its_field(path: str, entity: dict[str, Any]) -> None:
    try:
        value = mapped_value(entity, {"b": 1}, path=path)
    except (InvalidMapping, EntityNotMappable):
        return
    json.dumps(value, allow_nan=False)
