"""Kinds of values: each reads a value, and says what it accepts in words and as JSON Schema. Pure."""

import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, Generic, TypeVar

from config_schema.errors import SettingPath, SettingsInvalid

T_co = TypeVar("T_co", covariant=True)

JsonSchema = dict[str, Any]


class ValueKind(ABC, Generic[T_co]):
    """The kind of value that a setting accepts. `label` names it, `limits` states its bounds in words, and `choices`
    lists the only accepted values, if there are such.
    """

    label: str
    limits: str = ""
    choices: tuple[str, ...] = ()

    @abstractmethod
    def read(self, value: Any, place: SettingPath) -> T_co:
        """Convert a JSON value into the value that the hub uses. Raises SettingsInvalid, with `place` as its path."""

    def to_json(self, value: Any) -> Any:
        """Convert a value that `read` returned back into a JSON value that is read as an equal one."""
        return value

    @abstractmethod
    def to_schema(self) -> JsonSchema:
        """Return the JSON Schema of the values that are accepted."""


@dataclass(frozen=True)
class Text(ValueKind[str]):
    """Kind of a text that matches `pattern`, or without a pattern is not blank. `sentence`: the error for any other."""

    pattern: re.Pattern[str] | None = None
    limits: str = ""
    sentence: str = "This must be a non-empty text."
    label: str = "text"

    def read(self, value: Any, place: SettingPath) -> str:
        if not isinstance(value, str):
            raise SettingsInvalid(place, "This must be a text.")
        if not (self.pattern.fullmatch(value) if self.pattern else value.strip()):
            raise SettingsInvalid(place, self.sentence)
        return value

    def to_schema(self) -> JsonSchema:
        return {"type": "string", "pattern": anchor_pattern(self.pattern.pattern) if self.pattern else r"\S"}


@dataclass(frozen=True)
class ConvertedText(Text):
    """Kind of a text that the hub uses as what `convert` makes of it. `write` makes the text again."""

    convert: Callable[[str], Any] = str
    write: Callable[[Any], str] = str

    def read(self, value: Any, place: SettingPath) -> Any:
        return self.convert(super().read(value, place))

    def to_json(self, value: Any) -> Any:
        return self.write(value)


@dataclass(frozen=True)
class Choice(ValueKind[str]):
    """Kind of a text that is one of `choices`. Reading returns the choice, which may be a member of an enumeration."""

    choices: tuple[str, ...]
    label: str = "text"

    def read(self, value: Any, place: SettingPath) -> str:
        if not isinstance(value, str) or value not in self.choices:
            raise SettingsInvalid(place, f"This must be one of: {', '.join(self.choices)}.")
        return self.choices[self.choices.index(value)]

    def to_schema(self) -> JsonSchema:
        return {"enum": list(self.choices)}


@dataclass(frozen=True)
class WholeNumber(ValueKind[int]):
    """Kind of a whole number from `lowest` to `highest`, both included."""

    lowest: int
    highest: int
    label: str = "whole number"

    @property
    def limits(self) -> str:  # type: ignore[override]
        return f"{self.lowest:,} to {self.highest:,}"

    def read(self, value: Any, place: SettingPath) -> int:
        if isinstance(value, bool) or not isinstance(value, int) or not self.lowest <= value <= self.highest:
            sentence = f"This must be a whole number from {self.lowest} to {self.highest}."
            raise SettingsInvalid(place, sentence)
        return value

    def to_schema(self) -> JsonSchema:
        return {"type": "integer", "minimum": self.lowest, "maximum": self.highest}


@dataclass(frozen=True)
class Duration(ValueKind[timedelta]):
    """Kind of a whole number of units of time, such as seconds. Reading returns a timedelta."""

    number: WholeNumber
    unit: timedelta
    label: str = "whole number"

    @property
    def limits(self) -> str:  # type: ignore[override]
        return self.number.limits

    def read(self, value: Any, place: SettingPath) -> timedelta:
        return self.number.read(value, place) * self.unit

    def to_json(self, value: Any) -> Any:
        return value // self.unit

    def to_schema(self) -> JsonSchema:
        return self.number.to_schema()


@dataclass(frozen=True)
class Boolean(ValueKind[bool]):
    """Kind of a value that is true or false."""

    label: str = "true or false"

    def read(self, value: Any, place: SettingPath) -> bool:
        if not isinstance(value, bool):
            raise SettingsInvalid(place, "This must be true or false.")
        return value

    def to_schema(self) -> JsonSchema:
        return {"type": "boolean"}


@dataclass(frozen=True)
class AnyValue(ValueKind[Any]):
    """Kind that accepts any JSON value."""

    label: str = "any JSON value"

    def read(self, value: Any, place: SettingPath) -> Any:
        return value

    def to_schema(self) -> JsonSchema:
        return {}


@dataclass(frozen=True)
class AnyText(ValueKind[str]):
    """Kind of any text, including an empty one."""

    label: str = "text"

    def read(self, value: Any, place: SettingPath) -> str:
        if not isinstance(value, str):
            raise SettingsInvalid(place, "This must be a text.")
        return value

    def to_schema(self) -> JsonSchema:
        return {"type": "string"}


@dataclass(frozen=True)
class TextList(ValueKind[tuple[str, ...]]):
    """Kind of a list of texts that are not empty. `choices`: the only accepted texts, if any."""

    choices: tuple[str, ...] = ()
    label: str = "list of texts"

    def read(self, value: Any, place: SettingPath) -> tuple[str, ...]:
        if not isinstance(value, list | tuple):
            raise SettingsInvalid(place, "This must be a list of texts.")
        for index, item in enumerate(value):
            self._check_item(item, (*place, index))
        return tuple(value)

    def to_json(self, value: Any) -> Any:
        return list(value)

    def _check_item(self, item: Any, place: SettingPath) -> None:
        if not isinstance(item, str) or not item:
            raise SettingsInvalid(place, "This must be a non-empty text.")
        if self.choices and item not in self.choices:
            raise SettingsInvalid(place, f"This must be one of: {', '.join(self.choices)}.")

    def to_schema(self) -> JsonSchema:
        items = {"enum": list(self.choices)} if self.choices else {"type": "string", "minLength": 1}
        return {"type": "array", "items": items}


@dataclass(frozen=True)
class AnyTextList(ValueKind[list[str]]):
    """Kind of a list of any texts, including empty ones."""

    limits: str = ""
    label: str = "list of texts"

    def read(self, value: Any, place: SettingPath) -> list[str]:
        if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
            raise SettingsInvalid(place, "This must be a list of texts.")
        return value

    def to_schema(self) -> JsonSchema:
        return {"type": "array", "items": {"type": "string"}}


@dataclass(frozen=True)
class TextMap(ValueKind[dict[str, str]]):
    """Kind of an object whose values are texts. `schema`: additional keywords of its JSON Schema."""

    limits: str = ""
    schema: Mapping[str, Any] = field(default_factory=dict)
    label: str = "object of texts"

    def read(self, value: Any, place: SettingPath) -> dict[str, str]:
        if not isinstance(value, Mapping) or not all(isinstance(item, str) for item in value.values()):
            raise SettingsInvalid(place, "This must be an object whose values are texts.")
        return dict(value)

    def to_schema(self) -> JsonSchema:
        return {"type": "object", "additionalProperties": {"type": "string"}, **self.schema}


def anchor_pattern(pattern: str) -> str:
    """Return a pattern for JSON Schema that must match the whole text."""
    return f"^(?:{pattern})$"
