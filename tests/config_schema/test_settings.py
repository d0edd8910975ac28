"""A setting is read by its description: what is not described is refused."""

from typing import Any

import pytest

from config_schema.declared import Declared, nullable, setting
from config_schema.errors import SettingsInvalid, format_pointer, parse_pointer
from config_schema.kinds import Boolean, Choice, Text, TextList, TextMap, WholeNumber
from config_schema.objects import ListOf, MapOf, VariantObject
from config_schema.rules import Given, Is, Requires

pytestmark = pytest.mark.pure


class Thing(Declared):
    """An object with a setting of each kind."""

    name: str = setting(Text(), "The name.", example="a")
    size: int = setting(WholeNumber(1, 9), "The size.", default=5, example=7)
    note: str | None = nullable(Text(), "A note.", example="b")

    rules = (Requires(sentence="A note of size 9.", when=Is("size", 9), then=Given("note")),)


class Scheme(Declared):
    """An object that depends on its scheme."""

    scheme: str = setting(Choice(("none", "named")), "The scheme.", default="none", example="named")

    selector = "scheme"


class Named(Scheme):
    """A scheme with a name."""

    name: str = setting(Text(), "The name.", example="a")


THING = Thing.kind


def refusal(kind: Any, value: Any) -> tuple[str, str]:
    """Return the pointer and the sentence with which a value is refused."""
    with pytest.raises(SettingsInvalid) as caught:
        kind.read(value, ())
    return caught.value.pointer, caught.value.sentence


def test_an_absent_setting_has_its_default_or_none() -> None:
    assert THING.read({"name": "x"}, ()) == Thing(name="x", size=5, note=None)
    assert THING.read({"name": "x", "size": 1, "note": None}, ()) == Thing(name="x", size=1, note=None)


@pytest.mark.parametrize(
    ("value", "pointer", "words"),
    [
        ([], "", "must be an object"),
        ({}, "/name", "required"),
        ({"name": None}, "/name", "must be a text"),
        ({"name": " "}, "/name", "non-empty"),
        ({"name": "x", "size": 10}, "/size", "from 1 to 9"),
        ({"name": "x", "size": True}, "/size", "whole number"),
        ({"name": "x", "size": None}, "/size", "whole number"),
        ({"name": "x", "size": 9}, "", "A note of size 9."),
        ({"name": "x", "no~/te": 1}, "/no~0~1te", "Available: name, note, size."),
    ],
)
def test_an_invalid_setting_is_refused_by_its_place(value: Any, pointer: str, words: str) -> None:
    where, sentence = refusal(THING, value)
    assert where == pointer
    assert words in sentence


@pytest.mark.parametrize(
    ("kind", "value", "pointer"),
    [
        (Choice(("a", "b")), "c", ""),
        (Choice(("a", "b")), ["a"], ""),
        (Boolean(), 1, ""),
        (TextList(), ["a", ""], "/1"),
        (TextList(("a",)), ["b"], "/0"),
        (TextList(), "a", ""),
        (TextMap(), {"a": 1}, ""),
        (MapOf(THING, "NAME", 1), {}, ""),
        (MapOf(THING, "NAME", 0, 1), {"a": {"name": "x"}, "b": {"name": "x"}}, ""),
        (MapOf(THING, "NAME"), {"a": {"name": "x"}, "b": {}}, "/b/name"),
        (ListOf(THING, 1), [], ""),
        (ListOf(THING, 2), [{"name": "x"}, {"name": 1}], "/1/name"),
    ],
)
def test_a_kind_refuses_what_it_does_not_describe(kind: Any, value: Any, pointer: str) -> None:
    assert refusal(kind, value)[0] == pointer


def test_the_settings_of_an_object_can_depend_on_one_of_them() -> None:
    variants = {"none": Scheme.variant("Nothing.", {}), "named": Named.variant("A name.", {})}
    kind: VariantObject[Scheme] = VariantObject(Scheme.settings["scheme"], variants, {"secret": "Not here."})
    assert kind.read({}, ()) == Scheme(scheme="none")
    assert kind.read({"scheme": "named", "name": "x"}, ()) == Named(scheme="named", name="x")
    assert refusal(kind, {"name": "x"}) == ("/name", "Unknown field. Available: scheme.")
    assert refusal(kind, {"secret": "x"}) == ("/secret", "Not here.")
    schemas = kind.to_schema()["oneOf"]
    assert [schema.get("required") for schema in schemas] == [None, ["name", "scheme"]]
    assert [schema["properties"]["scheme"]["const"] for schema in schemas] == ["none", "named"]


def test_the_schema_says_what_the_reader_does() -> None:
    assert THING.to_schema() == {
        "type": "object",
        "properties": {
            "name": {"type": "string", "pattern": r"\S", "description": "The name.", "examples": ["a"]},
            "size": {
                "type": "integer",
                "minimum": 1,
                "maximum": 9,
                "description": "The size.",
                "examples": [7],
                "default": 5,
            },
            "note": {
                "anyOf": [{"type": "string", "pattern": r"\S"}, {"type": "null"}],
                "description": "A note.",
                "examples": ["b"],
            },
        },
        "additionalProperties": False,
        "required": ["name"],
        "allOf": [
            {
                "if": {"properties": {"size": {"enum": [9]}}, "required": ["size"]},
                "then": {"properties": {"note": {"not": {"type": "null"}}}, "required": ["note"]},
            }
        ],
    }


def test_a_json_pointer_survives_a_round_trip() -> None:
    assert format_pointer(("a/b", "c~d")) == "/a~1b/c~0d"
    assert parse_pointer("/a~1b/c~0d") == ("a/b", "c~d")
    assert parse_pointer("") == ()
