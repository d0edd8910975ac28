"""Which values does a known identity service provide, and which fields does a known target accept? By their meaning."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from config_schema.declared import Declared, nullable, setting
from config_schema.errors import SettingPath
from config_schema.expressions.expression_functions import TEXT_FUNCTIONS
from config_schema.expressions.expression_kind import ExpressionKind, read_expression
from config_schema.kinds import AnyValue, Boolean, Choice, Text, TextList, WholeNumber
from config_schema.objects import ListOf, MapOf
from config_schema.rules import Is, Not, Requires
from connectors.presets.meanings import MEANINGS, FieldType

MAX_ACCEPTED_FIELDS = 60
MAX_LENGTH_OF_TEXT = 1_000_000
_ENTITY_TYPES = re.compile(r"[A-Z][A-Z0-9_]*")


@dataclass(frozen=True)
class ExpressionText(ExpressionKind[str]):
    """Kind of a JMESPath expression. Reading checks it and returns its text."""

    def read(self, value: Any, place: SettingPath) -> str:
        read_expression(value, place)
        return str(value)


class AcceptedField(Declared):
    """A field of a record of a target. `is_searched`: the preset searches records by it. `is_caseless`: the preset
    compares it without regard to case. A preset sets both from its connector settings.
    """

    is_searched: bool = False
    is_caseless: bool = False

    field: str = setting(Text(), "The name of the field, as a mapping fills it.", example="first_name")
    stated_label: str | None = nullable(
        Text(),
        "The name that people see. Without it, that of the meaning.",
        name="label",
        example="First name",
    )
    meaning: str | None = nullable(
        Choice(tuple(MEANINGS)),
        "What the field means. Without it, no value is drafted.",
        example="given_name",
    )
    type: FieldType = setting(
        Choice(tuple(FieldType)), "The type of its values.", default=FieldType.TEXT, example="boolean"
    )
    is_required: bool = setting(
        Boolean(), "The target refuses a record without it.", name="required", default=False, example=True
    )
    is_read_only: bool = setting(
        Boolean(),
        "The target returns it and never accepts a value.",
        name="read_only",
        default=False,
        example=True,
    )
    is_only_on_create: bool = setting(
        Boolean(),
        "The target accepts it only when a record is created.",
        name="only_on_create",
        default=False,
        example=True,
    )
    max_length: int | None = nullable(
        WholeNumber(1, MAX_LENGTH_OF_TEXT), "The most characters that the target accepts.", example=40
    )
    apply: tuple[str, ...] = setting(
        TextList((*TEXT_FUNCTIONS, "date")),
        "Functions that convert the value, in this order, as in a mapping.",
        default=[],
        example=["lower"],
    )
    convert: str | None = nullable(
        ExpressionText(),
        "An expression that makes the target's value of the value, which is `@`.",
        example="@ == `false` && `1` || `0`",
    )
    constant: Any = nullable(
        AnyValue(), "The value to write if the identity service provides none of this meaning.", example=True
    )
    linked: str | None = nullable(
        Text(),
        "The type of the entities whose ids are the value: the target takes the ids of their records.",
        example="USER",
    )
    when_absent: str | None = nullable(
        Choice(("keep", "clear")), "What a mapping does if the person has no value.", example="keep"
    )

    rules = (
        Requires(
            sentence="A field that is only read is not required.",
            when=Is("read_only", True),
            then=Not(Is("required", True)),
            at="required",
        ),
    )

    @property
    def label(self) -> str:
        """The name that people see."""
        if self.stated_label is not None:
            return self.stated_label
        return MEANINGS[self.meaning].label if self.meaning is not None else self.field


PROVIDED_VALUES = MapOf(
    MapOf(
        ExpressionText(),
        "MEANING",
        names=re.compile("|".join(MEANINGS)),
        name_sentence="This must be a meaning of the vocabulary.",
    ),
    "TYPE",
    names=_ENTITY_TYPES,
)
ACCEPTED_FIELDS = MapOf(ListOf(AcceptedField.kind, MAX_ACCEPTED_FIELDS), "TYPE", names=_ENTITY_TYPES)
SAMPLE_ENTITIES = MapOf(AnyValue(), "TYPE", names=_ENTITY_TYPES)


def mark_fields(
    accepted: Mapping[str, tuple[AcceptedField, ...]], connector_settings: Mapping[str, Any]
) -> dict[str, tuple[AcceptedField, ...]]:
    """Return accepted fields by type, each with what the settings of a target say of it."""
    caseless = connector_settings.get("caseless") or ()
    marked = {}
    for entity_type, fields in accepted.items():
        operations = connector_settings["entities"][entity_type]["operations"]
        searched = (operations.get("search") or {}).get("fields") or ()
        marked[entity_type] = tuple(
            replace(one, is_searched=one.field in searched, is_caseless=one.field in caseless)
            for one in fields
        )
    return marked
