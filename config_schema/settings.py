"""Settings: one description of each, by which it is read, explained and checked. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from config_schema.errors import SettingPath, SettingsInvalid
from config_schema.kinds import ValueKind
from config_schema.rules import NamedValues

T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)


@dataclass(frozen=True, kw_only=True, eq=False)
class Setting(Generic[T_co]):
    """One setting of an object, as a field of a `Declared` class declares it.

    `meaning` says in plain English what the setting does; names and values are in backticks. `example` is a value that
    is accepted. `default` is what an absent setting is read as; None if it is required or optional. An optional setting
    is read as `absent` if it is absent or, where `is_nullable`, null.
    """

    name: str
    kind: ValueKind[Any]
    meaning: str
    example: Any
    is_required: bool = False
    is_optional: bool = False
    is_nullable: bool = False
    default: Any = None
    absent: Any = None

    def read(self, document: Mapping[str, Any], place: SettingPath) -> Any:
        """Read the setting from the object at `place` that holds it. Raises SettingsInvalid."""
        value = document.get(self.name, self.default)
        if self.name not in document and self.is_required:
            raise SettingsInvalid((*place, self.name), "This field is required.")
        if value is None and (self.is_nullable or (self.is_optional and self.name not in document)):
            return self.absent
        return self.kind.read(value, (*place, self.name))

    def to_json(self, value: Any) -> Any:
        """Convert a value that `read` returned back into JSON."""
        return None if value is None else self.kind.to_json(value)


class SettingValues:
    """The values of the settings of one object, by setting. `document`: the object itself, `place`: its path."""

    def __init__(
        self, document: Mapping[str, Any], settings: Sequence[Setting[Any]], place: SettingPath
    ) -> None:
        self.place = place
        self.document = document
        self._values = {setting: setting.read(document, place) for setting in settings}

    def __getitem__(self, setting: Setting[T]) -> T:
        value: T = self._values[setting]
        return value

    @property
    def by_name(self) -> NamedValues:
        """Return the values by the names of their settings, for the rules of the object."""
        return NamedValues(
            {setting.name: value for setting, value in self._values.items()},
            self.document,
            {setting.name: setting.default for setting in self._values},
        )
