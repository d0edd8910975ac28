"""Kinds of values: each reads a value, and says what it accepts in words and as JSON Schema. Pure."""

import re
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

from config_schema.errors import Place, SettingsInvalid
from config_schema.translatable import translatable

T_co = TypeVar("T_co", covariant=True)

JsonSchema = dict[str, Any]


class Kind(ABC, Generic[T_co]):
    """A kind of value. `label` names it, `limits` says what else must be true of it, `choices` lists the only values
    that it accepts.
    """

    label: str
    limits: str = ""
    choices: tuple[str, ...] = ()

    @abstractmethod
    def read(self, value: Any, place: Place) -> T_co:
        """Return what a value means. Raises SettingsInvalid."""

    @abstractmethod
    def to_schema(self) -> JsonSchema:
        """Return the JSON Schema of the values that are accepted."""


@dataclass(frozen=True)
class Text(Kind[str]):
    """A text: it matches `pattern`, or is not blank if there is none. `sentence`: said of a text that does not."""

    pattern: re.Pattern[str] | None = None
    limits: str = ""
    sentence: str = translatable("This must be a non-empty text.")
    label: str = translatable("text")

    def read(self, value: Any, place: Place) -> str:
        if not isinstance(value, str):
            raise SettingsInvalid(place, "This must be a text.")
        if not (self.pattern.fullmatch(value) if self.pattern else value.strip()):
            raise SettingsInvalid(place, self.sentence)
        return value

    def to_schema(self) -> JsonSchema:
        return {"type": "string", "pattern": anchored(self.pattern.pattern) if self.pattern else r"\S"}


@dataclass(frozen=True)
class Choice(Kind[str]):
    """One of the given words."""

    choices: tuple[str, ...]
    label: str = translatable("text")

    def read(self, value: Any, place: Place) -> str:
        if not isinstance(value, str) or value not in self.choices:
            raise SettingsInvalid(
                place, translatable("This must be one of: %(choices)s.", choices=", ".join(self.choices))
            )
        return value

    def to_schema(self) -> JsonSchema:
        return {"enum": list(self.choices)}


@dataclass(frozen=True)
class WholeNumber(Kind[int]):
    """A whole number within bounds, both included."""

    lowest: int
    highest: int
    label: str = translatable("whole number")

    @property
    def limits(self) -> str:  # type: ignore[override]
        return translatable(
            "%(lowest)s to %(highest)s", lowest=f"{self.lowest:,}", highest=f"{self.highest:,}"
        )

    def read(self, value: Any, place: Place) -> int:
        if isinstance(value, bool) or not isinstance(value, int) or not self.lowest <= value <= self.highest:
            sentence = translatable(
                "This must be a whole number from %(lowest)s to %(highest)s.",
                lowest=self.lowest,
                highest=self.highest,
            )
            raise SettingsInvalid(place, sentence)
        return value

    def to_schema(self) -> JsonSchema:
        return {"type": "integer", "minimum": self.lowest, "maximum": self.highest}


@dataclass(frozen=True)
class Boolean(Kind[bool]):
    """True or false."""

    label: str = translatable("true or false")

    def read(self, value: Any, place: Place) -> bool:
        if not isinstance(value, bool):
            raise SettingsInvalid(place, "This must be true or false.")
        return value

    def to_schema(self) -> JsonSchema:
        return {"type": "boolean"}


@dataclass(frozen=True)
class AnyValue(Kind[Any]):
    """Any JSON value."""

    label: str = translatable("any JSON value")

    def read(self, value: Any, place: Place) -> Any:
        return value

    def to_schema(self) -> JsonSchema:
        return {}


@dataclass(frozen=True)
class AnyText(Kind[str]):
    """Any text, also an empty one."""

    label: str = translatable("text")

    def read(self, value: Any, place: Place) -> str:
        if not isinstance(value, str):
            raise SettingsInvalid(place, "This must be a text.")
        return value

    def to_schema(self) -> JsonSchema:
        return {"type": "string"}


@dataclass(frozen=True)
class TextList(Kind[tuple[str, ...]]):
    """A list of texts that are not empty. `choices`: the only texts that are accepted, if any."""

    choices: tuple[str, ...] = ()
    label: str = translatable("list of texts")

    def read(self, value: Any, place: Place) -> tuple[str, ...]:
        if not isinstance(value, list | tuple):
            raise SettingsInvalid(place, "This must be a list of texts.")
        for index, item in enumerate(value):
            self._check_item(item, (*place, index))
        return tuple(value)

    def _check_item(self, item: Any, place: Place) -> None:
        if not isinstance(item, str) or not item:
            raise SettingsInvalid(place, "This must be a non-empty text.")
        if self.choices and item not in self.choices:
            raise SettingsInvalid(
                place, translatable("This must be one of: %(choices)s.", choices=", ".join(self.choices))
            )

    def to_schema(self) -> JsonSchema:
        items = {"enum": list(self.choices)} if self.choices else {"type": "string", "minLength": 1}
        return {"type": "array", "items": items}


@dataclass(frozen=True)
class AnyTextList(Kind[list[str]]):
    """A list of any texts."""

    label: str = translatable("list of texts")

    def read(self, value: Any, place: Place) -> list[str]:
        if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
            raise SettingsInvalid(place, "This must be a list of texts.")
        return value

    def to_schema(self) -> JsonSchema:
        return {"type": "array", "items": {"type": "string"}}


@dataclass(frozen=True)
class TextMap(Kind[dict[str, str]]):
    """An object whose values are texts. `schema`: what else its JSON Schema says."""

    limits: str = ""
    schema: Mapping[str, Any] = field(default_factory=dict)
    label: str = translatable("object of texts")

    def read(self, value: Any, place: Place) -> dict[str, str]:
        if not isinstance(value, Mapping) or not all(isinstance(item, str) for item in value.values()):
            raise SettingsInvalid(place, "This must be an object whose values are texts.")
        return dict(value)

    def to_schema(self) -> JsonSchema:
        return {"type": "object", "additionalProperties": {"type": "string"}, **self.schema}


def anchored(pattern: str) -> str:
    """Return a pattern that must match a whole text, as JSON Schema has it."""
    return f"^(?:{pattern})$"
