"""Descriptions of settings that are fields of a model, which has their types, defaults and limits. Pure."""

from dataclasses import dataclass
from typing import Any

from config_schema.errors import SettingsInvalid
from config_schema.kinds import Kind


@dataclass(frozen=True)
class FieldSetting:
    """The description of a model's field, with an example. `kind`: of a JSON field, the values that the model accepts.
    `rules`: what the model refuses together with other fields. `page`: the page of the reference that says more.
    """

    meaning: str
    example: Any
    kind: Kind[Any] | None = None
    rules: tuple[str, ...] = ()
    page: str = ""

    def accepts(self, value: Any) -> bool:
        """Return True if a JSON field may have this value."""
        return self.kind is None or find_fault(self.kind, value) is None


def find_fault(kind: Kind[Any], document: Any) -> SettingsInvalid | None:
    """Return the error for the first setting of a document that is invalid, or None."""
    try:
        kind.read(document, ())
    except SettingsInvalid as invalid:
        return invalid
    return None
