"""A declaration is read by its description: what it does not describe is refused, with the place of the error; and the
functions of `apply`.
"""

from typing import Any

import pytest

from sync.planning.mapping import EntityNotMappable
from sync.planning.mapping_declaration import InvalidMapping, parse_mapping
from sync.planning.mapping_rules import MAX_FIELDS, MAX_PATH

pytestmark = pytest.mark.pure


@pytest.mark.parametrize(
    ("declaration", "place"),
    [
        (None, "The mapping"),
        ({"fields": {}}, "fields: This must have 1 to 200 fields."),
        (
            {"fields": {str(n): {"constant": n} for n in range(MAX_FIELDS + 1)}},
            "fields: This must have 1 to 200",
        ),
        ({"fields": {"x": {"path": "entity.a"}}, "more": 1}, "more: Unknown field."),
        ({"fields": {"x": {"path": "entity.a", "constant": 1}}}, "x: Enter either"),
        ({"fields": {"x": {"path": ""}}}, "x.path: This must be a JMESPath expression of 1 to 500"),
        (
            {"fields": {"x": {"path": "entity.a" * (MAX_PATH + 1)}}},
            "x.path: This must be a JMESPath expression",
        ),
        ({"fields": {"x": {"path": "a["}}}, "x.path: 'a[' is not a JMESPath"),
        (
            {"fields": {"x": {"path": "entity.a", "apply": ["shout"]}}},
            "x.apply: This must be one of: date, first, first_email",
        ),
        ({"fields": {"x": {"path": "entity.a", "apply": "lower"}}}, "x.apply: This must be a list"),
        ({"fields": {"x": {"path": "entity.a", "required": 1}}}, "x.required: This must be true or false"),
        ({"fields": {"x": {"path": "entity.a"}}, "match": {"new": ["y"]}}, "match.new"),
        ({"fields": {"x": {"path": "entity.a"}}, "match": {"external_id": 1}}, "match.external_id"),
        ({"fields": {"x": {"path": "entity.a"}}, "match": {"previous": {"x": "a["}}}, "match.previous.x"),
        (
            {"fields": {"x": {"path": "entity.a"}}, "match": {"verified": {"old": {}}}},
            "match.verified.old: Unknown field.",
        ),
        (
            {"fields": {"x": {"path": "entity.a"}}, "match": {"verified": {"new": {"x": {"constant": "y"}}}}},
            "match.verified.new.x.constant: Unknown field.",
        ),
        (
            {"fields": {"x": {"path": "entity.a"}}, "match": {"verified": {"previous": {"x": {}}}}},
            "match.verified.previous.x.path: This field is required.",
        ),
    ],
)
def test_an_invalid_declaration_is_refused_with_the_place_of_the_error(declaration: Any, place: str) -> None:
    with pytest.raises(InvalidMapping) as caught:
        parse_mapping(declaration)
    assert str(caught.value).startswith(place)


EMAILS = [{"address": "New@example.com", "verified": False}, {"address": "old@example.com", "verified": True}]


def _map(rule: Any, entity: Any) -> Any:
    return parse_mapping({"fields": {"a": rule}}).map_entity(entity, {})["a"]


@pytest.mark.parametrize(
    ("function", "value", "made"),
    [
        ("first_email", EMAILS, "New@example.com"),
        ("md5", "a", "0cc175b9c0f1b6a831c399e269772661"),
        ("date", 0, "1970-01-01"),
        ("items", {"a": 1}, [{"key": "a", "value": 1}]),
    ],
)
def test_a_function_is_applied(function: str, value: Any, made: Any) -> None:
    assert _map({"path": "entity.v", "apply": [function]}, {"v": value}) == made


def test_functions_follow_each_other() -> None:
    rule = {"path": "entity.v", "apply": ["first_email", "trim", "lower", "md5"]}
    assert _map(rule, {"v": EMAILS}) == _map({"path": "md5('new@example.com')"}, {})


def test_a_value_that_a_function_cannot_read_stops_the_mapping() -> None:
    with pytest.raises(EntityNotMappable, match="does not fit"):
        _map({"path": "entity.v", "apply": ["date"]}, {"v": "yesterday"})


@pytest.mark.parametrize(
    ("path", "root"),
    [
        ("entitty.phone", "entitty"),
        ("id", "id"),
        ("entity.name.given || entiy.name", "entiy"),
        ("lower(Entity.email)", "Entity"),
        ("{a: entity.a, b: webhok.b}", "webhok"),
        ("(entity.emails[?verified].address | [0]) || enity", "enity"),
        ("@.entitty.phone", "entitty"),
        ("@ | phone", "phone"),
        ("emails[0]", "emails"),
        ("emails[?type=='work'].value | [0]", "emails"),
        ("map(&entity.id, members)", "members"),
        ("linked('USER', owner)", "owner"),
    ],
)
def test_an_expression_that_begins_with_an_unknown_field_is_refused(path: str, root: str) -> None:
    """It would find nothing in any entity, and clear the field of every record. (A wrong name further inside may be
    right for other entities; the JSON Schema says the same of plain paths.)
    """
    rule = {"path": path}
    with pytest.raises(InvalidMapping, match=rf"^x\.path: .* begins with {root}\. .*: entity, webhook\."):
        parse_mapping({"fields": {"x": rule}})
    if "linked" not in path:
        with pytest.raises(InvalidMapping, match=rf"^match\.verified\.new\.x\.path: .* begins with {root}\."):
            parse_mapping({"fields": {"x": {"constant": 1}}, "match": {"verified": {"new": {"x": rule}}}})


@pytest.mark.parametrize(
    "path",
    [
        *("@", "*", "entity", "webhook.previous.email", "entity.emails[?type==kind].value | [0]", "'x'"),
        *("sort_by(entity.emails, &rank)[0].value", "entity.{entitty: entitty}", "entity | [emails, id]"),
        *(
            "{e: entity} | e.id",
            "entity.emails[*].value | join(', ', @)",
            '"entity"."given name"',
            "[entity][0].id",
        ),
        *("*.id | [0]", "@.entity.id", "entity.tags[::2]", "!(entity.locked) && webhook.data.name"),
    ],
)
def test_names_inside_an_entity_are_free(path: str) -> None:
    """No more is refused than the first step from the document."""
    parse_mapping({"fields": {"x": {"path": path}}})


def test_previous_values_are_found_in_what_the_sender_names() -> None:
    match = {"previous": {"x": "mail"}, "verified": {"previous": {"x": {"path": "mails[0]"}}}}
    parse_mapping({"fields": {"x": {"path": "entity.mail"}}, "match": match})


@pytest.mark.parametrize("name", ["first_email", "nope"])
def test_an_unverified_address_never_counts_as_verified(name: str) -> None:
    rules: list[Any] = [{"path": "entity.emails", "apply": [name]}, {"path": f"{name}(entity.emails)"}]
    for rule in rules:
        with pytest.raises(InvalidMapping, match=r"match\.verified\.new\.a"):
            parse_mapping({"fields": {"a": {"constant": 1}}, "match": {"verified": {"new": {"a": rule}}}})


def test_an_unknown_function_is_refused_with_the_known_ones() -> None:
    with pytest.raises(InvalidMapping, match="a.path: 'nope.*Known functions: abs"):
        _map({"path": "nope(entity)"}, {})
