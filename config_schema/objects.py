"""Kinds of values that hold settings: objects, objects with variants, lists and maps of others. Pure."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar

from config_schema.errors import SettingPath, SettingsInvalid
from config_schema.kinds import JsonSchema, ValueKind, anchor_pattern
from config_schema.rules import Rule, rule_schemas
from config_schema.settings import Setting, SettingValues

T = TypeVar("T")


@dataclass(frozen=True)
class Object(ValueKind[T]):
    """Kind of an object with these settings and no others. `build`: makes the result of their values, or refuses them.
    `hints`: errors for unknown fields that belong elsewhere, by name.
    """

    settings: tuple[Setting[Any], ...]
    build: Callable[[SettingValues], T]
    rules: tuple[Rule, ...] = ()
    hints: Mapping[str, str] = field(default_factory=dict)
    label: str = "object"

    def read(self, value: Any, place: SettingPath) -> T:
        document = _require_object(value, place)
        _refuse_unknown(document, self.settings, place, self.hints)
        values = SettingValues(document, self.settings, place)
        _check_rules(values, self.rules)
        return self.build(values)

    def to_json(self, value: Any) -> Any:
        return value.to_json()

    def to_schema(self) -> JsonSchema:
        return object_schema(self.settings, self.rules)


@dataclass(frozen=True)
class Variant:
    """One variant of a VariantObject: the settings of the object for one value of its selector. `example`: a whole
    object. `build`: makes the result.
    """

    meaning: str
    example: Mapping[str, Any]
    settings: tuple[Setting[Any], ...]
    rules: tuple[Rule, ...]
    build: Callable[[SettingValues], Any]


@dataclass(frozen=True)
class VariantObject(ValueKind[T]):
    """Kind of an object whose settings depend on the value of one of them, the `selector`. `hints`: errors for unknown
    fields that belong elsewhere, by name. A result that is written again has an attribute of the selector's name.
    """

    selector: Setting[str]
    variants: Mapping[str, Variant]
    hints: Mapping[str, str] = field(default_factory=dict)
    label: str = "object"

    def read(self, value: Any, place: SettingPath) -> T:
        document = _require_object(value, place)
        name = self.selector.read(document, place)
        settings, variant = self.settings_of(name), self.variants[name]
        _refuse_unknown(document, settings, place, self.hints)
        values = SettingValues(document, settings, place)
        _check_rules(values, variant.rules)
        result: T = variant.build(values)
        return result

    def to_json(self, value: Any) -> Any:
        written, name = value.to_json(), self.selector.name
        # A class that declares the selector has written it.
        return written if getattr(value, "selector", "") else {name: getattr(value, name), **written}

    def settings_of(self, name: str) -> tuple[Setting[Any], ...]:
        """Return the selector and the settings of the variant of this name."""
        return (self.selector, *self.variants[name].settings)

    def to_schema(self) -> JsonSchema:
        return {"oneOf": [self._variant_schema(name) for name in self.variants]}

    def _variant_schema(self, name: str) -> JsonSchema:
        schema = object_schema(self.settings_of(name), self.variants[name].rules)
        schema["title"] = name
        schema["description"] = self.variants[name].meaning
        schema["properties"][self.selector.name] = {"const": name, "description": self.selector.meaning}
        if name != self.selector.default:
            schema["required"] = sorted({*schema.get("required", ()), self.selector.name})
        return schema


@dataclass(frozen=True)
class MapOf(ValueKind[dict[str, T]]):
    """Kind of an object whose field names people choose, with values of one kind. `placeholder`: a name as the
    reference shows it. `noun`: the plural that errors use for the names. `fold`: converts a name into a key of the
    result. `least` is 0 or 1.
    """

    values: ValueKind[T]
    placeholder: str
    least: int = 0
    most: int | None = None
    names: re.Pattern[str] | None = None
    name_sentence: str = ""
    fold: Callable[[str], str] = str
    noun: str = "names"
    label: str = "object"

    @property
    def limits(self) -> str:  # type: ignore[override]
        if self.most is not None:
            number = f"{self.least:,} to {self.most:,}" if self.least else f"at most {self.most:,}"
            return f"{number} {self.noun}"
        return "not empty" if self.least else ""

    def read(self, value: Any, place: SettingPath) -> dict[str, T]:
        document = _require_object(value, place)
        if len(document) < self.least or (self.most is not None and len(document) > self.most):
            if self.most is None:
                raise SettingsInvalid(place, "This must not be empty.")
            raise SettingsInvalid(place, f"This must have {self.limits}.")
        read: dict[str, T] = {}
        for name, item in document.items():
            if self.names and not self.names.fullmatch(name):
                raise SettingsInvalid((*place, name), self.name_sentence)
            read[self.fold(name)] = self.values.read(item, (*place, name))
        return read

    def to_json(self, value: Any) -> Any:
        return {name: self.values.to_json(item) for name, item in value.items()}

    def to_schema(self) -> JsonSchema:
        schema: JsonSchema = {"type": "object", "additionalProperties": self.values.to_schema()}
        if self.least:
            schema["minProperties"] = self.least
        if self.most is not None:
            schema["maxProperties"] = self.most
        if self.names:
            schema["propertyNames"] = {"pattern": anchor_pattern(self.names.pattern)}
        return schema


@dataclass(frozen=True)
class ListOf(ValueKind[tuple[T, ...]]):
    """Kind of a list of `least` (0 or 1) to `most` values of one kind. `noun`: the plural that errors use for them."""

    items: ValueKind[T]
    most: int
    label: str = "list of objects"
    noun: str = "objects"
    least: int = 1

    @property
    def limits(self) -> str:  # type: ignore[override]
        number = f"1 to {self.most:,} items" if self.least else f"at most {self.most:,} items"
        return f"{number}, each: {self.items.limits}" if self.items.limits else number

    def read(self, value: Any, place: SettingPath) -> tuple[T, ...]:
        if not isinstance(value, list | tuple) or not self.least <= len(value) <= self.most:
            number = f"1 to {self.most}" if self.least else f"at most {self.most}"
            raise SettingsInvalid(place, f"This must be a list of {number} {self.noun}.")
        return tuple(self.items.read(item, (*place, index)) for index, item in enumerate(value))

    def to_json(self, value: Any) -> Any:
        return [self.items.to_json(item) for item in value]

    def to_schema(self) -> JsonSchema:
        items = self.items.to_schema()
        return {"type": "array", "minItems": self.least, "maxItems": self.most, "items": items}


@dataclass(frozen=True)
class SetOf(ListOf[T]):
    """Kind of a list whose order does not matter. Reading returns a frozenset."""

    def read(self, value: Any, place: SettingPath) -> frozenset[T]:  # type: ignore[override]
        return frozenset(super().read(value, place))

    def to_json(self, value: Any) -> Any:
        return sorted(super().to_json(value))


@dataclass(frozen=True)
class OneOrMore(ListOf[T]):
    """Kind of one value of a kind, or a list of 1 to `most` of them."""

    label: str = "object or list of objects"

    @property
    def limits(self) -> str:  # type: ignore[override]
        return f"at most {self.most:,} items"

    def read(self, value: Any, place: SettingPath) -> tuple[T, ...]:
        return (self.items.read(value, place),) if isinstance(value, Mapping) else super().read(value, place)

    def to_schema(self) -> JsonSchema:
        return {"anyOf": [self.items.to_schema(), super().to_schema()]}


def object_schema(settings: tuple[Setting[Any], ...], rules: tuple[Rule, ...] = ()) -> JsonSchema:
    """Return the JSON Schema of an object with these settings and no others."""
    schema: JsonSchema = {
        "type": "object",
        "properties": {setting.name: _setting_schema(setting) for setting in settings},
        "additionalProperties": False,
    }
    if needed := [setting.name for setting in settings if setting.is_required]:
        schema["required"] = needed
    if conditions := rule_schemas(rules, {setting.name: setting.default for setting in settings}):
        schema["allOf"] = conditions
    return schema


def _check_rules(values: SettingValues, rules: tuple[Rule, ...]) -> None:
    if rules:
        named = values.by_name
        for rule in rules:
            rule.check(named, values.place)


def _setting_schema(setting: Setting[Any]) -> JsonSchema:
    schema = setting.kind.to_schema()
    if setting.is_nullable:
        schema = {"anyOf": [schema, {"type": "null"}]}
    schema |= {"description": setting.meaning, "examples": [setting.example]}
    if setting.default is not None:
        schema["default"] = setting.default
    return schema


def _require_object(value: Any, place: SettingPath) -> Mapping[str, Any]:
    if not isinstance(value, Mapping):
        raise SettingsInvalid(place, "This must be an object.")
    return value


def _refuse_unknown(
    document: Mapping[str, Any],
    settings: tuple[Setting[Any], ...],
    place: SettingPath,
    hints: Mapping[str, str] | None = None,
) -> None:
    known = {setting.name for setting in settings}
    for name in document:
        if name not in known:
            available = ", ".join(sorted(known)) or "none"
            listed = f"Unknown field. Available: {available}."
            raise SettingsInvalid((*place, name), (hints or {}).get(name, listed))
