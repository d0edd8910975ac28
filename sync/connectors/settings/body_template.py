"""Templates of request bodies: JSON in which `{"expression": …}` stands for the result of an expression, and
`{"template": …}` for a text with placeholders. Pure.

All else is sent as it is, so a GraphQL query may hold as many braces as it likes.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from config_schema.errors import Place, SettingsInvalid
from config_schema.kinds import JsonSchema, Kind
from config_schema.translatable import translatable
from sync.connectors.settings.setting_kinds import Expression, compile_setting
from sync.connectors.values.json_responses import JmesPathExpression

MAX_DEPTH = 20
MAX_VALUES = 1_000
_MAX_TEXT = 20_000
_MEMBERS = frozenset({"expression", "optional"})
_TEMPLATE_MEMBERS = frozenset({"template"})
_OMITTED = object()

Evaluate = Callable[[JmesPathExpression], Any]
Fill = Callable[[str], str]


@dataclass(frozen=True, slots=True)
class ExpressionPart:
    """The part of a body that an expression makes. `is_optional`: it is left out where the result is null."""

    expression: JmesPathExpression
    is_optional: bool


@dataclass(frozen=True, slots=True)
class TextPart:
    """A text of a body that holds placeholders."""

    template: str


@dataclass(frozen=True, slots=True)
class BodyTemplate:
    """A template: `root` holds JSON values, `ExpressionPart`s and `TextPart`s."""

    root: Any

    def render(self, evaluate: Evaluate, fill: Fill) -> Any:
        """Return the body; None if it is one expression that makes nothing. `evaluate` gives the result of an
        expression, and `fill` the text of a template; both raise what they like.
        """
        rendered = _render(self.root, evaluate, fill)
        return None if rendered is _OMITTED else rendered

    def to_json(self) -> Any:
        """Return the template as it is written in settings."""
        return _part_to_json(self.root)

    def expressions(self) -> Iterator[JmesPathExpression]:
        """Yield the expressions of the template."""
        yield from (part.expression for part in self._parts() if isinstance(part, ExpressionPart))

    def texts(self) -> Iterator[str]:
        """Yield the texts that hold placeholders."""
        yield from (part.template for part in self._parts() if isinstance(part, TextPart))

    def _parts(self) -> Iterator[Any]:
        waiting = [self.root]
        while waiting:
            part = waiting.pop()
            if isinstance(part, dict | list):
                waiting.extend(part.values() if isinstance(part, dict) else part)
            else:
                yield part


def make_template(expression: str, *names: str) -> BodyTemplate:
    """Return the template of an expression, inside an object of one member for each name."""
    root: Any = ExpressionPart(compile_setting(expression), is_optional=False)
    for name in reversed(names):
        root = {name: root}
    return BodyTemplate(root)


def _render(part: Any, evaluate: Evaluate, fill: Fill) -> Any:
    if isinstance(part, TextPart):
        return fill(part.template)
    if isinstance(part, ExpressionPart):
        result = evaluate(part.expression)
        return _OMITTED if result is None and part.is_optional else result
    if isinstance(part, dict):
        rendered = ((name, _render(value, evaluate, fill)) for name, value in part.items())
        return {name: value for name, value in rendered if value is not _OMITTED}
    if isinstance(part, list):
        return [value for value in (_render(one, evaluate, fill) for one in part) if value is not _OMITTED]
    return part


def _part_to_json(part: Any) -> Any:
    if isinstance(part, TextPart):
        return {"template": part.template}
    if isinstance(part, ExpressionPart):
        return {"expression": part.expression.text, **({"optional": True} if part.is_optional else {})}
    if isinstance(part, dict):
        return {name: _part_to_json(value) for name, value in part.items()}
    return [_part_to_json(one) for one in part] if isinstance(part, list) else part


@dataclass(frozen=True)
class Body(Kind[BodyTemplate]):
    """A template of a body."""

    label: str = translatable("object with expressions")
    limits: str = translatable(
        "at most %(most)s values, nested at most %(depth)s deep", most=f"{MAX_VALUES:,}", depth=MAX_DEPTH
    )

    def read(self, value: Any, place: Place) -> BodyTemplate:
        if not isinstance(value, Mapping | list | tuple):
            raise SettingsInvalid(place, "This must be an object or a list.")
        reader = _TemplateReader()
        return BodyTemplate(reader.read_part(value, place, 0))

    def to_schema(self) -> JsonSchema:
        return {"type": ["object", "array"]}


class _TemplateReader:
    def __init__(self) -> None:
        self._values_left = MAX_VALUES

    def read_part(self, value: Any, place: Place, depth: int) -> Any:
        self._values_left -= 1
        if depth > MAX_DEPTH or self._values_left < 0:
            sentence = translatable(
                "A body may have at most %(most)s values, nested at most %(depth)s deep.",
                most=f"{MAX_VALUES:,}",
                depth=MAX_DEPTH,
            )
            raise SettingsInvalid(place, sentence)
        if isinstance(value, Mapping):
            if "expression" in value and value.keys() <= _MEMBERS:
                return _read_expression(value, place)
            if value.keys() == _TEMPLATE_MEMBERS:
                return _read_template(value["template"], (*place, "template"))
            for name in value:
                _require_text(name, place)
            return {name: self.read_part(inner, (*place, name), depth + 1) for name, inner in value.items()}
        if isinstance(value, list | tuple):
            return [self.read_part(inner, (*place, index), depth + 1) for index, inner in enumerate(value)]
        if isinstance(value, str):
            _require_text(value, place)
        elif not (value is None or isinstance(value, bool | int | float)):
            raise SettingsInvalid(place, "This must be a JSON value.")
        return value


def _read_expression(value: Mapping[str, Any], place: Place) -> ExpressionPart:
    is_optional = value.get("optional", False)
    if not isinstance(is_optional, bool):
        raise SettingsInvalid((*place, "optional"), "This must be true or false.")
    return ExpressionPart(Expression().read(value["expression"], (*place, "expression")), is_optional)


def _read_template(value: Any, place: Place) -> TextPart:
    if not isinstance(value, str):
        raise SettingsInvalid(place, "This must be a text.")
    _require_text(value, place)
    return TextPart(value)


def _require_text(text: str, place: Place) -> None:
    if len(text) > _MAX_TEXT or "\0" in text or any("\ud800" <= one <= "\udfff" for one in text):
        raise SettingsInvalid(
            place,
            translatable(
                "A text may have at most %(most)s characters, all of them Unicode.", most=f"{_MAX_TEXT:,}"
            ),
        )
