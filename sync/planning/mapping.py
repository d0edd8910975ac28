"""Mappings: a declaration that turns an entity into the fields of a record. Pure.

    {"fields": {"email": {"path": "entity.emails[0].address", "apply": ["lower"], "required": true},
                "source": {"constant": "identity"}},
     "match": {"external_id": "external_id", "previous": {"email": "email"}, "new": ["email"],
               "verified": {"new": {"email": {"path": "entity.emails", "apply": ["verified_email", "lower"]}},
                            "previous": {"email": {"path": "emails", "apply": ["verified_email", "lower"]}}}}}

A path is a JMESPath expression (https://jmespath.org/specification.html) over `{"entity": …, "webhook": …}`; those of
`match.previous` and `match.verified.previous` look into the webhook's `previous` field. A value that is not there
becomes null.

`match.verified` says by record field which values the identity service marks as verified: each rule gives one value or
a list of at most 10. Its rules only match. What is written follows `fields`, and may be unverified.
"""

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from jmespath.exceptions import JMESPathError

from sync.connectors.values.expression_budget import (
    MAX_BYTES,
    MAX_STEPS,
    ExpressionBudget,
    OverBudget,
)
from sync.connectors.values.fingerprint import fingerprint_json
from sync.connectors.values.jmespath_paths import (
    Evaluator,
    ExpressionTooLarge,
    compile_expression,
    fields_read,
)

MAX_FIELDS = 200
MAX_PATH = 500
# Of one rule of `match.verified`: each value costs a search in the target.
MAX_VERIFIED_VALUES = 10

# Of all expressions of a mapping over one entity.
MAX_MAPPING_STEPS = 10 * MAX_STEPS
MAX_MAPPING_BYTES = 16 * MAX_BYTES

MAX_CACHED = 256

# What an expression may raise over an entity that it does not fit: `ceil` of an infinite number, depth, wrong kinds.
_EXPRESSION_ERRORS = (JMESPathError, TypeError, ValueError, AttributeError, ArithmeticError, RecursionError)
_ALWAYS_JSON = frozenset({str, bool, type(None)})


FieldPath = tuple[str | int, ...]


class InvalidMapping(ValueError):
    """An invalid declaration. The message names the field; `place` is the path to it."""

    def __init__(self, sentence: str, place: FieldPath = ()) -> None:
        super().__init__(sentence)
        self.place = place


class EntityNotMappable(Exception):
    """The entity cannot be mapped; `field` is the record field that failed."""

    def __init__(self, field_name: str, reason: str) -> None:
        super().__init__(f"{field_name}: {reason}")
        self.field = field_name
        self.reason = reason


class MappingOverBudget(EntityNotMappable):
    """An expression, or all of the mapping together, costs more than its budget. `field` names where it stopped."""

    def __init__(self, field_name: str) -> None:
        super().__init__(
            field_name, gettext_noop("the expression costs more than 10,000 steps, 256 KiB or 100 ms")
        )


# Not Django's function, since this package does not import Django.
def gettext_noop(text: str) -> str:
    """Return the text, marked for translation; the console translates it."""
    return text


def _first_item(value: Any) -> Any:
    return value[0] if isinstance(value, list) and value else None if isinstance(value, list) else value


def _verified_email(emails: Any) -> Any:
    """Return the first verified address; None if no address is verified."""
    listed = emails if isinstance(emails, list) else [emails]
    # `is True`: a text such as "false" verifies nothing.
    verified = [entry for entry in listed if isinstance(entry, dict) and entry.get("verified") is True]
    return next((entry.get("address") for entry in verified if entry.get("address")), None)


def _apply_to_text(change: Callable[[str], str]) -> Callable[[Any], Any]:
    return lambda value: change(value) if isinstance(value, str) else value


def _to_text(value: Any) -> Any:
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value) if isinstance(value, int | float) else value


FUNCTIONS: Mapping[str, Callable[[Any], Any]] = {
    "lower": _apply_to_text(str.lower),
    "upper": _apply_to_text(str.upper),
    "trim": _apply_to_text(str.strip),
    "first": _first_item,
    "text": _to_text,
    "verified_email": _verified_email,
}


