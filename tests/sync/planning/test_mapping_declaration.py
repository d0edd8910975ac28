"""A declaration is read by its description: what it does not describe is refused, with the place of the error."""

from typing import Any

import pytest

from sync.planning.mapping_declaration import MAX_FIELDS, MAX_PATH, InvalidMapping, parse_mapping

pytestmark = pytest.mark.pure


@pytest.mark.parametrize(
    ("declaration", "place"),
    [
        (None, "The mapping"),
        ({}, "fields"),
        ({"fields": {}}, "fields: This must have 1 to 200 fields."),
        (
            {"fields": {str(n): {"constant": n} for n in range(MAX_FIELDS + 1)}},
            "fields: This must have 1 to 200",
        ),
        ({"fields": {"x": {"path": "a"}}, "more": 1}, "more: Unknown field."),
        ({"fields": {"x": "entity.a"}}, "x: This must be an object."),
        ({"fields": {"x": {}}}, "x: Enter either"),
        ({"fields": {"x": {"path": "a", "constant": 1}}}, "x: Enter either"),
        ({"fields": {"x": {"path": "a", "default": 1}}}, "x.default: Unknown field."),
        ({"fields": {"x": {"path": ""}}}, "x.path: This must be a JMESPath expression of 1 to 500"),
        ({"fields": {"x": {"path": "a" * (MAX_PATH + 1)}}}, "x.path: This must be a JMESPath expression"),
        ({"fields": {"x": {"path": "a["}}}, "x.path: 'a[' is not a JMESPath"),
        (
            {"fields": {"x": {"path": "a", "apply": ["shout"]}}},
            "x.apply: This must be one of: date, first, first_email",
        ),
        ({"fields": {"x": {"path": "a", "apply": [{}]}}}, "x.apply: This must be a non-empty text"),
        ({"fields": {"x": {"path": "a", "apply": "lower"}}}, "x.apply: This must be a list"),
        ({"fields": {"x": {"path": "a", "required": 1}}}, "x.required: This must be true or false"),
        ({"fields": {"x": {"path": "a"}}, "match": []}, "match: This must be an object"),
        ({"fields": {"x": {"path": "a"}}, "match": {"by": "x"}}, "match.by: Unknown field."),
        ({"fields": {"x": {"path": "a"}}, "match": {"new": ["y"]}}, "match.new"),
        ({"fields": {"x": {"path": "a"}}, "match": {"external_id": 1}}, "match.external_id"),
        ({"fields": {"x": {"path": "a"}}, "match": {"previous": {"x": "a["}}}, "match.previous.x"),
        (
            {"fields": {"x": {"path": "a"}}, "match": {"verified": {"old": {}}}},
            "match.verified.old: Unknown field.",
        ),
        (
            {"fields": {"x": {"path": "a"}}, "match": {"verified": {"new": {"x": {"constant": "y"}}}}},
            "match.verified.new.x.constant: Unknown field.",
        ),
        (
            {"fields": {"x": {"path": "a"}}, "match": {"verified": {"previous": {"x": {}}}}},
            "match.verified.previous.x.path: This field is required.",
        ),
    ],
)
def test_an_invalid_declaration_is_refused_with_the_place_of_the_error(declaration: Any, place: str) -> None:
    with pytest.raises(InvalidMapping) as caught:
        parse_mapping(declaration)
    assert str(caught.value).startswith(place)
