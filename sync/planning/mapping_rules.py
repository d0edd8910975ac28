"""Rules of a mapping: how a field of the record is computed, and how a record is found. Their settings. Pure."""

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from functools import cached_property
from typing import Any

from jmespath.exceptions import JMESPathError

from config_schema.declared import Declared, nullable, setting
from config_schema.errors import SettingPath, SettingsInvalid
from config_schema.expressions.expression_analysis import parse_plain_path, require_known_roots
from config_schema.expressions.expression_budget import ExpressionBudget
from config_schema.expressions.expression_functions import LINKED
from config_schema.expressions.expression_kind import CompiledExpression, CompiledExpressionKind
from config_schema.expressions.jmespath_paths import (
    MAX_DEPTH,
    ExpressionRefused,
    compile_expression,
    fields_read,
    functions_called,
    linked_types,
)
from config_schema.kinds import (
    AnyText,
    AnyTextList,
    AnyValue,
    Boolean,
    Choice,
    JsonSchema,
    Text,
    TextList,
    ValueKind,
)
from config_schema.objects import MapOf
from config_schema.rules import (
    AnyOf,
    CodeRule,
    Fault,
    Fits,
    Given,
    Is,
    NamedValues,
    Not,
    OneOf,
    Requires,
    Stated,
)
from sync.planning.mapping_functions import FUNCTIONS
from sync.planning.references import WhenMissing

MAX_FIELDS = 200
MAX_PATH = 500
MAX_ENTITY_TYPE = 64
# Of one rule of `match.verified`: each value costs a search in the target.
MAX_VERIFIED_VALUES = 10

# The document of a path is `{"entity": …, "webhook": …}`.
_ROOTS = frozenset({"entity", "webhook"})
# Never part of a rule that says what is verified.
_UNVERIFIED = "first_email"
_FUNCTION_NAMES = {function: name for name, function in FUNCTIONS.items()}


@dataclass(frozen=True, slots=True)
class ParsedPath(CompiledExpression):
    """A compiled expression of a mapping.

    `entity_fields` are the fields of the entity that it reads; None if it reads all of it. `linked_types` are the types
    of the entities whose records it refers to. `plain_steps` are the steps of a plain path; None for anything else.
    """

    entity_fields: frozenset[str] | None
    linked_types: frozenset[str]
    plain_steps: tuple[str | int, ...] | None


@dataclass(frozen=True)
class MappingPath(CompiledExpressionKind):
    """A JMESPath expression of a mapping. Reading compiles it.

    It must not call the functions in `refused`. Only it may call the functions in `more_functions`.
    """

    refused: frozenset[str] = frozenset()
    more_functions: frozenset[str] = frozenset()
    limits: str = f"1 to {MAX_PATH} characters, nested at most {MAX_DEPTH} deep"

    def read(self, value: Any, place: SettingPath) -> ParsedPath:
        if not isinstance(value, str) or not 0 < len(value) <= MAX_PATH:
            sentence = f"This must be a JMESPath expression of 1 to {MAX_PATH} characters."
            raise SettingsInvalid(place, sentence)
        try:
            if self.refused & functions_called(value):
                sentence = f"{value!r} calls {_UNVERIFIED}(), which returns unverified addresses too."
                raise SettingsInvalid(place, sentence)
            evaluator = compile_expression(value, self.more_functions)
            if self.roots:
                require_known_roots(value, self.roots)
            return ParsedPath(
                value, evaluator, fields_read(value, "entity"), linked_types(value), parse_plain_path(value)
            )
        except ExpressionRefused as error:
            raise SettingsInvalid(place, f"{value!r} {error}") from error
        except JMESPathError as error:
            raise SettingsInvalid(place, f"{value!r} is not a JMESPath expression.") from error

    def to_schema(self) -> JsonSchema:
        return {**super().to_schema(), "maxLength": MAX_PATH}


@dataclass(frozen=True)
class FunctionList(ValueKind[tuple[Callable[[Any], Any], ...]]):
    """Kind of a list of names of functions. Reading returns the functions."""

    choices: tuple[str, ...]
    label: str = "list of functions"

    def read(self, value: Any, place: SettingPath) -> tuple[Callable[[Any], Any], ...]:
        return tuple(FUNCTIONS[name] for name in TextList(self.choices).read(value, place))

    def to_json(self, value: Any) -> Any:
        return [_FUNCTION_NAMES[function] for function in value]

    def to_schema(self) -> JsonSchema:
        return TextList(self.choices).to_schema()


def _apply_setting(names: Iterable[str]) -> Any:
    return setting(
        FunctionList(tuple(sorted(names))),
        "Functions that convert the value, in this order.",
        default=[],
        example=["trim", "lower"],
    )