@dataclass(frozen=True, slots=True)
class FieldRule:
    """Rule that computes one field of the record.

    `entity_fields`: the fields of the entity that it reads, None if it reads the whole entity.
    """

    path: Evaluator | None = None
    constant: Any = None
    apply: tuple[Callable[[Any], Any], ...] = ()
    is_required: bool = False
    is_caseless: bool = False
    entity_fields: frozenset[str] | None = None

    def has_input_in(self, part: Mapping[str, Any]) -> bool:
        """Return True if a partial entity has a field that this rule reads. Needed because `entity.locked !=
        `true`` is true of an absent field.
        """
        return not self.entity_fields or not self.entity_fields.isdisjoint(part)

    def compute_value(self, document: Mapping[str, Any], budget: ExpressionBudget) -> Any:
        """Compute the value for `{"entity": …, "webhook": …}`. Raises what an expression may raise, and OverBudget."""
        value = self.constant if self.path is None else self.path(document, budget)
        for change in self.apply:
            value = change(value)
        return value


@dataclass(frozen=True, slots=True)
class MatchValue:
    """A value that a record may be found by. `is_verified`: the identity service marks it as verified."""

    field: str
    value: Any
    is_verified: bool = False


@dataclass(frozen=True, slots=True)
class MatchRule:
    """Rule for finding a record that is not linked yet.

    `verified_previous` and `verified_new` give the values that the identity service marks as verified.
    """

    external_id: str | None = None
    previous: Mapping[str, Evaluator] = field(default_factory=dict)
    new: tuple[str, ...] = ()
    verified_previous: Mapping[str, FieldRule] = field(default_factory=dict)
    verified_new: Mapping[str, FieldRule] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class ParsedMapping:
    """A validated declaration."""

    fields: Mapping[str, FieldRule]
    match: MatchRule

    def map_entity(self, entity: Mapping[str, Any], webhook: Mapping[str, Any]) -> dict[str, Any]:
        """Map an entity to the fields of a record. Raises EntityNotMappable for a required field without a
        value.
        """
        return self._map_fields(self.fields, entity, webhook, without=(None, "", []))

    def map_partial_entity(self, part: Mapping[str, Any], webhook: Mapping[str, Any]) -> dict[str, Any]:
        """Map the attributes of a partial entity to record fields. Rules whose input is absent are left out, and null
        values too. Raises EntityNotMappable as `map_entity` does, and if a required field would become empty.
        """
        rules = {name: rule for name, rule in self.fields.items() if rule.has_input_in(part)}
        made = self._map_fields(rules, part, webhook, without=("", []))
        return {name: value for name, value in made.items() if value is not None}

    def _map_fields(
        self,
        rules: Mapping[str, FieldRule],
        entity: Mapping[str, Any],
        webhook: Mapping[str, Any],
        without: tuple[Any, ...],
    ) -> dict[str, Any]:
        document = {"entity": entity, "webhook": webhook}
        budget = _new_budget()
        made = {name: _compute_field(name, rule, document, budget) for name, rule in rules.items()}
        for name, rule in rules.items():
            if rule.is_required and made[name] in without:
                raise EntityNotMappable(
                    name, gettext_noop("it is required, but the entity has no value for it")
                )
        return made

    def previous_values(self, documents: Sequence[Mapping[str, Any]]) -> list[MatchValue]:
        """Return each value that these `previous` fields of webhooks say was overwritten, verified ones first.

        Raises MappingOverBudget.
        """
        budget = _new_budget()
        verified = [
            value
            for previous in documents
            for value in _compute_verified("previous", self.match.verified_previous, previous, budget)
        ]
        others = [
            MatchValue(name, _evaluate_or_none(f"match.previous.{name}", path, previous, budget))
            for previous in documents
            for name, path in self.match.previous.items()
        ]
        return self._without_duplicates([*verified, *others])

    def new_values(
        self, entity: Mapping[str, Any], webhook: Mapping[str, Any], wanted: Mapping[str, Any]
    ) -> list[MatchValue]:
        """Return each new value that a record may be found by, verified ones first. `wanted`: the mapped fields.

        Raises MappingOverBudget.
        """
        document = {"entity": entity, "webhook": webhook}
        verified = _compute_verified("new", self.match.verified_new, document, _new_budget())
        return self._without_duplicates(
            [*verified, *(MatchValue(name, wanted.get(name)) for name in self.match.new)]
        )

    def _without_duplicates(self, values: Iterable[MatchValue]) -> list[MatchValue]:
        """Drop empty values, which would match records that have none, and each value that an earlier one equals."""
        kept: dict[tuple[str, str], MatchValue] = {}
        for value in values:
            if isinstance(value.value, str | int) and value.value != "":
                text = str(value.value)
                is_caseless = value.field in self.caseless_fields
                kept.setdefault((value.field, text.casefold() if is_caseless else text), value)
        return list(kept.values())

    @property
    def caseless_fields(self) -> frozenset[str]:
        """Return the fields that are compared without regard to case."""
        return frozenset(name for name, rule in self.fields.items() if rule.is_caseless)


