"""Templates of request bodies: JSON in which `{"expression": …}` stands for the result of an expression, and
`{"template": …}` for a text with placeholders. Pure.

All else is sent as it is, so a GraphQL query may contain as many braces as it likes.
"""

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NoReturn

from config_schema.declared import Declared, setting
from config_schema.errors import SettingPath, SettingsInvalid
from config_schema.expressions.expression_analysis import parse_plain_path
from config_schema.kinds import Boolean, JsonSchema, ValueKind
from connectors.http.placeholders import find_fault, find_placeholders
from connectors.settings.setting_kinds import Expression, compile_setting
from connectors.values.json_responses import JmesPathExpression, is_true_value

MAX_DEPTH = 20
MAX_VALUES = 1_000
_MAX_TEXT = 20_000
_TEMPLATE_MEMBERS = frozenset({"template"})
_OMITTED = object()
_CHANGED = compile_setting("changed")

Evaluate = Callable[[JmesPathExpression], Any]
Fill = Callable[[str], str]


class ExpressionPart(Declared):
    """The part of a body that an expression makes."""

    expression: JmesPathExpression = setting(
        Expression(), "The expression whose result is sent.", example="id"
    )
    is_optional: bool = setting(
        Boolean(),
        "True if the part is omitted when the result is null. A field that is cleared is sent as null by its path in "
        "`changed`, such as `changed.phone`.",
        name="optional",
        default=False,
        example=True,
    )
    when: JmesPathExpression | None = setting(
        Expression(),
        "The part is omitted unless this expression is true.",
        default=None,
        example="changed.phone",
    )

    @cached_property
    def changed_field(self) -> str:
        """Return the field whose new value the part is; empty if it is anything else."""
        steps = parse_plain_path(self.expression.text) or ()
        return str(steps[1]) if len(steps) == 2 and steps[0] == "changed" else ""


_MEMBERS = frozenset(one.name for one in ExpressionPart.kind.settings)


@dataclass(frozen=True, slots=True)
class TextPart:
    """A text of a body that holds placeholders."""

    template: str


# JSON Schema of the parts that are not sent as they are.
PART_SCHEMA: JsonSchema = {
    "anyOf": [
        ExpressionPart.kind.to_schema(),
        {"type": "object", "properties": {"template": {"type": "string"}}, "required": ["template"]}
        | {"additionalProperties": False},
    ]
}


@dataclass(frozen=True, slots=True)
class BodyTemplate:
    """A template: `root` holds JSON values, `ExpressionPart`s and `TextPart`s."""

    root: Any

    def render(self, evaluate: Evaluate, fill: Fill) -> Any:
        """Return the body; None if it is one expression that makes nothing. `evaluate` gives the result of an
        expression, and `fill` the text of a template; both may raise any error.
        """
        rendered = _render(self.root, evaluate, fill)
        return None if rendered is _OMITTED else rendered

    def to_json(self) -> Any:
        """Return the template as it is written in settings."""
        return _part_to_json(self.root)

    def uses(self, name: str) -> bool:
        """Return True if an expression mentions a name, or a text has a placeholder of it."""
        word = re.compile(rf"\b{name}\b")
        return any(word.search(expression.text) for expression in self.expressions()) or any(
            name in find_placeholders(text) for text in self.texts()
        )

    def expressions(self) -> Iterator[JmesPathExpression]:
        """Yield the expressions of the template."""
        yield from (expression for _, expression in self.place_expressions(()))

    def place_expressions(self, place: SettingPath) -> Iterator[tuple[SettingPath, JmesPathExpression]]:
        """Yield the expressions of the template with their places. `place`: that of the template."""
        yield from _place_expressions(self.root, place)

    def texts(self) -> Iterator[str]:
        """Yield the texts that hold placeholders."""
        yield from (part.template for part in self._parts() if isinstance(part, TextPart))

    def literals(self) -> Iterator[str]:
        """Yield the texts that are sent as they are."""
        yield from (part for part in self._parts() if isinstance(part, str))

    def _parts(self) -> Iterator[Any]:
        waiting = [self.root]
        while waiting:
            part = waiting.pop()
            if isinstance(part, dict | list):
                waiting.extend(part.values() if isinstance(part, dict) else part)
            else:
                yield part


def _render(part: Any, evaluate: Evaluate, fill: Fill) -> Any:
    if isinstance(part, TextPart):
        return fill(part.template)
    if isinstance(part, ExpressionPart):
        if part.when is not None and not is_true_value(evaluate(part.when)):
            return _OMITTED
        result = evaluate(part.expression)
        is_omitted = result is None and part.is_optional and not _is_cleared(part, evaluate)
        return _OMITTED if is_omitted else result
    if isinstance(part, dict):
        rendered = ((name, _render(value, evaluate, fill)) for name, value in part.items())
        return {name: value for name, value in rendered if value is not _OMITTED}
    if isinstance(part, list):
        return [value for value in (_render(one, evaluate, fill) for one in part) if value is not _OMITTED]
    return part


def _is_cleared(part: ExpressionPart, evaluate: Evaluate) -> bool:
    """Return True if the part is the new value of a field that the change clears: it has the field, and its value is
    null.
    """
    return part.changed_field != "" and part.changed_field in (evaluate(_CHANGED) or ())


def _place_expressions(part: Any, place: SettingPath) -> Iterator[tuple[SettingPath, JmesPathExpression]]:
    if isinstance(part, ExpressionPart):
        yield (*place, "expression"), part.expression
        if part.when is not None:
            yield (*place, "when"), part.when
    elif isinstance(part, dict | list):
        for step, inner in part.items() if isinstance(part, dict) else enumerate(part):
            yield from _place_expressions(inner, (*place, step))


