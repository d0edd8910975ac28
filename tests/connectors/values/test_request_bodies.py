"""Bodies of requests: forms with nested names, and the patches of three standards."""

from typing import Any
from urllib.parse import parse_qsl

import pytest

from connectors.values.exact_numbers import parse_number
from connectors.values.request_bodies import (
    MAX_FORM_FIELDS,
    encode_body,
    json_patch,
    merge_patch,
    scim_patch,
)

pytestmark = pytest.mark.pure


def test_a_form_has_a_name_for_each_inner_value() -> None:
    body = {
        "a b": "x&y=z",
        "n": {"in": {"deep": 1}},
        "l": [{"k": True}, None],
        "e": {},
        "f": parse_number("1.000000000000000000001"),
    }
    assert parse_qsl(encode_body(body, "form").decode(), keep_blank_values=True) == [
        ("a b", "x&y=z"),
        ("n[in][deep]", "1"),
        ("l[0][k]", "true"),
        ("l[1]", ""),
        ("f", "1.000000000000000000001"),
    ]


def test_a_list_that_became_empty_is_a_field() -> None:
    assert (
        encode_body({"tags": [], "n": {"roles": [], "names": ["a"]}}, "form")
        == b"tags=&n%5Broles%5D=&n%5Bnames%5D%5B0%5D=a"
    )
    assert encode_body({}, "form") == b""


def test_a_body_that_cannot_be_a_form_is_refused() -> None:
    cases: list[Any] = [
        ["a"],
        "a",
        None,
        {"a": [0] * (MAX_FORM_FIELDS + 1)},
        {"a": "\ud800"},
        {"a": float("nan")},
        {"a": {1}},
    ]
    for body in cases:
        with pytest.raises((TypeError, ValueError)):
            encode_body(body, "form")


def test_a_form_has_a_limited_depth() -> None:
    deep: Any = 1
    for _ in range(30):
        deep = {"a": deep}
    with pytest.raises(ValueError, match="too deeply"):
        encode_body(deep, "form")


def apply_merge(document: Any, patch: Any) -> Any:
    """Apply a merge patch as RFC 7396 says."""
    if not isinstance(patch, dict):
        return patch
    merged = dict(document) if isinstance(document, dict) else {}
    for name, value in patch.items():
        if value is None:
            merged.pop(name, None)
        else:
            merged[name] = apply_merge(merged.get(name), value)
    return merged


def test_a_merge_patch_gives_exactly_the_new_values() -> None:
    cases: list[tuple[Any, Any]] = [
        ({"a": {"x": 1, "y": 2}}, {"a": {"x": 1}}),
        ({"a": {"x": {"p": 1, "q": 2}}}, {"a": {"x": {"q": 3}}}),
        ({"a": [1, 2]}, {"a": [2]}),
        ({"a": 1}, {"a": {"x": 1}}),
        ({}, {"a": {"x": 1}}),
        ({"a": {"x": 1}}, {"a": {"x": True}}),
    ]
    for before, after in cases:
        assert apply_merge(before, merge_patch(before, after)) == after


def test_a_json_patch_escapes_names_and_removes_what_is_there() -> None:
    assert json_patch({"gone": 1}, {"a/b~c": 1, "gone": None, "never": None}) == [
        {"op": "add", "path": "/a~1b~0c", "value": 1},
        {"op": "remove", "path": "/gone"},
    ]


def test_a_scim_patch_has_one_operation_for_each_field() -> None:
    patch = scim_patch({"name.givenName": "A", "title": None})
    assert patch["Operations"] == [
        {"op": "replace", "path": "name.givenName", "value": "A"},
        {"op": "remove", "path": "title"},
    ]