def _new_budget() -> ExpressionBudget:
    return ExpressionBudget(MAX_MAPPING_STEPS, MAX_MAPPING_BYTES)


def _compute_field(name: str, rule: FieldRule, document: Mapping[str, Any], budget: ExpressionBudget) -> Any:
    try:
        value = rule.compute_value(document, budget)
        # An expression can also give what JSON cannot hold: `&name`, infinity, a number too long to be written.
        if type(value) not in _ALWAYS_JSON:
            json.dumps(value, allow_nan=False)
    except OverBudget:
        raise MappingOverBudget(name) from None
    except _EXPRESSION_ERRORS as error:
        raise EntityNotMappable(name, gettext_noop("the expression does not fit this entity")) from error
    return value


def _compute_verified(
    part: str, rules: Mapping[str, FieldRule], document: Mapping[str, Any], budget: ExpressionBudget
) -> list[MatchValue]:
    values = []
    for name, rule in rules.items():
        computed = _evaluate_or_none(f"match.verified.{part}.{name}", rule.compute_value, document, budget)
        listed = computed if isinstance(computed, list) else [computed]
        values += [MatchValue(name, value, is_verified=True) for value in listed[:MAX_VERIFIED_VALUES]]
    return values


def _evaluate_or_none(
    name: str,
    path: Callable[[Any, ExpressionBudget], Any],
    document: Mapping[str, Any],
    budget: ExpressionBudget,
) -> Any:
    try:
        return path(document, budget)
    except OverBudget:
        raise MappingOverBudget(name) from None
    except _EXPRESSION_ERRORS:
        return None


_cache: dict[bytes, ParsedMapping] = {}


def parse_mapping(declaration: Any) -> ParsedMapping:
    """Parse and validate a declaration; the result is cached by content. Raises InvalidMapping."""
    try:
        key = fingerprint_json(declaration)
    except (TypeError, ValueError, RecursionError):
        # Not JSON: parsing raises an error that names the place.
        return _parse_declaration(declaration)
    known = _cache.get(key)
    if known is None:
        known = _parse_declaration(declaration)
        if len(_cache) >= MAX_CACHED:
            _cache.clear()
        _cache[key] = known
    return known


def _parse_declaration(declaration: Any) -> ParsedMapping:
    outer = _require_object("The mapping", declaration, (), {"fields", "match"})
    fields = _require_object("fields", outer.get("fields"), ("fields",))
    if not 0 < len(fields) <= MAX_FIELDS:
        raise InvalidMapping(f"fields: enter between 1 and {MAX_FIELDS} fields.", ("fields",))
    rules = {name: _parse_field_rule(name, rule, ("fields", name)) for name, rule in fields.items()}
    return ParsedMapping(rules, _parse_match_rule(outer.get("match", {}), rules))


def _parse_field_rule(name: str, declared: Any, place: FieldPath) -> FieldRule:
    rule = _require_object(name, declared, place, {"path", "constant", "apply", "required", "caseless"})
    if ("path" in rule) == ("constant" in rule):
        raise InvalidMapping(f"{name}: enter either a path or a constant.", place)
    return FieldRule(
        path=_parse_path(name, rule["path"], (*place, "path")) if "path" in rule else None,
        constant=rule.get("constant"),
        apply=_parse_functions(name, rule.get("apply", []), (*place, "apply")),
        is_required=_parse_boolean(name, rule, "required", place),
        is_caseless=_parse_boolean(name, rule, "caseless", place),
        entity_fields=fields_read(rule["path"], "entity") if "path" in rule else None,
    )


