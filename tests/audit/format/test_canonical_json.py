"""Canonical JSON: one text for each value; values without an exact text are refused."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from audit.format.canonical_json import canonical_json

pytestmark = pytest.mark.pure

JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53) + 1, 2**53 - 1) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=10,
)


@pytest.mark.parametrize(
    ("value", "error"),
    [
        ({"a": 1.0}, TypeError),
        ({"a": [{"b": 0.5}]}, TypeError),
        ({"a": 2**53}, ValueError),
        ({"a": -(2**53)}, ValueError),
        ({"a": {"b": [2**64]}}, ValueError),
        ({"a": b"bytes"}, TypeError),
        ({"a": {1: "x"}}, TypeError),
        ({None: "x"}, TypeError),
    ],
)
def test_values_without_a_canonical_form_are_refused(value: Any, error: type[Exception]) -> None:
    with pytest.raises(error):
        canonical_json(value)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ({}, "{}"),
        ({"b": 1, "a": 2, "B": 3}, '{"B":3,"a":2,"b":1}'),
        ({"a": {"z": 1, "y": (1, 2)}}, '{"a":{"y":[1,2],"z":1}}'),
        ({"a": 2**53 - 1, "b": -(2**53) + 1}, '{"a":9007199254740991,"b":-9007199254740991}'),
        ({"a": True, "b": False, "c": None}, '{"a":true,"b":false,"c":null}'),
        ({"a": 'é"\n\u2028😀'}, '{"a":"\\u00e9\\"\\n\\u2028\\ud83d\\ude00"}'),
    ],
)
def test_a_value_has_one_text(value: dict[str, Any], text: str) -> None:
    assert canonical_json(value) == text


@pytest.mark.submission
@given(st.dictionaries(st.text(), JSON, max_size=4), st.randoms())
def test_the_order_of_names_changes_nothing_and_nothing_is_lost(value: dict[str, Any], random: Any) -> None:
    names = list(value)
    random.shuffle(names)
    assert canonical_json({name: value[name] for name in names}) == canonical_json(value)
    assert canonical_json(value).isascii()
    assert json.loads(canonical_json(value)) == value