def _verified_path(looks_into: str, example: str, roots: frozenset[str] = frozenset()) -> Any:
    return setting(
        MappingPath(refused=frozenset({_UNVERIFIED}), roots=roots),
        f"Where the verified values are in {looks_into}: one value, or a list of which the first {MAX_VERIFIED_VALUES} "
        "count.",
        example=example,
    )


class WhenAbsent(StrEnum):
    """The value of a record's field for which the entity has none: null, or nothing at all."""

    KEEP = "keep"
    CLEAR = "clear"


def _find_unsearchable(values: NamedValues) -> Fault | None:
    path = values["path"]
    is_of_entity = (
        path is not None
        and not path.linked_types
        and not values["linked"]
        and fields_read(path.text, "webhook") == frozenset()
    )
    if not values["searchable"] or is_of_entity:
        return None
    return "searchable", "People are found only by a value of the entity itself."


class FieldRule(Declared):
    """Rule that computes one field of the record. If `when_absent` is None, a missing value clears the field for a
    whole entity, and keeps it for a partial one.
    """

    path: ParsedPath | None = setting(
        MappingPath(more_functions=frozenset({LINKED}), roots=_ROOTS),
        'Where the value is in `{"entity": …, "webhook": …}`: it begins with `entity` or `webhook`. A missing value is '
        "null.",
        default=None,
        example="entity.emails[0].address",
    )
    constant: Any = nullable(AnyValue(), "A value that is the same for every entity.", example=True)
    apply: tuple[Callable[[Any], Any], ...] = _apply_setting(FUNCTIONS)
    is_required: bool = setting(
        Boolean(),
        "An entity without the value is refused (`unmappable`). Null, an empty text and an empty list count as no "
        "value.",
        name="required",
        default=False,
        example=True,
    )
    is_caseless: bool = setting(
        Boolean(),
        "The value is compared with the record's without regard to case.",
        name="caseless",
        default=False,
        example=True,
    )
    is_only_on_create: bool = setting(
        Boolean(),
        "The value is written when the record is created. Later it is neither compared nor updated.",
        name="only_on_create",
        default=False,
        example=True,
    )
    is_not_compared: bool = setting(
        Boolean(),
        "The value is sent together with other changes of the record. A difference in it causes no update.",
        name="not_compared",
        default=False,
        example=True,
    )
    when_absent: WhenAbsent | None = setting(
        Choice(tuple(WhenAbsent)),
        "What happens if the value is null: `keep` leaves the record's value as it is, `clear` writes null. "
        "Without this setting, a fetched entity clears the field, and relayed data of a webhook keeps it. An "
        "attribute that is missing from relayed data always keeps the field.",
        default=None,
        example="keep",
    )
    linked: str | None = setting(
        Text(re.compile(r"[^\s\x00-\x1f][^\x00-\x1f]{0,63}"), f"at most {MAX_ENTITY_TYPE} characters"),
        "The value is the id of another entity of this type, or a list of ids. The field gets the ids of their "
        "records in this target. The other entity must have a link: the hub does not search by a value.",
        default=None,
        example="USER",
    )
    when_missing: WhenMissing = setting(
        Choice(tuple(WhenMissing)),
        "What happens if an entity that the field refers to still has no record when the wait is over: `fail` ends the "
        "delivery as `reference-missing`, `leave_out` sends the record without the field, or without that item of a "
        "list, and the hub completes it once the record has been linked.",
        default=WhenMissing.FAIL,
        example="leave_out",
    )

    is_searchable: bool = setting(
        Boolean(),
        "The search box finds people by this value and, if it is a name, by its words.",
        name="searchable",
        default=False,
        example=True,
    )

    rules = (
        Requires(
            sentence="Exactly one of `path` and `constant` is required.",
            then=OneOf(("path", "constant"), Stated),
            error="Enter either a path or a constant.",
        ),
        Requires(
            sentence="At most one of `only_on_create` and `not_compared` is true.",
            when=Is("only_on_create", True),
            then=Not(Is("not_compared", True)),
            at="not_compared",
            error="Enter either `only_on_create` or `not_compared`.",
        ),
        Requires(
            sentence="`when_missing` needs `linked`, or a `path` that calls `linked()`.",
            when=Stated("when_missing"),
            then=AnyOf(
                Given("linked"),
                Fits("path", {"pattern": LINKED}, lambda path: path is not None and bool(path.linked_types)),
            ),
            at="when_missing",
            error="This field does not refer to another entity: use `linked`.",
        ),
        CodeRule(
            sentence="`searchable` needs a `path` that neither reads `webhook` nor refers to another entity.",
            find_fault=_find_unsearchable,
            schema={
                "if": {"properties": {"searchable": {"const": True}}, "required": ["searchable"]},
                "then": {"required": ["path"], "properties": {"linked": {"type": "null"}}},
            },
        ),
    )

    def to_json(self) -> dict[str, Any]:
        """Return a document that is read as an equal rule. A constant is written also if it is null."""
        return super().to_json() | ({"constant": self.constant} if self.path is None else {})

    @property
    def can_clear(self) -> bool:
        """Return True if an entity without the value clears the field of its record."""
        return self.path is not None and not self.is_required and self.when_absent is not WhenAbsent.KEEP

    @cached_property
    def reference_types(self) -> frozenset[str]:
        """The types of the entities whose records the field refers to."""
        types = self.path.linked_types if self.path is not None else frozenset[str]()
        return types | {self.linked} if self.linked else types

    @cached_property
    def reads_webhook(self) -> bool:
        """True if the value depends on the webhook, and not on the entity alone."""
        return self.path is not None and fields_read(self.path.text, "webhook") != frozenset()

    def has_input_in(self, part: Mapping[str, Any]) -> bool:
        """Return True if a partial entity has a field that this rule reads. Needed because `entity.locked !=
        `true`` is true of an absent field.
        """
        fields = self.path.entity_fields if self.path is not None else None
        return not fields or not fields.isdisjoint(part)

    def compute_value(self, document: Mapping[str, Any], budget: ExpressionBudget) -> Any:
        """Compute the value for `{"entity": …, "webhook": …}`. Raises what an expression may raise, OverBudget, and
        ReferenceLimit.
        """
        value = self.constant if self.path is None else self.path.evaluate(document, budget)
        for function in self.apply:
            value = function(value)
        if self.linked and budget.find_linked is not None:
            value = budget.find_linked(self.linked, value)
        return value


