"""Mappings: a declaration that turns an entity into the fields of a record. Pure.

    {"fields": {"email": {"path": "entity.emails", "apply": ["first_verified_email", "lower"], "required": true},
                "source": {"constant": "identity"}},
     "match": {"external_id": "external_id", "previous": {"email": "email"}, "new": ["email"]}}

A path is a JMESPath expression (https://jmespath.org/specification.html) over `{"entity": …, "webhook": …}`; those of
`match.previous` look into the webhook's `previous` member. A value that is not there becomes null.
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from jmespath.exceptions import JMESPathError

from sync.connectors.values.fingerprint import fingerprint
from sync.connectors.values.jmespath_paths import Finder, compile_expression, members_of

MAX_FIELDS = 200
MAX_PATH = 500

MOST_KNOWN = 256

# What an expression may raise over an entity that it does not fit: `ceil` of an infinite number, depth, wrong kinds.
_MISFITS = (JMESPathError, TypeError, ValueError, AttributeError, ArithmeticError, RecursionError)
_ALWAYS_JSON = frozenset({str, bool, type(None)})


Place = tuple[str | int, ...]


class MappingInvalid(ValueError):
    """A declaration that cannot be used; the sentence names the field, `place` the members that lead to it."""

    def __init__(self, sentence: str, place: Place = ()) -> None:
        super().__init__(sentence)
        self.place = place


class Unmappable(Exception):
    """This entity cannot be turned into a record; `field` says where."""

    def __init__(self, field_name: str, reason: str) -> None:
        super().__init__(f"{field_name}: {reason}")
        self.field = field_name
        self.reason = reason


def gettext_noop(text: str) -> str:
    """The text, marked for whoever gathers what is to be translated; the console looks it up."""
    return text


def _first(value: Any) -> Any:
    return value[0] if isinstance(value, list) and value else None if isinstance(value, list) else value


def _first_verified_email(emails: Any) -> Any:
    """The first verified address; without one, the first address (Trivore's list has no primary flag)."""
    listed = [entry for entry in emails if isinstance(entry, dict)] if isinstance(emails, list) else []
    verified = [entry for entry in listed if entry.get("verified") is True]
    return next((entry.get("address") for entry in verified + listed if entry.get("address")), None)


def _on_text(change: Callable[[str], str]) -> Callable[[Any], Any]:
    return lambda value: change(value) if isinstance(value, str) else value


def _text(value: Any) -> Any:
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value) if isinstance(value, int | float) else value


FUNCTIONS: Mapping[str, Callable[[Any], Any]] = {
    "lower": _on_text(str.lower),
    "upper": _on_text(str.upper),
    "trim": _on_text(str.strip),
    "first": _first,
    "text": _text,
    "first_verified_email": _first_verified_email,
}


@dataclass(frozen=True, slots=True)
class FieldRule:
    """How one field of the record is made."""

    path: Finder | None = None
    constant: Any = None
    apply: tuple[Callable[[Any], Any], ...] = ()
    is_required: bool = False
    is_caseless: bool = False
    members: frozenset[str] | None = (
        None  # of the entity that it looks at, where it does not look at all of it
    )

    def is_told(self, part: Mapping[str, Any]) -> bool:
        """Whether a part of an entity has something that it looks at: `entity.locked != `true`` is true of nothing."""
        return not self.members or not self.members.isdisjoint(part)

    def value(self, document: Mapping[str, Any]) -> Any:
        """The value for `{"entity": …, "webhook": …}`; raises what an expression may raise."""
        value = self.constant if self.path is None else self.path(document)
        for change in self.apply:
            value = change(value)
        return value


@dataclass(frozen=True, slots=True)
class MatchRule:
    """By what a record is found when there is no link yet."""

    external_id: str | None = None
    previous: Mapping[str, Finder] = field(default_factory=dict)
    new: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class ParsedMapping:
    """A declaration that was checked."""

    fields: Mapping[str, FieldRule]
    match: MatchRule

    def apply(self, entity: Mapping[str, Any], webhook: Mapping[str, Any]) -> dict[str, Any]:
        """The record's fields for this entity. `Unmappable` names the field that has no usable value."""
        return self._made(self.fields, entity, webhook, without=(None, "", []))

    def apply_part(self, part: Mapping[str, Any], webhook: Mapping[str, Any]) -> dict[str, Any]:
        """The fields that a part of an entity has a value for; what it does not tell is left as it is. `Unmappable` as
        above, and where a required field is told to be empty."""
        told = {name: rule for name, rule in self.fields.items() if rule.is_told(part)}
        made = self._made(told, part, webhook, without=("", []))
        return {name: value for name, value in made.items() if value is not None}

    def _made(
        self,
        rules: Mapping[str, FieldRule],
        entity: Mapping[str, Any],
        webhook: Mapping[str, Any],
        without: tuple[Any, ...],
    ) -> dict[str, Any]:
        document = {"entity": entity, "webhook": webhook}
        made = {name: _made(name, rule, document) for name, rule in rules.items()}
        for name, rule in rules.items():
            if rule.is_required and made[name] in without:
                raise Unmappable(name, gettext_noop("it is required, and the entity has no value for it"))
        return made

    def previous_values(self, previous: Mapping[str, Any]) -> list[tuple[str, Any]]:
        """(record field, old value) for each value that the change overwrote."""
        found = [(name, _quiet(path, previous)) for name, path in self.match.previous.items()]
        return [(name, value) for name, value in found if isinstance(value, str | int) and value != ""]

    @property
    def caseless(self) -> frozenset[str]:
        """Fields in which capital letters do not count as a difference."""
        return frozenset(name for name, rule in self.fields.items() if rule.is_caseless)


