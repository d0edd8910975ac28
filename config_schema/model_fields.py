"""Descriptions of settings that are fields of a model, which has their types, defaults and limits. Pure."""

from dataclasses import dataclass
from typing import Any

from config_schema.errors import SettingsInvalid
from config_schema.kinds import ValueKind


@dataclass(frozen=True)
class FieldSetting:
    """Description of a setting that is a field of a model. `kind`: of a JSON field, the accepted values. `rules`:
    sentences about combinations with other fields that the model refuses. `page`: the page of the reference with more.
    """

    meaning: str
    example: Any
    kind: ValueKind[Any] | None = None
    rules: tuple[str, ...] = ()
    page: str = ""

    def accepts(self, value: Any) -> bool:
        """Return True if a JSON field may have this value."""
        return self.kind is None or find_invalid_setting(self.kind, value) is None


def find_invalid_setting(kind: ValueKind[Any], document: Any) -> SettingsInvalid | None:
    """Return the error for the first setting of a document that is invalid, or None."""
    try:
        kind.read(document, ())
    except SettingsInvalid as invalid:
        return invalid
    return None
