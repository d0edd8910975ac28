"""Settings of the operations that read records. Pure."""

from collections.abc import Mapping
from typing import Any

from config_schema.declared import nullable, setting
from config_schema.kinds import TextList
from config_schema.objects import MapOf
from config_schema.rules import AnyOf, CodeRule, Fault, Fits, NamedValues, Requires
from connectors.http.placeholders import find_placeholders
from connectors.http.query_parameters import list_values
from connectors.settings.answer_rules import NO_CONTENT
from connectors.settings.body_template import MENTIONS_VALUE
from connectors.settings.expression_documents import expression_rule
from connectors.settings.operations.operation import BODY_RULES, Operation, mentions
from connectors.settings.operations.templates import placeholder_rule
from connectors.settings.page_style import NULL_ITEMS, Paging, address_rule
from connectors.settings.setting_kinds import Expression
from connectors.values.answer_meaning import Meaning
from connectors.values.json_responses import JmesPathExpression

MAX_FIELDS = 20


class GetOperation(Operation):
    """The request that reads one record."""

    raw: JmesPathExpression | None = nullable(
        Expression(),
        "Where the whole record is in a response, if `result` builds a new object from it. Without it: the "
        "response itself.",
        example="data.customer",
    )

    rules = (*BODY_RULES, placeholder_rule({"id"}), expression_rule("get"))


def _find_unknown_field(values: NamedValues) -> Fault | None:
    for name in values["field_values"]:
        if name not in values["fields"]:
            sentence = f"The field “{name[:100]}” is not among “fields”."
            return "field_values", sentence
    return None


def _find_bare_absence(values: NamedValues) -> Fault | None:
    """Find a rule by which every response with some status means that a search found nothing: with a wrong path the
    hub would then create every record again.
    """
    for rule in values["answers"]:
        if rule.means is Meaning.ABSENT and rule.condition is None and rule.statuses != {NO_CONTENT}:
            return (
                "answers",
                "In a search, a rule that means “absent” needs “when”: a wrong path may have the same status.",
            )
    return None


_IS_NO_CONTENT = {"anyOf": [{"const": NO_CONTENT}, {"type": "array", "items": {"const": NO_CONTENT}}]}
_CONDITIONAL_ABSENCE = {
    "anyOf": [
        {"required": ["when"]},
        {"properties": {"status": _IS_NO_CONTENT}, "required": ["status"]},
        {"properties": {"means": {"not": {"const": Meaning.ABSENT.value}}}},
    ]
}
_PLACED = {"type": "string", "pattern": r"\{value(?::[a-z0-9]+)?\}"}


def _places_value(*texts: str) -> bool:
    return any("value" in find_placeholders(text) for text in texts)


def _has_placed(schema: Mapping[str, Any]) -> dict[str, Any]:
    """Return the schema of an object with a value of a schema."""
    return {"not": {"additionalProperties": {"not": schema}}}


class SearchOperation(Operation):
    """The request that finds records by the value of a field."""

    fields: tuple[str, ...] = setting(
        TextList(),
        "The fields by which records can be searched. Other fields are never used for a search.",
        default=[],
        example=["external_id", "email"],
    )
    field_values: Mapping[str, JmesPathExpression] = setting(
        MapOf(Expression(), "FIELD", 0, MAX_FIELDS),
        "For a field of which a record may have several values, such as additional e-mail addresses: an "
        "expression over the found record, by the name of the field, that returns one value or a list. The "
        "record counts only if one of them equals the value that is searched for, by the same rules as the field "
        "itself, which is then ignored. Before a record is linked by a value, the expression also reads the record as "
        "`get` returns it. It does not affect writes.",
        default={},
        example={"email": "[email, other_emails[]][]"},
    )

    rules = (
        *BODY_RULES,
        CodeRule(
            sentence="The fields in `field_values` are among those of `fields`.",
            find_fault=_find_unknown_field,
            schema={
                "if": {"not": {"required": ["fields"]}},
                "then": {"properties": {"field_values": {"maxProperties": 0}}},
            },
        ),
        CodeRule(
            sentence="In a search, `absent` means that no record has the value. Such a rule needs `when`, unless its "
            "status is 204: a wrong path may have the same status.",
            find_fault=_find_bare_absence,
            schema={"properties": {"answers": {"items": _CONDITIONAL_ABSENCE}}},
        ),
        placeholder_rule({"field", "value"}),
        expression_rule("search"),
        Requires(
            sentence='A search sends the value: `{value}` in its path, query, headers or a `{"template": …}`, or '
            '`{"expression": "value"}` in its body.',
            then=AnyOf(
                Fits("path", _PLACED, _places_value),
                Fits(
                    "query",
                    _has_placed({"anyOf": [_PLACED, {"type": "array", "contains": _PLACED}]}),
                    lambda query: _places_value(*list_values(query)),
                ),
                Fits("headers", _has_placed(_PLACED), lambda headers: _places_value(*headers.values())),
                Fits("body", MENTIONS_VALUE, lambda body: body is not None and body.uses("value")),
                Fits(
                    "values",
                    _has_placed({"type": "string", "pattern": r"\bvalue\b"}),
                    lambda values: mentions("value", values.values()),
                ),
            ),
            error='A search must send the value: {value} in its path or query, or in its body {"expression": "value"}, '
            'or a {"template": …} with {value}.',
        ),
    )


class ListOperation(Operation, Paging):
    """The request that lists records, or one page of them."""

    result: JmesPathExpression = setting(
        Expression(),
        f"Where the list of records is in a response. {NULL_ITEMS}",
        default="@",
        example="data.customers",
    )

    rules = (
        *Paging.rules,
        address_rule("paging"),
        *BODY_RULES,
        placeholder_rule(()),
        expression_rule("list"),
    )
