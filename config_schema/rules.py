"""Rules about several settings of an object: each is checked, explained, and part of the JSON Schema. Pure.

A rule says: where one condition holds, another has to. A condition checks values, and makes the JSON Schema that checks
the same.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Any

from config_schema.errors import SettingPath, SettingsInvalid
from config_schema.kinds import JsonSchema

_GIVEN: JsonSchema = {"not": {"type": "null"}}


@dataclass(frozen=True, slots=True)
class NamedValues:
    """The values of the settings of one object, by name, as they were read. `document`: the object itself, in which a
    setting may be absent. `defaults`: the values of absent settings in the form of a document.
    """

    values: Mapping[str, Any]
    document: Mapping[str, Any]
    defaults: Mapping[str, Any]

    def __getitem__(self, name: str) -> Any:
        return self.values[name]

    def stated(self, name: str) -> Any:
        """Return the value of a setting as it is written, or its default."""
        return self.document.get(name, self.defaults.get(name))


class Condition(ABC):
    """A claim about the settings of one object."""

    @abstractmethod
    def holds(self, values: NamedValues) -> bool:
        """Return True if the claim is true."""

    @abstractmethod
    def to_schema(self, defaults: Mapping[str, Any]) -> JsonSchema:
        """Return the JSON Schema of the objects for which the claim is true. `defaults`: of the settings, by name."""


@dataclass(frozen=True)
class Given(Condition):
    """A setting has a value other than null, which may be its default."""

    name: str

    def holds(self, values: NamedValues) -> bool:
        return values.stated(self.name) is not None

    def to_schema(self, defaults: Mapping[str, Any]) -> JsonSchema:
        required = [] if defaults.get(self.name) is not None else [self.name]
        return {"properties": {self.name: _GIVEN}, "required": required}


@dataclass(frozen=True)
class Stated(Condition):
    """A setting is written in the document, whatever its value."""

    name: str

    def holds(self, values: NamedValues) -> bool:
        return self.name in values.document

    def to_schema(self, defaults: Mapping[str, Any]) -> JsonSchema:
        return {"required": [self.name]}


class Is(Condition):
    """A setting has one of these values."""

    def __init__(self, name: str, *choices: Any) -> None:
        self.name, self.choices = name, choices

    def holds(self, values: NamedValues) -> bool:
        return values.stated(self.name) in self.choices

    def to_schema(self, defaults: Mapping[str, Any]) -> JsonSchema:
        required = [] if defaults.get(self.name) in self.choices else [self.name]
        return {"properties": {self.name: {"enum": list(self.choices)}}, "required": required}


@dataclass(frozen=True)
class Fits(Condition):
    """A setting is written in the document, and fits a JSON Schema. `test` decides the same of its value as read, or of
    None.
    """

    name: str
    schema: Mapping[str, Any]
    test: Callable[[Any], bool]

    def holds(self, values: NamedValues) -> bool:
        return self.name in values.document and self.test(values[self.name])

    def to_schema(self, defaults: Mapping[str, Any]) -> JsonSchema:
        return {"properties": {self.name: dict(self.schema)}, "required": [self.name]}


@dataclass(frozen=True)
class Not(Condition):
    """A condition does not hold."""

    condition: Condition

    def holds(self, values: NamedValues) -> bool:
        return not self.condition.holds(values)

    def to_schema(self, defaults: Mapping[str, Any]) -> JsonSchema:
        return {"not": self.condition.to_schema(defaults)}


class AnyOf(Condition):
    """At least one of several conditions holds."""

    def __init__(self, *conditions: Condition) -> None:
        self.conditions = conditions

    def holds(self, values: NamedValues) -> bool:
        return any(condition.holds(values) for condition in self.conditions)

    def to_schema(self, defaults: Mapping[str, Any]) -> JsonSchema:
        return {"anyOf": [condition.to_schema(defaults) for condition in self.conditions]}


class AllOf(AnyOf):
    """All of several conditions hold."""

    def holds(self, values: NamedValues) -> bool:
        return all(condition.holds(values) for condition in self.conditions)

    def to_schema(self, defaults: Mapping[str, Any]) -> JsonSchema:
        return {"allOf": [condition.to_schema(defaults) for condition in self.conditions]}


@dataclass(frozen=True)
class OneOf(Condition):
    """Exactly one of several settings is given, or what else `is_met` says of a setting."""

    names: tuple[str, ...]
    is_met: Callable[[str], Condition] = Given

    def holds(self, values: NamedValues) -> bool:
        return sum(self.is_met(name).holds(values) for name in self.names) == 1

    def to_schema(self, defaults: Mapping[str, Any]) -> JsonSchema:
        return {"oneOf": [self.is_met(name).to_schema(defaults) for name in self.names]}


class Rule(ABC):
    """A rule about several settings of an object. `sentence` says it, in the reference and in errors."""

    sentence: str

    @abstractmethod
    def check(self, values: NamedValues, place: SettingPath) -> None:
        """Raise SettingsInvalid if the object at `place` breaks the rule."""

    def to_schema(self, defaults: Mapping[str, Any]) -> JsonSchema:
        """Return the JSON Schema of the objects that keep the rule; an empty one if only code can tell."""
        return {}


@dataclass(frozen=True, kw_only=True)
class Requires(Rule):
    """A rule: where the condition `when` holds, `then` has to. `at` names the setting that an error is about, "" the
    whole object; of several, the first that is written. `error`: what the error says in place of the sentence.
    """

    sentence: str
    then: Condition
    when: Condition | None = None
    at: str | tuple[str, ...] = ""
    error: str = ""

    def check(self, values: NamedValues, place: SettingPath) -> None:
        if (self.when is None or self.when.holds(values)) and not self.then.holds(values):
            name = (
                self.at if isinstance(self.at, str) else next(at for at in self.at if at in values.document)
            )
            raise SettingsInvalid((*place, name) if name else place, self.error or self.sentence)

    def to_schema(self, defaults: Mapping[str, Any]) -> JsonSchema:
        then = self.then.to_schema(defaults)
        return then if self.when is None else {"if": self.when.to_schema(defaults), "then": then}


def exactly_one(*names: str) -> Requires:
    """Return the rule that exactly one of several settings is given."""
    listed = ", ".join(f"`{name}`" for name in names)
    sentence = f"Exactly one of these is required: {listed}."
    return Requires(sentence=sentence, then=OneOf(names), at=names[0])


# The name or the path of the setting at fault, "" for the whole object; and the error.
Fault = tuple[str | SettingPath, str]


@dataclass(frozen=True, kw_only=True)
class CodeRule(Rule):
    """A rule that code alone can check: `find_fault` returns the setting at fault and the error, or None.
    `schema` refuses some of what the rule refuses, and nothing else.
    """

    sentence: str
    find_fault: Callable[[NamedValues], Fault | None]
    schema: JsonSchema | None = None

    def check(self, values: NamedValues, place: SettingPath) -> None:
        fault = self.find_fault(values)
        if fault is not None:
            at, error = fault
            steps = (at,) if isinstance(at, str) and at else at or ()
            raise SettingsInvalid((*place, *steps), error)

    def to_schema(self, defaults: Mapping[str, Any]) -> JsonSchema:
        return self.schema or {}


def rule_schemas(rules: Collection[Rule], defaults: Mapping[str, Any]) -> list[JsonSchema]:
    """Return the JSON Schemas of the rules that have one."""
    return [schema for rule in rules if (schema := rule.to_schema(defaults))]
