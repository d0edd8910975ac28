"""The documents that expressions of a connection look into, and the rule that they read only what these have. Pure.

An expression that begins with a name which its document never has finds nothing: sent, nothing clears a value.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from config_schema.errors import SettingPath
from config_schema.expressions.expression_analysis import UnknownRoot, require_known_roots
from config_schema.expressions.expression_kind import pattern_of_other_root
from config_schema.kinds import JsonSchema
from config_schema.rules import CodeRule, Fault, NamedValues
from connectors.settings.body_template import IS_EXPRESSION_PART, BodyTemplate
from connectors.values.json_responses import JmesPathExpression

PAGE_VALUES = ("start", "page", "count", "cursor", "modified_since")
# The document of conditions, and of what is found in headers.
RESPONSE_ROOTS = frozenset({"status", "headers", "body"})
_CREATION_ROOTS = frozenset({"key", "fields", "changed", "sent", "current", "raw", "lists", "entity"})
_WRITE_ROOTS = _CREATION_ROOTS | {"id", "version"}
# The condition of an update is evaluated before its requests are made.
CONDITION_ROOTS = _WRITE_ROOTS - {"sent"}
# The fields of the documents of requests, by what the request is for.
REQUEST_ROOTS: Mapping[str, frozenset[str]] = {
    "entity": frozenset({"id"}),
    "get": frozenset({"id"}),
    "search": frozenset({"field", "value"}),
    "list": frozenset(PAGE_VALUES),
    "create": _CREATION_ROOTS,
    "update": _WRITE_ROOTS,
    "delete": _WRITE_ROOTS,
    "log-in": frozenset({"username", "password"}),
}


def expression_rule(purpose: str, *settings: str) -> CodeRule:
    """Return the rule that the expressions which make a request read only the fields that their document has.
    `purpose`: of the request. `settings`: where the expressions are, by default `body` and `values`.
    """
    roots, places = REQUEST_ROOTS[purpose], settings or ("body", "values")

    def find_unknown_root(values: NamedValues) -> Fault | None:
        for name in places:
            for place, expression in _list_expressions(values[name], (name,)):
                try:
                    require_known_roots(expression.text, roots)
                except UnknownRoot as unknown:
                    sentence = f"This JMESPath expression {unknown}"
                    return place, sentence
        return None

    return CodeRule(
        sentence=f"Expressions in {_join_names(places)} begin with {_join_names(sorted(roots))}.",
        find_fault=find_unknown_root,
        schema={"properties": {name: _setting_schema(name, purpose) for name in places}},
    )


def _list_expressions(value: Any, place: SettingPath) -> Iterator[tuple[SettingPath, JmesPathExpression]]:
    """Yield the expressions of a body or of named values, each with its place."""
    if isinstance(value, BodyTemplate):
        yield from value.place_expressions(place)
    elif value is not None:
        yield from (((*place, name), expression) for name, expression in value.items())


def _join_names(names: tuple[str, ...] | list[str]) -> str:
    return ", ".join(f"`{name}`" for name in names)


def _definition(purpose: str) -> str:
    return f"expressions-of-{purpose}"


def _setting_schema(name: str, purpose: str) -> JsonSchema:
    if name == "body":
        return {"$ref": f"#/$defs/{_definition(purpose)}"}
    return {"additionalProperties": _without_other_root(purpose)}


def _without_other_root(purpose: str) -> JsonSchema:
    return {"not": {"type": "string", "pattern": pattern_of_other_root(REQUEST_ROOTS[purpose])}}


def _part_schema(purpose: str) -> JsonSchema:
    """Return the JSON Schema of a part of a body at any depth, whose expressions read only what their document has."""
    reference, expression = _setting_schema("body", purpose), _without_other_root(purpose)
    return {
        "if": IS_EXPRESSION_PART,
        "then": {"properties": {"expression": expression, "when": expression}},
        "else": {"additionalProperties": reference, "items": reference},
    }


# `$defs` of every document that has one of these requests.
DOCUMENT_SCHEMAS: Mapping[str, JsonSchema] = {
    _definition(purpose): _part_schema(purpose) for purpose in REQUEST_ROOTS
}