def _made(name: str, rule: FieldRule, document: Mapping[str, Any]) -> Any:
    try:
        value = rule.value(document)
        # An expression can also give what JSON cannot hold: `&name`, infinity, a number too long to be written.
        if type(value) not in _ALWAYS_JSON:
            json.dumps(value, allow_nan=False)
    except _MISFITS as error:
        raise Unmappable(name, gettext_noop("the expression does not fit this entity")) from error
    return value


def _quiet(path: Finder, document: Mapping[str, Any]) -> Any:
    try:
        return path(document)
    except _MISFITS:
        return None


_known: dict[bytes, ParsedMapping] = {}


def parse_mapping(declaration: Any) -> ParsedMapping:
    """The checked form of a declaration, remembered by its content. `MappingInvalid` with a sentence that names the
    place."""
    try:
        key = fingerprint(declaration)
    except (TypeError, ValueError, RecursionError):
        return _parse(declaration)
    known = _known.get(key)
    if known is None:
        known = _parse(declaration)
        if len(_known) >= MOST_KNOWN:
            _known.clear()
        _known[key] = known
    return known


def _parse(declaration: Any) -> ParsedMapping:
    outer = _object("The mapping", declaration, (), {"fields", "match"})
    fields = _object("fields", outer.get("fields"), ("fields",))
    if not 0 < len(fields) <= MAX_FIELDS:
        raise MappingInvalid(f"fields: name between 1 and {MAX_FIELDS} fields.", ("fields",))
    rules = {name: _field_rule(name, rule, ("fields", name)) for name, rule in fields.items()}
    return ParsedMapping(rules, _match_rule(outer.get("match", {}), rules))


def _field_rule(name: str, declared: Any, place: Place) -> FieldRule:
    rule = _object(name, declared, place, {"path", "constant", "apply", "required", "caseless"})
    if ("path" in rule) == ("constant" in rule):
        raise MappingInvalid(f"{name}: give either a path or a constant.", place)
    return FieldRule(
        path=_path(name, rule["path"], (*place, "path")) if "path" in rule else None,
        constant=rule.get("constant"),
        apply=_functions(name, rule.get("apply", []), (*place, "apply")),
        is_required=_truth(name, rule, "required", place),
        is_caseless=_truth(name, rule, "caseless", place),
        members=members_of(rule["path"], "entity") if "path" in rule else None,
    )


def _functions(name: str, listed: Any, place: Place) -> tuple[Callable[[Any], Any], ...]:
    if not isinstance(listed, list):
        raise MappingInvalid(f"{name}: apply is a list of functions.", place)
    for number, item in enumerate(listed):
        if not isinstance(item, str) or item not in FUNCTIONS:
            known = ", ".join(sorted(FUNCTIONS))
            raise MappingInvalid(f"{name}: no function {item!r}; there are {known}.", (*place, number))
    return tuple(FUNCTIONS[item] for item in listed)


def _match_rule(declared: Any, rules: Mapping[str, FieldRule]) -> MatchRule:
    match = _object("match", declared, ("match",), {"external_id", "previous", "new"})
    previous = _object("match.previous", match.get("previous", {}), ("match", "previous"))
    new = match.get("new", [])
    if not isinstance(new, list) or any(not isinstance(name, str) or name not in rules for name in new):
        raise MappingInvalid("match.new: list fields of this mapping.", ("match", "new"))
    external_id = match.get("external_id")
    if external_id is not None and not isinstance(external_id, str):
        sentence = "match.external_id: name the record's field that holds the entity's id."
        raise MappingInvalid(sentence, ("match", "external_id"))
    paths = {
        name: _path(f"match.previous.{name}", path, ("match", "previous", name))
        for name, path in previous.items()
    }
    return MatchRule(external_id=external_id, previous=paths, new=tuple(new))


def _object(name: str, value: Any, place: Place, allowed: set[str] | None = None) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise MappingInvalid(f"{name}: an object is expected.", place)
    for member in value:
        if allowed is not None and member not in allowed:
            known = ", ".join(sorted(allowed))
            raise MappingInvalid(f"{name}: no member {member!r}; there are {known}.", (*place, member))
    return value


def _truth(name: str, rule: Mapping[str, Any], member: str, place: Place) -> bool:
    value = rule.get(member, False)
    if not isinstance(value, bool):
        raise MappingInvalid(f"{name}: {member} is true or false.", (*place, member))
    return value


def _path(name: str, text: Any, place: Place) -> Finder:
    if not isinstance(text, str) or not 0 < len(text) <= MAX_PATH:
        sentence = f"{name}: a JMESPath expression of 1 to {MAX_PATH} characters is expected."
        raise MappingInvalid(sentence, place)
    try:
        return compile_expression(text)
    except (JMESPathError, RecursionError) as error:
        raise MappingInvalid(f"{name}: {text!r} is not a JMESPath expression.", place) from error
