"""Draft a mapping from what an identity service provides and what a target accepts, as their presets say. Pure.

A draft is a declaration for a person to review. It fills only fields whose meaning both ends know.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from config_schema.expressions.expression_analysis import parse_plain_path
from config_schema.expressions.jmespath_paths import parse_expression
from connectors.presets.described_ends import AcceptedField

# Where nothing of a meaning is provided, what is taken for it: the expression is one over the values of other meanings,
# all of which must be provided. A full name is not split: nothing says where.
_REPLACEMENTS: Mapping[str, tuple[tuple[tuple[str, ...], str], ...]] = {
    "name": ((("given_name", "family_name"), "join(' ', [{0}, {1}][?@]) || `null`"),),
    "username": ((("email",), "{0}"),),
    "locale": ((("language",), "{0}"),),
    "language": ((("locale",), "split(replace({0}, '_', '-'), '-')[0]"),),
}
# The meanings whose new value may find a record, each with the meaning that says whether the value is verified.
_MATCHED: Mapping[str, str] = {"email": "email_verified", "group_name": ""}


# The meanings of the values by which callers name a person. A draft makes these fields searchable.
_SEARCHED = frozenset({"name", "given_name", "family_name", "email", "phone_number"})


def draft_declaration(provides: Mapping[str, str], accepts: Sequence[AcceptedField]) -> dict[str, Any]:
    """Return the declaration of a mapping: `fields` and `match`. `provides`: the place of each value in an entity, by
    meaning. `fields` is empty if the ends have no meaning in common: then it is not a valid declaration.
    """
    fields = {
        accepted.field: rule
        for accepted in accepts
        if not accepted.is_read_only and (rule := _draft_rule(accepted, provides)) is not None
    }
    declaration: dict[str, Any] = {"fields": fields, "match": _draft_match(provides, accepts, fields)}
    if any("linked" in rule for rule in fields.values()):
        # A record takes the records that are linked already. Later ones complete it.
        declaration["reference_wait_minutes"] = 0
    return declaration


def missing_fields(declaration: Mapping[str, Any], accepts: Sequence[AcceptedField]) -> list[AcceptedField]:
    """Return the fields that the target requires and that a declaration does not fill."""
    filled = declaration.get("fields") or {}
    return [accepted for accepted in accepts if accepted.is_required and accepted.field not in filled]


def _draft_rule(accepted: AcceptedField, provides: Mapping[str, str]) -> dict[str, Any] | None:
    """Return the rule of a field; None if nothing is known to fill it with."""
    rule: dict[str, Any] | None
    path = _find_value(accepted.meaning, provides)
    switches = {"only_on_create": accepted.is_only_on_create}
    if path is None:
        rule = None if accepted.constant is None else {"constant": accepted.constant}
    else:
        rule = {"path": path if accepted.convert is None else f"{path} | {accepted.convert}"}
        switches |= {"required": accepted.is_required, "caseless": accepted.is_caseless}
        switches["searchable"] = accepted.meaning in _SEARCHED
        if accepted.apply:
            rule["apply"] = list(accepted.apply)
        if accepted.linked is not None:
            rule |= {"linked": accepted.linked, "when_missing": "leave_out"}
        if accepted.when_absent is not None:
            rule["when_absent"] = accepted.when_absent
    return None if rule is None else rule | {name: True for name, is_on in switches.items() if is_on}


def _find_value(meaning: str | None, provides: Mapping[str, str]) -> str | None:
    """Return the expression of a mapping that gives the value of a meaning; None if none is known."""
    if meaning is None:
        return None
    if meaning in provides:
        return _in_entity(provides[meaning])
    for needed, expression in _REPLACEMENTS.get(meaning, ()):
        if all(name in provides for name in needed):
            return expression.format(*(_in_entity(provides[name]) for name in needed))
    return None


def _in_entity(path: str) -> str:
    """Return an expression over `{"entity": …}` with the value of one over the entity."""
    return f"entity.{path}" if _begins_with_field(parse_expression(path)) else f"entity | {path}"


def _as_operand(path: str) -> str:
    """Return `_in_entity` of an expression, in brackets if operators beside it would take it apart."""
    return _in_entity(path) if parse_plain_path(path) is not None else f"({_in_entity(path)})"


def _begins_with_field(node: Any) -> bool:
    """Return True if an expression reads the document only where it begins, with a name."""
    while node["type"] in (
        "subexpression",
        "index_expression",
        "projection",
        "filter_projection",
        "flatten",
        "pipe",
    ):
        node = node["children"][0]
    return bool(node["type"] == "field")


def _draft_match(
    provides: Mapping[str, str], accepts: Sequence[AcceptedField], fields: Mapping[str, Any]
) -> dict[str, Any]:
    match: dict[str, Any] = {}
    searched = [accepted for accepted in accepts if accepted.is_searched and accepted.field in fields]
    for accepted in searched:
        if accepted.meaning == "external_id":
            match.setdefault("external_id", accepted.field)
    new = [accepted for accepted in searched if accepted.meaning in _MATCHED]
    if new:
        match["new"] = [accepted.field for accepted in new]
    if verified := dict(_draft_verified(provides, new)):
        match["verified"] = {"new": verified}
    return match


def _draft_verified(
    provides: Mapping[str, str], matched: Sequence[AcceptedField]
) -> Iterator[tuple[str, dict[str, Any]]]:
    for accepted in matched:
        meaning = accepted.meaning or ""
        mark = provides.get(_MATCHED[meaning])
        if mark is not None and meaning in provides and accepted.convert is None:
            path = f"{_as_operand(mark)} == `true` && {_as_operand(provides[meaning])} || `null`"
            yield (
                accepted.field,
                {"path": path, **({"apply": list(accepted.apply)} if accepted.apply else {})},
            )
