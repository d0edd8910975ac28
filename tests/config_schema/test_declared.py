"""A class whose fields are settings reads a document, makes its JSON Schema, and writes the document again."""

from datetime import timedelta
from enum import StrEnum
from typing import Any, ClassVar

import pytest
from jsonschema import Draft202012Validator

from config_schema.declared import Declared, nullable, setting
from config_schema.errors import SettingsInvalid
from config_schema.kinds import Boolean, Choice, Duration, Text, TextList, WholeNumber
from config_schema.objects import ListOf, MapOf, VariantObject
from config_schema.rules import AnyOf, CodeRule, Fits, Given, Is, Not, OneOf, Requires, Stated
from config_schema.settings import Setting

pytestmark = pytest.mark.pure


class Point(Declared):
    """A place: by its name, or by a number."""

    name: str | None = setting(Text(), "The name.", default=None, example="a")
    number: int | None = setting(WholeNumber(1, 9), "The number.", default=None, is_nullable=True, example=1)

    rules = (
        Requires(sentence="Exactly one of `name` and `number`.", then=OneOf(("name", "number")), at="name"),
    )


class Named(Point):
    """A point with a text: its own setting comes first, and its rules are about several."""

    scheme: ClassVar[str] = "named"

    text: tuple[str, ...] = nullable(ListOf(Text(), 2), "Texts.", absent=("none",), example=["a"])

    rules = (
        *Point.rules,
        Requires(
            sentence="`text` and `number` need the name `x`.",
            when=AnyOf(Stated("text"), Stated("number")),
            then=Is("name", "x"),
            at=("text", "number"),
        ),
    )


class Request(Declared):
    """A request, for rules of each kind."""

    method: str = setting(Choice(("GET", "POST")), "The method.", default="GET", example="POST")
    body: str | None = setting(Text(), "The body.", default=None, is_nullable=True, example="b")
    names: tuple[str, ...] = setting(TextList(), "Names.", default=[], example=["a"])
    is_odd: bool = setting(Boolean(), "True if it is odd.", name="odd", default=False, example=True)
    points: list[Point] | None = setting(
        ListOf(Point.kind, 3), "Points.", default=None, example=[{"name": "a"}]
    )
    by_name: dict[str, Point] = setting(MapOf(Point.kind, "NAME"), "Points.", default={}, example={})

    rules = (
        Requires(
            sentence="`body` needs the method `POST`.",
            when=Given("body"),
            then=Is("method", "POST"),
            at="body",
        ),
        Requires(
            sentence="`odd` is only for `GET`.",
            when=Stated("odd"),
            then=Not(Is("method", "POST")),
            error="Not with POST.",
        ),
        Requires(
            sentence="The method `POST` needs a body, or the name `x`.",
            when=Is("method", "POST"),
            then=AnyOf(
                Given("body"), Fits("names", {"contains": {"const": "x"}}, lambda names: "x" in names)
            ),
            at="body",
        ),
        CodeRule(
            sentence="Names are sorted.",
            find_fault=lambda values: (
                None
                if list(values["names"]) == sorted(values["names"])
                else ("names", "These are not sorted.")
            ),
        ),
    )


ACCEPTED: tuple[dict[str, Any], ...] = (
    {},
    {"body": None},
    {"method": "POST", "body": "x"},
    {"method": "POST", "names": ["a", "x"]},
    {"odd": False},
    {"points": [{"name": "a"}, {"number": 2, "name": "b"}][:1]},
    {"by_name": {"a": {"number": 3}}},
    {"by_name": {"a": {"name": "b", "number": None}}},
)
REFUSED: tuple[tuple[dict[str, Any], str, str], ...] = (
    ({"body": "x"}, "/body", "`body` needs the method `POST`."),
    ({"method": "POST"}, "/body", "The method `POST` needs a body, or the name `x`."),
    ({"method": "POST", "body": "x", "odd": False}, "", "Not with POST."),
    ({"points": [{}]}, "/points/0/name", "Exactly one of `name` and `number`."),
    ({"points": [{"name": "a", "number": 1}]}, "/points/0/name", "Exactly one of `name` and `number`."),
    ({"points": [{"name": None}]}, "/points/0/name", "This must be a text."),
    ({"is_odd": True}, "/is_odd", "Unknown field. Available: body, by_name, method, names, odd, points."),
)


def test_what_is_read_is_written_again_without_defaults() -> None:
    for document in ACCEPTED:
        request = Request.kind.read(document, ())
        written = request.to_json()
        assert Request.kind.read(written, ()) == request
        assert not any(value is None for value in written.values())
    assert Request.kind.read({"method": "GET", "odd": True, "names": ["a"]}, ()).to_json() == {
        "odd": True,
        "names": ["a"],
    }