def _part_to_json(part: Any) -> Any:
    if isinstance(part, TextPart):
        return {"template": part.template}
    if isinstance(part, ExpressionPart):
        return part.to_json()
    if isinstance(part, dict):
        return {name: _part_to_json(value) for name, value in part.items()}
    return [_part_to_json(one) for one in part] if isinstance(part, list) else part


# JSON Schema of the objects that stand for the result of an expression.
IS_EXPRESSION_PART: JsonSchema = {
    "type": "object",
    "required": ["expression"],
    "propertyNames": {"enum": sorted(_MEMBERS)},
}
_PART = {"$ref": "#/$defs/body-part"}
_WITHOUT_VALUE = {"$ref": "#/$defs/body-without-value"}
# A JSON Schema of a body in which an expression or a text mentions the value that is searched for.
MENTIONS_VALUE: JsonSchema = {"type": ["object", "array"], "not": _WITHOUT_VALUE}
# The JSON Schemas of values at any depth of a body: the `$defs` of every document that has one.
BODY_SCHEMAS: Mapping[str, JsonSchema] = {
    "body-part": {
        "if": IS_EXPRESSION_PART,
        "then": ExpressionPart.kind.to_schema(),
        "else": {
            "if": {"type": "object", "required": ["template"], "maxProperties": 1},
            "then": {"properties": {"template": {"type": "string"}}},
            "else": {"additionalProperties": _PART, "items": _PART},
        },
    },
    "body-without-value": {
        "not": {"type": "string", "pattern": r"\bvalue\b"},
        "additionalProperties": _WITHOUT_VALUE,
        "items": _WITHOUT_VALUE,
    },
}


@dataclass(frozen=True)
class Body(ValueKind[BodyTemplate]):
    """A template of a body.

    Its texts may use the names in `names`; any if there are none. Some requests have no value for those in `nullable`,
    so a text must not use them.
    """

    names: tuple[str, ...] = ()
    nullable: tuple[str, ...] = ()
    label: str = "object with expressions"
    limits: str = f"at most {MAX_VALUES:,} values, nested at most {MAX_DEPTH} deep"

    def read(self, value: Any, place: SettingPath) -> BodyTemplate:
        if not isinstance(value, Mapping | list | tuple):
            raise SettingsInvalid(place, "This must be an object or a list.")
        return BodyTemplate(_TemplateReader(self.names, self.nullable).read_part(value, place, 0))

    def to_json(self, value: BodyTemplate) -> Any:
        return value.to_json()

    def to_schema(self) -> JsonSchema:
        return {"type": ["object", "array"], **_PART}


@dataclass(frozen=True)
class ObjectBody(Body):
    """A template of an object."""

    def read(self, value: Any, place: SettingPath) -> BodyTemplate:
        if not isinstance(value, Mapping) or not value:
            raise SettingsInvalid(place, "This must be an object that is not empty.")
        return super().read(value, place)

    def to_schema(self) -> JsonSchema:
        return {"type": "object", "minProperties": 1, **_PART}


class _TemplateReader:
    """Reads a template.

    Its texts may use the names in `names` (any name if empty), except those in `nullable`.
    """

    def __init__(self, names: tuple[str, ...] = (), nullable: tuple[str, ...] = ()) -> None:
        self._values_left = MAX_VALUES
        self._names = names
        self._nullable = nullable

    def read_part(self, value: Any, place: SettingPath, depth: int) -> Any:
        self._values_left -= 1
        if depth > MAX_DEPTH or self._values_left < 0:
            sentence = f"A body may have at most {MAX_VALUES:,} values, nested at most {MAX_DEPTH} deep."
            raise SettingsInvalid(place, sentence)
        if isinstance(value, Mapping):
            if "expression" in value and value.keys() <= _MEMBERS:
                return ExpressionPart.kind.read(value, place)
            if value.keys() == _TEMPLATE_MEMBERS:
                return self._read_template(value["template"], (*place, "template"))
            for name in value:
                _require_text(name, place)
            return {name: self.read_part(inner, (*place, name), depth + 1) for name, inner in value.items()}
        if isinstance(value, list | tuple):
            return [self.read_part(inner, (*place, index), depth + 1) for index, inner in enumerate(value)]
        if isinstance(value, str):
            _require_text(value, place)
            self._refuse_placeholder(value, place)
        elif not (value is None or isinstance(value, bool | int | float)):
            raise SettingsInvalid(place, "This must be a JSON value.")
        return value

    def _read_template(self, value: Any, place: SettingPath) -> TextPart:
        if not isinstance(value, str):
            raise SettingsInvalid(place, "This must be a text.")
        _require_text(value, place)
        if self._names and (fault := find_fault(value, self._names)):
            raise SettingsInvalid(place, fault)
        for name in self._nullable:
            if name in find_placeholders(value):
                _refuse_text(name, place)
        return TextPart(value)

    def _refuse_placeholder(self, text: str, place: SettingPath) -> None:
        """Refuse a text that is nothing but a placeholder, which would be sent as it is."""
        name = text[1:-1]
        if name in self._names and text == f"{{{name}}}":
            _refuse_text(name, place)


def _refuse_text(name: str, place: SettingPath) -> NoReturn:
    raise SettingsInvalid(place, f"Write {{“expression”: “{name}”}} instead of this text.")


def _require_text(text: str, place: SettingPath) -> None:
    if len(text) > _MAX_TEXT or "\0" in text or any("\ud800" <= one <= "\udfff" for one in text):
        raise SettingsInvalid(
            place,
            f"A text may have at most {_MAX_TEXT:,} characters, all of them Unicode.",
        )
