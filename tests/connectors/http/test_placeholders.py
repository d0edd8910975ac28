"""Placeholders: each style escapes what would end its quotes, and none expands a value again."""

import base64
import json

import pytest

from connectors.http import placeholders
from connectors.http.placeholders import STYLES, fill_template, find_fault, find_placeholders

pytestmark = pytest.mark.pure

VALUES = [
    "O'Neil",
    'a"b',
    "back\\slash",
    "\\'",
    "{value}",
    "{id:json}",
    "line\nbreak\r",
    "ä€𝄞",
    "' or '1'='1",
]


def unescape(text: str, quote: str) -> str:
    """Read a text up to the quote that ends it, as a filter language with backslashes does."""
    found, characters = [], iter(text)
    for character in characters:
        assert character != quote, "the value ends its quotes"
        found.append(
            {"n": "\n", "r": "\r"}.get(other := next(characters), other) if character == "\\" else character
        )
    return "".join(found)


def test_each_style_keeps_the_value_within_its_quotes() -> None:
    for value in VALUES:

        def filled(style: str, value: str = value) -> str:
            return fill_template(f"{{value:{style}}}", {"value": value})

        assert filled("odata").replace("''", "") == value.replace("'", "")
        assert unescape(filled("soql"), "'") == value
        assert json.loads(f'"{filled("json")}"') == value
        assert base64.urlsafe_b64decode(filled("base64url") + "===").decode() == value
        assert "=" not in filled("base64url")
        assert base64.b64decode(filled("base64"), validate=True).decode() == value
        quoted = filled("quoted")
        assert quoted[0] == quoted[-1] == '"'
        assert '"' not in quoted[1:-1].replace("\\\\", "").replace('\\"', "")
        assert fill_template("{value}", {"value": value}) == value


def test_placeholders_in_values_are_not_expanded() -> None:
    assert fill_template("{field}={value}", {"field": "{value}", "value": "{field}"}) == "{value}={field}"


def test_names_are_found_with_and_without_style() -> None:
    assert find_placeholders("{a} {b:json} { c } {D} {e:}") == {"a", "b"}
    assert find_fault("{a}", {"a"}) is None
    assert find_fault("{a:odata}", {"a"}) is not None
    assert all(style in placeholders._STYLES for style in STYLES)