def test_a_broken_rule_names_its_place_and_the_schema_refuses_it_too() -> None:
    validator = Draft202012Validator(Request.kind.to_schema())
    for document, pointer, sentence in REFUSED:
        with pytest.raises(SettingsInvalid) as caught:
            Request.kind.read(document, ())
        assert (caught.value.pointer, caught.value.sentence) == (pointer, sentence)
        assert not validator.is_valid(document), document
    for document in ACCEPTED:
        assert validator.is_valid(document), document


def test_a_rule_that_code_alone_can_check_is_not_in_the_schema() -> None:
    document = {"names": ["b", "a"]}
    with pytest.raises(SettingsInvalid, match="not sorted"):
        Request.kind.read(document, ())
    assert Draft202012Validator(Request.kind.to_schema()).is_valid(document)


def test_a_declared_class_is_a_variant_of_an_object() -> None:
    shape = VariantObject(
        Setting(
            name="shape",
            kind=Choice(("point", "request")),
            meaning="The shape.",
            default="point",
            example="point",
        ),
        {"point": Point.variant("A point.", {}), "request": Request.variant("A request.", {})},
    )
    assert shape.read({"name": "a"}, ()) == Point(name="a", number=None)
    assert shape.read({"shape": "request", "odd": True}, ()).is_odd
    with pytest.raises(SettingsInvalid, match="Exactly one"):
        shape.read({"shape": "point"}, ())


def test_a_subclass_adds_settings_before_those_of_its_base_and_a_rule_names_the_first_that_is_written() -> (
    None
):
    assert [one.name for one in Named.kind.settings] == ["text", "name", "number"]
    for document, pointer in (({"name": "a", "text": ["b"]}, "/text"), ({"number": 1}, "/number")):
        with pytest.raises(SettingsInvalid) as caught:
            Named.kind.read(document, ())
        assert caught.value.pointer == pointer


def test_an_absent_setting_is_read_as_the_class_says_and_not_written() -> None:
    for document in ({"name": "x"}, {"name": "x", "text": None}):
        named = Named.kind.read(document, ())
        assert named.text == ("none",)
        assert named.to_json() == {"name": "x"}
    variants = VariantObject(
        Setting(
            name="scheme",
            kind=Choice(("named",)),
            meaning="The scheme.",
            default="named",
            example="named",
        ),
        {"named": Named.variant("A name.", {})},
    )
    named = variants.read({"name": "x", "text": ["a", "b"]}, ())
    assert named.text == ("a", "b")
    assert variants.to_json(named) == {"scheme": "named", "name": "x", "text": ["a", "b"]}


class Colour(StrEnum):
    RED = "red"
    BLUE = "blue"


class Shape(Declared):
    """A variant that knows by which value it was chosen."""

    shape: str = setting(Choice(("line", "dot")), "The shape.", default="line", example="dot")

    selector = "shape"


class Line(Shape):
    colour: Colour = setting(Choice(tuple(Colour)), "The colour.", default="red", example="blue")
    wait: timedelta = setting(
        Duration(WholeNumber(1, 9), timedelta(minutes=1)), "Minutes.", default=1, example=2
    )

    rules = (
        CodeRule(
            sentence="Blue waits long.",
            find_fault=lambda values: (
                (("wait", 0), "Too short.")
                if values["colour"] is Colour.BLUE and values["wait"] < timedelta(minutes=3)
                else None
            ),
        ),
    )


SHAPE = VariantObject(
    Shape.settings["shape"], {"line": Line.variant("A line.", {}), "dot": Shape.variant("A dot.", {})}
)


def test_a_variant_is_written_with_the_value_that_chooses_it() -> None:
    for document in ({"shape": "dot"}, {"colour": "blue", "wait": 3}, {}):
        assert SHAPE.to_json(SHAPE.read(document, ())) == document
        assert Draft202012Validator(SHAPE.to_schema()).is_valid(document)
    assert SHAPE.read({"colour": "blue", "wait": 3}, ()) == Line(
        shape="line", colour=Colour.BLUE, wait=timedelta(minutes=3)
    )
    for document, pointer in (({"colour": "blue"}, "/wait/0"), ({"shape": "dot", "wait": 3}, "/wait")):
        with pytest.raises(SettingsInvalid) as caught:
            SHAPE.read(document, ())
        assert caught.value.pointer == pointer