class VerifiedRule(Declared):
    """Rule for the values of an entity that its identity service marks as verified. A constant verifies nothing."""

    path: ParsedPath = _verified_path('`{"entity": …, "webhook": …}`', "entity.emails", _ROOTS)
    apply: tuple[Callable[[Any], Any], ...] = _apply_setting(FUNCTIONS.keys() - {_UNVERIFIED})

    def compute_value(self, document: Mapping[str, Any], budget: ExpressionBudget) -> Any:
        """Compute the value, or the list of values. Raises what an expression may raise, and OverBudget."""
        value = self.path.evaluate(document, budget)
        for function in self.apply:
            value = function(value)
        return value


class VerifiedPreviousRule(VerifiedRule):
    """Rule for previous values that were verified."""

    path: ParsedPath = _verified_path("the webhook's `previous`", "emails")


class VerifiedRules(Declared):
    """Rules that say which values the identity service marks as verified, by field of the record."""

    new: Mapping[str, VerifiedRule] = setting(
        MapOf(VerifiedRule.kind, "FIELD", 0, MAX_FIELDS, noun="fields"),
        "Which values of the entity are verified, by field of the record.",
        default={},
        example={"email": {"path": "entity.emails", "apply": ["verified_email"]}},
    )
    previous: Mapping[str, VerifiedRule] = setting(
        MapOf(VerifiedPreviousRule.kind, "FIELD", 0, MAX_FIELDS, noun="fields"),
        "Which previous values were verified, by field of the record.",
        default={},
        example={"email": {"path": "emails", "apply": ["verified_email"]}},
    )


class MatchRule(Declared):
    """Rule for finding a record that is not linked yet."""

    external_id: str | None = nullable(
        AnyText(),
        "The field of the record that holds the entity's id. A record with it is always linked. If `fields` gives it "
        "another value, or none, the entity is refused (`unmappable`).",
        example="external_id",
    )
    previous: Mapping[str, ParsedPath] = setting(
        MapOf(MappingPath(), "FIELD"),
        "The values that a record may be found by because the change overwrote them, by field of the record. "
        "The expressions look into the webhook's `previous`.",
        default={},
        example={"email": "email"},
    )
    new: list[str] = setting(
        AnyTextList(limits="names of `fields`"),
        "The fields by whose new value a record may be found, only when a record is about to be created.",
        default=[],
        example=["email"],
    )
    verified: VerifiedRules = setting(
        VerifiedRules.kind,
        "Which values the identity service marks as verified. These rules only match; what is written follows "
        "`fields`, and may be unverified.",
        default={},
        example={"new": {"email": {"path": "entity.emails", "apply": ["verified_email"]}}},
    )