def _parse_functions(name: str, listed: Any, place: FieldPath) -> tuple[Callable[[Any], Any], ...]:
    if not isinstance(listed, list):
        raise InvalidMapping(f"{name}: “apply” must be a list of functions.", place)
    for number, item in enumerate(listed):
        if not isinstance(item, str) or item not in FUNCTIONS:
            known = ", ".join(sorted(FUNCTIONS))
            raise InvalidMapping(f"{name}: unknown function {item!r}. Available: {known}.", (*place, number))
    return tuple(FUNCTIONS[item] for item in listed)


def _parse_match_rule(declared: Any, rules: Mapping[str, FieldRule]) -> MatchRule:
    match = _require_object("match", declared, ("match",), {"external_id", "previous", "new", "verified"})
    previous = _require_object("match.previous", match.get("previous", {}), ("match", "previous"))
    new = match.get("new", [])
    if not isinstance(new, list) or any(not isinstance(name, str) or name not in rules for name in new):
        raise InvalidMapping("match.new: list fields of this mapping.", ("match", "new"))
    external_id = match.get("external_id")
    if external_id is not None and not isinstance(external_id, str):
        sentence = "match.external_id: enter the record field that contains the entity's id."
        raise InvalidMapping(sentence, ("match", "external_id"))
    paths = {
        name: _parse_path(f"match.previous.{name}", path, ("match", "previous", name))
        for name, path in previous.items()
    }
    verified = _require_object(
        "match.verified", match.get("verified", {}), ("match", "verified"), {"previous", "new"}
    )
    return MatchRule(
        external_id=external_id,
        previous=paths,
        new=tuple(new),
        verified_previous=_parse_verified_rules(verified, "previous"),
        verified_new=_parse_verified_rules(verified, "new"),
    )


def _parse_verified_rules(verified: Mapping[str, Any], part: str) -> dict[str, FieldRule]:
    """Parse `match.verified.new` or `match.verified.previous`. A constant is refused: it verifies nothing."""
    name, place = f"match.verified.{part}", ("match", "verified", part)
    declared = _require_object(name, verified.get(part, {}), place)
    if len(declared) > MAX_FIELDS:
        raise InvalidMapping(f"{name}: enter at most {MAX_FIELDS} fields.", place)
    rules = {}
    for field_name, value in declared.items():
        rule = _require_object(f"{name}.{field_name}", value, (*place, field_name), {"path", "apply"})
        if "path" not in rule:
            raise InvalidMapping(f"{name}.{field_name}: enter a path.", (*place, field_name))
        rules[field_name] = _parse_field_rule(f"{name}.{field_name}", rule, (*place, field_name))
    return rules


def _require_object(
    name: str, value: Any, place: FieldPath, allowed: set[str] | None = None
) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise InvalidMapping(f"{name}: enter a JSON object.", place)
    for member in value:
        if allowed is not None and member not in allowed:
            known = ", ".join(sorted(allowed))
            raise InvalidMapping(f"{name}: unknown field {member!r}. Available: {known}.", (*place, member))
    return value


def _parse_boolean(name: str, rule: Mapping[str, Any], member: str, place: FieldPath) -> bool:
    value = rule.get(member, False)
    if not isinstance(value, bool):
        raise InvalidMapping(f"{name}: “{member}” must be true or false.", (*place, member))
    return value


def _parse_path(name: str, text: Any, place: FieldPath) -> Evaluator:
    if not isinstance(text, str) or not 0 < len(text) <= MAX_PATH:
        sentence = f"{name}: enter a JMESPath expression of 1 to {MAX_PATH} characters."
        raise InvalidMapping(sentence, place)
    try:
        return compile_expression(text)
    except ExpressionTooLarge as error:
        raise InvalidMapping(f"{name}: {text!r} {error}", place) from error
    except JMESPathError as error:
        raise InvalidMapping(f"{name}: {text!r} is not a JMESPath expression.", place) from error
