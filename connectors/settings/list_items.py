"""Settings of fields whose value is in one item of a list, such as the work address among the addresses of a person.
Pure.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from config_schema.declared import Declared, setting
from config_schema.errors import SettingPath, SettingsInvalid
from config_schema.kinds import Choice, JsonSchema, ValueKind
from config_schema.objects import MapOf, OneOrMore
from config_schema.rules import CodeRule, Fault, NamedValues
from connectors.settings.record_version import FieldNames, FieldPath

MAX_LIST_ITEMS = 20
_MAX_SELECTORS = 5
_MAX_ATTRIBUTES = 5
_REMOVE, _NULL = "remove", "null"


@dataclass(frozen=True)
class PlainValue(ValueKind[Any]):
    """A JSON value without parts."""

    label: str = "text, number, true, false or null"

    def read(self, value: Any, place: SettingPath) -> Any:
        if not (value is None or isinstance(value, str | int | float)):
            raise SettingsInvalid(place, "This must be a text, a number, true, false or null.")
        return value

    def to_schema(self) -> JsonSchema:
        return {"type": ["string", "number", "boolean", "null"]}


def _find_selected_value(values: NamedValues) -> Fault | None:
    if any(values["value"][0] in selector for selector in values["where"]):
        return "where", "This must not name the attribute that has the value."
    return None


class ListItem(Declared):
    """A field that is a value in one item of a list of the record. `selectors`: the attributes of the item, in the
    order in which they are tried.
    """

    path: FieldPath = setting(
        FieldNames(),
        "Where the list is: in the records that the results of operations give, and in the whole record. A result "
        "without the list may give the field itself.",
        name="list",
        example="emails",
    )
    selectors: tuple[Mapping[str, Any], ...] = setting(
        OneOrMore(MapOf(PlainValue(), "ATTRIBUTE", 1, _MAX_ATTRIBUTES), _MAX_SELECTORS),
        "The attributes of the item, by name, or a list of such objects that are tried in order. Texts are compared "
        "without case; null also stands for an attribute that is missing. Of several items that match, the first "
        "counts. If there is none, it is added at the end, with the attributes of the first object.",
        name="where",
        example={"type": "work"},
    )
    value: FieldPath = setting(
        FieldNames(), "Where the value is in the item.", default="value", example="value"
    )
    cleared: str = setting(
        Choice((_REMOVE, _NULL)),
        "What happens if the field is cleared: `remove` removes each item that matches, `null` keeps them, each with "
        "null as its value.",
        default=_REMOVE,
        example=_NULL,
    )

    rules = (
        CodeRule(
            sentence="`where` does not name the attribute that has the value.",
            find_fault=_find_selected_value,
        ),
    )

    @property
    def keeps_cleared_items(self) -> bool:
        """True if an item stays in the list when the field is cleared."""
        return self.cleared == _NULL


ListItems = Mapping[str, ListItem]
