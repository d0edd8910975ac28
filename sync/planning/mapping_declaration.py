"""Declarations of mappings: their settings, as they are read and described. Pure.

{"fields": {"email": {"path": "entity.emails[0].address", "apply": ["lower"], "required": true},
            "source": {"constant": "identity"}},
 "match": {"external_id": "external_id", "previous": {"email": "email"}, "new": ["email"],
           "verified": {"new": {"email": {"path": "entity.emails", "apply": ["verified_email", "lower"]}},
                        "previous": {"email": {"path": "emails", "apply": ["verified_email", "lower"]}}}}}
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, NamedTuple

from jmespath.exceptions import JMESPathError

from config_schema.errors import SettingPath, SettingsInvalid
from config_schema.kinds import (
    AnyText,
    AnyValue,
    Boolean,
    Choice,
    JsonSchema,
    Text,
    TextList,
    ValueKind,
    WholeNumber,
)
from config_schema.objects import MapOf, Object, ObjectRule
from config_schema.settings import Setting, SettingValues, defaulted, optional, required
from config_schema.translatable import error_sentence, translatable
from sync.connectors.values.fingerprint import fingerprint_json
from sync.planning.mapping import (
    DEFAULT_REFERENCE_WAIT,
    MAX_VERIFIED_VALUES,
    FieldRule,
    MatchRule,
    ParsedMapping,
    WhenAbsent,
)
from sync.planning.mapping_functions import FUNCTIONS
from sync.planning.references import WhenMissing
from webhooks.expressions.expression_functions import LINKED
from webhooks.expressions.jmespath_paths import (
    MAX_DEPTH,
    Evaluator,
    ExpressionRefused,
    compile_expression,
    fields_read,
    functions_called,
    linked_types,
)

MAX_FIELDS = 200
MAX_PATH = 500
MAX_CACHED = 256
MAX_ENTITY_TYPE = 64
MAX_REFERENCE_WAIT_MINUTES = 3 * 24 * 60

# Never part of a rule that says what is verified.
_UNVERIFIED = "first_email"


class InvalidMapping(ValueError):
    """An invalid declaration. The message names the field; `place` is the path to it."""

    def __init__(self, sentence: str, place: SettingPath = ()) -> None:
        super().__init__(sentence)
        self.place = place


class ParsedPath(NamedTuple):
    """A compiled expression.

    `entity_fields` are the fields of the entity that it reads; None if it reads all of it. `linked_types` are the types
    of the entities whose records it refers to.
    """

    evaluator: Evaluator
    entity_fields: frozenset[str] | None
    linked_types: frozenset[str] = frozenset()


@dataclass(frozen=True)
class MappingPath(ValueKind[ParsedPath]):
    """A JMESPath expression of a mapping. Reading compiles it.

    It must not call the functions in `refused`. Only it may call the functions in `more_functions`.
    """

    refused: frozenset[str] = frozenset()
    more_functions: frozenset[str] = frozenset()
    label: str = translatable("JMESPath expression")
    limits: str = translatable(
        "1 to %(most)s characters, nested at most %(depth)s deep", most=MAX_PATH, depth=MAX_DEPTH
    )

    def read(self, value: Any, place: SettingPath) -> ParsedPath:
        if not isinstance(value, str) or not 0 < len(value) <= MAX_PATH:
            sentence = translatable(
                "This must be a JMESPath expression of 1 to %(most)s characters.", most=MAX_PATH
            )
            raise SettingsInvalid(place, sentence)
        try:
            if self.refused & functions_called(value):
                sentence = translatable(
                    "%(value)s calls %(function)s(), which returns unverified addresses too.",
                    value=f"{value!r}",
                    function=_UNVERIFIED,
                )
                raise SettingsInvalid(place, sentence)
            evaluator = compile_expression(value, self.more_functions)
            return ParsedPath(evaluator, fields_read(value, "entity"), linked_types(value))
        except ExpressionRefused as error:
            raise SettingsInvalid(
                place, translatable("%(value)s %(error)s", value=f"{value!r}", error=error_sentence(error))
            ) from error
        except JMESPathError as error:
            raise SettingsInvalid(
                place, translatable("%(value)s is not a JMESPath expression.", value=f"{value!r}")
            ) from error

    def to_schema(self) -> JsonSchema:
        return {"type": "string", "minLength": 1, "maxLength": MAX_PATH, "format": "jmespath"}


@dataclass(frozen=True)
class RecordFields(ValueKind[tuple[str, ...]]):
    """Names of fields of the record."""

    label: str = translatable("list of texts")
    limits: str = translatable("names of `fields`")

    def read(self, value: Any, place: SettingPath) -> tuple[str, ...]:
        if not isinstance(value, list) or any(not isinstance(name, str) for name in value):
            raise SettingsInvalid(place, "This must be a list of fields of this mapping.")
        return tuple(value)

    def to_schema(self) -> JsonSchema:
        return {"type": "array", "items": {"type": "string"}}


def _apply_setting(names: Iterable[str]) -> Setting[tuple[str, ...]]:
    return defaulted(
        "apply",
        TextList(tuple(sorted(names)), translatable("list of functions")),
        [],
        "Functions that convert the value, in this order.",
        example=["trim", "lower"],
    )


_APPLY = _apply_setting(FUNCTIONS)
_VERIFIED_APPLY = _apply_setting(FUNCTIONS.keys() - {_UNVERIFIED})
_PATH = optional(
    "path",
    MappingPath(more_functions=frozenset({LINKED})),
    'Where the value is in `{"entity": …, "webhook": …}`. A missing value is null.',
    example="entity.emails[0].address",
    is_nullable=False,
)
_CONSTANT = optional("constant", AnyValue(), "A value that is the same for every entity.", example=True)
_REQUIRED = defaulted(
    "required",
    Boolean(),
    False,
    "An entity without the value is refused (`unmappable`). Null, an empty text and an empty list count as no value.",
    example=True,
)
_CASELESS = defaulted(
    "caseless",
    Boolean(),
    False,
    "The value is compared with the record's without regard to case.",
    example=True,
)
_ONLY_ON_CREATE = defaulted(
    "only_on_create",
    Boolean(),
    False,
    "The value is written when the record is created. Later it is neither compared nor updated.",
    example=True,
)
_NOT_COMPARED = defaulted(
    "not_compared",
    Boolean(),
    False,
    "The value is sent together with other changes of the record. A difference in it causes no update.",
    example=True,
)
_WHEN_ABSENT = optional(
    "when_absent",
    Choice(tuple(str(one) for one in WhenAbsent)),
    "What happens if the value is null: `keep` leaves the record's value as it is, `clear` writes null. "
    "Without this setting, a fetched entity clears the field, and relayed data of a webhook keeps it. An "
    "attribute that is missing from relayed data always keeps the field.",
    example="keep",
    is_nullable=False,
)
_LINKED = optional(
    "linked",
    Text(
        re.compile(r"[^\s\x00-\x1f][^\x00-\x1f]{0,63}"),
        translatable("at most %(most)s characters", most=MAX_ENTITY_TYPE),
    ),
    "The value is the id of another entity of this type, or a list of ids. The field gets the ids of their "
    "records in this target. The other entity must have a link: the hub does not search by a value.",
    example="USER",
    is_nullable=False,
)
_WHEN_MISSING = defaulted(
    "when_missing",
    Choice(tuple(str(one) for one in WhenMissing)),
    str(WhenMissing.FAIL),
    "What happens if an entity that the field refers to still has no record when the wait is over: `fail` ends the "
    "delivery as `reference-missing`, `leave_out` sends the record without the field, or without that item of a "
    "list, and the hub completes it once the record has been linked.",
    example="leave_out",
)


def _build_field_rule(values: SettingValues) -> FieldRule:
    if values.is_given(_PATH) == values.is_given(_CONSTANT):
        values.reject(None, "Enter either a path or a constant.")
    path = values[_PATH]
    if values[_ONLY_ON_CREATE] and values[_NOT_COMPARED]:
        values.reject(_NOT_COMPARED, "Enter either `only_on_create` or `not_compared`.")
    when_absent = values[_WHEN_ABSENT]
    reference_types = path.linked_types if path else frozenset()
    if linked := values[_LINKED]:
        reference_types |= {linked}
    if values.is_given(_WHEN_MISSING) and not reference_types:
        values.reject(_WHEN_MISSING, "This field does not refer to another entity: use `linked`.")
    return FieldRule(
        path=path.evaluator if path else None,
        constant=values[_CONSTANT],
        apply=tuple(FUNCTIONS[name] for name in values[_APPLY]),
        is_required=values[_REQUIRED],
        is_caseless=values[_CASELESS],
        entity_fields=path.entity_fields if path else None,
        is_only_on_create=values[_ONLY_ON_CREATE],
        is_not_compared=values[_NOT_COMPARED],
        linked=linked or "",
        when_missing=WhenMissing(values[_WHEN_MISSING]),
        reference_types=reference_types,
        when_absent=None if when_absent is None else WhenAbsent(when_absent),
    )


_FIELD_RULE = Object(
    (
        _PATH,
        _CONSTANT,
        _APPLY,
        _REQUIRED,
        _CASELESS,
        _ONLY_ON_CREATE,
        _NOT_COMPARED,
        _WHEN_ABSENT,
        _LINKED,
        _WHEN_MISSING,
    ),
    _build_field_rule,
    (
        ObjectRule(
            "Exactly one of `path` and `constant` is required.",
            {"oneOf": [{"required": ["path"]}, {"required": ["constant"]}]},
        ),
        ObjectRule("At most one of `only_on_create` and `not_compared` is true."),
        ObjectRule("`when_missing` needs `linked`, or a `path` that calls `linked()`."),
    ),
)
_FIELDS = required(
    "fields",
    MapOf(_FIELD_RULE, "FIELD", 1, MAX_FIELDS, noun=translatable("fields")),
    "Where the value of each field of the record comes from, by the field's name in the target. Other fields "
    "are never written.",
    example={"email": {"path": "entity.email", "apply": ["lower"], "required": True}},
)


def _verified_rule(looks_into: str, example: str) -> Object[FieldRule]:
    """Return the kind of a rule of `match.verified`. A constant is refused: it verifies nothing."""
    path = required(
        "path",
        MappingPath(refused=frozenset({_UNVERIFIED})),
        translatable(
            "Where the verified values are in %(place)s: one value, or a list of which the first %(most)s count.",
            place=looks_into,
            most=MAX_VERIFIED_VALUES,
        ),
        example=example,
    )
    return Object(
        (path, _VERIFIED_APPLY),
        lambda values: FieldRule(
            path=values[path].evaluator,
            apply=tuple(FUNCTIONS[name] for name in values[_VERIFIED_APPLY]),
            entity_fields=values[path].entity_fields,
        ),
    )


_VERIFIED_NEW = defaulted(
    "new",
    MapOf(
        _verified_rule('`{"entity": …, "webhook": …}`', "entity.emails"),
        "FIELD",
        0,
        MAX_FIELDS,
        noun=translatable("fields"),
    ),
    {},
    "Which values of the entity are verified, by field of the record.",
    example={"email": {"path": "entity.emails", "apply": ["verified_email"]}},
)
_VERIFIED_PREVIOUS = defaulted(
    "previous",
    MapOf(
        _verified_rule(translatable("the webhook's `previous`"), "emails"),
        "FIELD",
        0,
        MAX_FIELDS,
        noun=translatable("fields"),
    ),
    {},
    "Which previous values were verified, by field of the record.",
    example={"email": {"path": "emails", "apply": ["verified_email"]}},
)
_EXTERNAL_ID = optional(
    "external_id",
    AnyText(),
    "The field of the record that holds the entity's id. A record with it is always linked. If `fields` gives it "
    "another value, or none, the entity is refused (`unmappable`).",
    example="external_id",
)
_PREVIOUS = defaulted(
    "previous",
    MapOf(MappingPath(), "FIELD"),
    {},
    "The values that a record may be found by because the change overwrote them, by field of the record. "
    "The expressions look into the webhook's `previous`.",
    example={"email": "email"},
)
_NEW = defaulted(
    "new",
    RecordFields(),
    [],
    "The fields by whose new value a record may be found, only when a record is about to be created.",
    example=["email"],
)
_VERIFIED = defaulted(
    "verified",
    Object(
        (_VERIFIED_NEW, _VERIFIED_PREVIOUS),
        lambda values: (values[_VERIFIED_PREVIOUS], values[_VERIFIED_NEW]),
    ),
    {},
    "Which values the identity service marks as verified. These rules only match; what is written follows "
    "`fields`, and may be unverified.",
    example={"new": {"email": {"path": "entity.emails", "apply": ["verified_email"]}}},
)


def _build_match_rule(values: SettingValues) -> MatchRule:
    verified_previous, verified_new = values[_VERIFIED]
    return MatchRule(
        external_id=values[_EXTERNAL_ID],
        previous={name: path.evaluator for name, path in values[_PREVIOUS].items()},
        new=values[_NEW],
        verified_previous=verified_previous,
        verified_new=verified_new,
    )


_MATCH = defaulted(
    "match",
    Object((_EXTERNAL_ID, _PREVIOUS, _NEW, _VERIFIED), _build_match_rule),
    {},
    "How to find a record that is not linked yet: by `external_id`, then by a previous value, and by a new "
    "value only before a record is created.",
    example={"external_id": "external_id", "previous": {"email": "email"}, "new": ["email"]},
)


def _build_mapping(values: SettingValues) -> ParsedMapping:
    fields, match = values[_FIELDS], values[_MATCH]
    if any(name not in fields for name in match.new):
        raise SettingsInvalid(("match", "new"), "This must be a list of fields of this mapping.")
    return ParsedMapping(fields, match, timedelta(minutes=values[_REFERENCE_WAIT]))


_REFERENCE_WAIT = defaulted(
    "reference_wait_minutes",
    WholeNumber(0, MAX_REFERENCE_WAIT_MINUTES),
    DEFAULT_REFERENCE_WAIT // timedelta(minutes=1),
    "How long a delivery waits for the records that its record refers to, counted from the webhook or the last replay, "
    "and at most as long as its route retries. Afterwards `when_missing` decides.",
    example=60,
)
MAPPING = Object(
    (_FIELDS, _MATCH, _REFERENCE_WAIT),
    _build_mapping,
    (ObjectRule("`match.new` names only fields that are in `fields`."),),
)

_cache: dict[bytes, ParsedMapping] = {}


def parse_mapping(declaration: Any) -> ParsedMapping:
    """Parse and validate a declaration; the result is cached by content. Raises InvalidMapping."""
    try:
        key = fingerprint_json(declaration)
    except (TypeError, ValueError, RecursionError):
        # Not JSON: parsing raises an error that names the place.
        return _parse_declaration(declaration)
    cached = _cache.get(key)
    if cached is None:
        cached = _parse_declaration(declaration)
        if len(_cache) >= MAX_CACHED:
            _cache.clear()
        _cache[key] = cached
    return cached


# A whole declaration.
EXAMPLE = {
    "fields": {
        "external_id": {"path": "entity.id"},
        "email": {
            "path": "entity.emails",
            "apply": ["verified_email", "lower"],
            "required": True,
            "caseless": True,
        },
        "name": {"path": "entity.name.familyName", "apply": ["trim"]},
        "active": {"constant": True},
    },
    "match": {
        "external_id": "external_id",
        "previous": {"email": "email"},
        "new": ["email"],
        "verified": {"new": {"email": {"path": "entity.emails", "apply": ["verified_email", "lower"]}}},
    },
}


def _parse_declaration(declaration: Any) -> ParsedMapping:
    try:
        return MAPPING.read(declaration, ())
    except SettingsInvalid as invalid:
        sentence = translatable(
            "%(place)s: %(sentence)s", place=_name_place(invalid.place), sentence=invalid.sentence
        )
        raise InvalidMapping(sentence, invalid.place) from invalid


def _name_place(place: SettingPath) -> str:
    """Return how a message names a place: `email.path` of a field, `match.new`; `The mapping` for all of it."""
    names = [step for step in place if isinstance(step, str)]
    if len(names) > 1 and names[0] == "fields":
        del names[0]
    return ".".join(names) or translatable("The mapping")
