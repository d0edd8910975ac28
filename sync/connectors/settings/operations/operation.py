"""Settings of the operations on the records of one entity type: one request each, and what its answer says. Pure."""

import re
from collections.abc import Iterator, Mapping
from functools import cached_property
from typing import Any

from config_schema.declared import Declared, nullable, setting
from config_schema.kinds import Choice, TextList
from config_schema.objects import MapOf, OneOrMore
from config_schema.rules import AnyOf, CodeRule, Fault, Fits, Given, Is, NamedValues, Not, Requires
from config_schema.translatable import translatable
from sync.connectors.http.placeholders import STYLES, find_fault, find_placeholders
from sync.connectors.http.query_parameters import Query, list_values
from sync.connectors.settings.answer_rules import NO_CONTENT, rule_list
from sync.connectors.settings.body_template import MENTIONS_VALUE, Body, BodyTemplate
from sync.connectors.settings.operations.templates import (
    NAME,
    PLACED_VALUE,
    USED_VALUE,
    HeaderTemplates,
    OperationPath,
    placeholder_rule,
)
from sync.connectors.settings.page_style import Paging, address_rule
from sync.connectors.settings.setting_kinds import Expression, QueryParameters
from sync.connectors.values.answer_meaning import STATED_MEANINGS, AnswerRule, Meaning
from sync.connectors.values.json_responses import JmesPathExpression

OPERATION_NAMES = ("get", "search", "create", "update", "delete", "list")
MAX_UPDATES = 3
MAX_VALUES = 20
MAX_FIELDS = 20
PATCH_STYLES = ("merge-patch", "json-patch", "scim-patch")
STYLES_OF_UPDATE = ("changed", "replace", *PATCH_STYLES, "body")
# Styles that send an object of fields, so that the version can be one of them.
OBJECT_STYLES = frozenset({"changed", "replace", "merge-patch"})

_STYLE_WORDS = ", ".join(f"`{{value:{style}}}`" for style in STYLES)
_CONTEXT = translatable(
    "`id`, `key` (the id of the entity in the identity service), `fields` (all mapped fields), `changed` "
    "(those that differ), `sent` (the change in the form of `style`), `current` (the record as the hub "
    "compares it), `raw` (the record as the target returns it, read again), `entity` and `version`; in a "
    "search `field` and `value`"
)
_BODY_RULES = (
    Requires(
        sentence="A GET request and a request with the encoding `none` have no `body`.",
        when=Given("body"),
        then=Not(AnyOf(Is("method", "GET"), Is("encoding", "none"))),
        at="body",
        error=translatable("A GET request has no body, nor has one with the encoding “none”."),
    ),
    Requires(
        sentence="The body of a form is an object.",
        when=Is("encoding", "form"),
        then=Not(
            Fits("body", {"type": "array"}, lambda body: body is not None and isinstance(body.root, list))
        ),
        at="body",
        error=translatable("The body of a form must be an object."),
    ),
)


class Operation(Declared):
    """One request, and how its response is read."""

    method: str = setting(Choice(("GET", "POST")), "The method of the request.", default="GET", example="GET")
    path: str = setting(
        OperationPath(),
        "The path of the request. A placeholder stands for a value, which is always escaped into one segment.",
        example="/api/customers/{id}",
    )
    query: Query = setting(
        QueryParameters(None),
        translatable(
            "The query parameters. A list of texts repeats the parameter. Values may contain placeholders such "
            "as `{value}`, or, to escape or encode the value, with a style: %(style_words)s. Put `odata` and "
            "`soql` in single quotes and `json` in double quotes; `quoted` adds its own double quotes. `base64` "
            "is the standard form with padding, `base64url` the form for URLs without padding. In a search, a "
            "name may contain `{field}`.",
            style_words=_STYLE_WORDS,
        ),
        default={},
        example={"filter": "{field} eq {value:quoted}"},
    )
    headers: Mapping[str, str] = setting(
        HeaderTemplates(),
        "Headers of this request. Values may contain placeholders; a secret is refused here.",
        default={},
        example={"Prefer": "return=representation"},
    )
    encoding: str = setting(
        Choice(("json", "form", "none")),
        "How the body is sent. `form`: as form fields, with nested objects and lists as `a[b]`; null and an "
        "empty list become an empty field. `none`: no body.",
        default="json",
        example="form",
    )
    body: BodyTemplate | None = nullable(
        Body(),
        translatable(
            'The body. In it, an object `{"expression": …}` stands for the result of a JMESPath expression over the '
            'context: %(context)s. With `"optional": true` it is omitted if the result is null; with `"when": …`, '
            "unless that expression is true. A cleared field is null in `changed`: to send it too, use "
            '`"when": "contains(keys(changed), \'phone\')"`. An object '
            '`{"template": …}` stands for a text with placeholders, in the styles of a query. Everything else is sent '
            "unchanged. Without this setting, a creation and an update send `sent`, and other requests have no body.",
            context=_CONTEXT,
        ),
        example={
            "query": "mutation …",
            "variables": {"id": {"expression": "id"}, "input": {"expression": "sent"}},
        },
    )
    result: JmesPathExpression = setting(
        Expression(),
        "Where the record is in a response, or the list of records for a search or a list. After an update or a "
        "deletion it may find nothing.",
        default="@",
        example="data.customer",
    )
    values: Mapping[str, JmesPathExpression] = setting(
        MapOf(
            Expression(),
            "NAME",
            0,
            MAX_VALUES,
            NAME,
            translatable(
                "This must consist of lower-case letters and underscores, and must not be `id`, `key`, `field` or "
                "`value`."
            ),
        ),
        "Additional placeholders: their names, and expressions over the context that return their values.",
        default={},
        example={"address": "raw.default_address.id"},
    )
    answers: tuple[AnswerRule, ...] = nullable(
        rule_list(STATED_MEANINGS),
        "What responses to this request mean: the first rule that matches decides. These rules come "
        "before those of the connection.",
        absent=(),
        example=[{"status": 400, "when": "body.errors[0].code == 'RECORD_NOT_UNIQUE'", "means": "exists"}],
    )

    @property
    def label(self) -> str:
        """Return method and path template, which contain nothing secret or personal."""
        return f"{self.method} {self.path}"

    def uses(self, name: str) -> bool:
        """Return True if an expression of the request mentions a name of the context."""
        return _mentions(name, self.request_expressions())

    def request_expressions(self) -> Iterator[JmesPathExpression]:
        """Yield the expressions that make the request."""
        yield from self.values.values()
        if self.body is not None:
            yield from self.body.expressions()


def _mentions(name: str, expressions: Iterator[JmesPathExpression]) -> bool:
    word = re.compile(rf"\b{name}\b")
    return any(word.search(expression.text) for expression in expressions)


class GetOperation(Operation):
    """The request that reads one record."""

    raw: JmesPathExpression | None = nullable(
        Expression(),
        "Where the whole record is in a response, if `result` builds a new object from it. Without it: the "
        "response itself.",
        example="data.customer",
    )

    rules = (*_BODY_RULES, placeholder_rule({"id"}))


def _find_unknown_field(values: NamedValues) -> Fault | None:
    for name in values["field_values"]:
        if name not in values["fields"]:
            sentence = translatable("The field “%(name)s” is not among “fields”.", name=name[:100])
            return "field_values", sentence
    return None


def _find_bare_absence(values: NamedValues) -> Fault | None:
    """Find a rule by which every response with some status means that a search found nothing: with a wrong path the
    hub would then create every record again.
    """
    for rule in values["answers"]:
        if rule.means is Meaning.ABSENT and rule.condition is None and rule.statuses != {NO_CONTENT}:
            return "answers", translatable(
                "In a search, a rule that means “absent” needs “when”: a wrong path may have the same status."
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
_PLACED = {"type": "string", "pattern": PLACED_VALUE}


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
        *_BODY_RULES,
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
                    _has_placed({"type": "string", "pattern": USED_VALUE}),
                    lambda values: _mentions("value", values.values()),
                ),
            ),
            error=translatable(
                "A search must send the value: {value} in its path or query, or in its body "
                '{"expression": "value"}, or a {"template": …} with {value}.'
            ),
        ),
    )


class WriteOperation(Operation):
    """A request that changes a record."""

    # What an update sends; other writes send their fields as they are.
    style = "changed"

    @cached_property
    def needs_raw(self) -> bool:
        """True if the record has to be read before the request can be made."""
        return self.style == "replace" or self.uses("raw")


def _write_method(default: str) -> Any:
    choices = Choice(("POST", "PUT", "PATCH", "DELETE"))
    return setting(choices, Operation.settings["method"].meaning, default=default, example="POST")


class CreateOperation(WriteOperation):
    """The request that creates a record. Its response must have the id of the record."""

    method: str = _write_method("POST")
    created_id: JmesPathExpression | None = nullable(
        Expression(),
        "Where the id of the new record is in a response, for a system that answers without the record: an "
        "expression over an object with `status`, `headers` (names in lower case) and `body`. `result` is then "
        "ignored.",
        example="split(headers.location, '/')[-1]",
    )

    rules = (*_BODY_RULES, placeholder_rule({"key"}))


class UpdateOperation(WriteOperation):
    """The request that updates a record, or one of several that are sent in order."""

    method: str = _write_method("PATCH")
    when: JmesPathExpression | None = nullable(
        Expression(),
        "An expression over the context of the body. The request is skipped unless it is true.",
        example="contains(keys(changed), 'address')",
    )
    style: str = setting(
        Choice(STYLES_OF_UPDATE),
        "What an update sends. `changed`: the changed fields. `replace`: the whole record as the target returns "
        "it, with the changed fields replaced. `merge-patch`: the changed fields as in RFC 7396. `json-patch`: "
        "operations as in RFC 6902. `scim-patch`: a PatchOp as in RFC 7644. `body`: only the configured `body`.",
        default="changed",
        example="replace",
    )
    omit: tuple[str, ...] = setting(
        TextList(),
        "With the style `replace`: fields of the record that are not sent, such as those that the target sets itself.",
        default=[],
        example=["id", "created_at"],
    )

    rules = (
        *_BODY_RULES,
        Requires(
            sentence="The style `body` needs a `body`, unless the encoding is `none`.",
            when=Is("style", "body"),
            then=AnyOf(Given("body"), Is("encoding", "none")),
            at="body",
            error=translatable("The style “body” needs a body."),
        ),
        Requires(
            sentence="A patch is not sent as a form.",
            when=Is("style", *PATCH_STYLES),
            then=Not(Is("encoding", "form")),
            at="encoding",
            error=translatable("A patch is sent as JSON."),
        ),
        placeholder_rule({"id", "key"}),
    )

    def request_expressions(self) -> Iterator[JmesPathExpression]:
        yield from super().request_expressions()
        if self.when is not None:
            yield self.when


class DeleteOperation(WriteOperation):
    """The request that deletes or anonymizes a record."""

    method: str = _write_method("DELETE")

    rules = (*_BODY_RULES, placeholder_rule({"id", "key"}))


class ListOperation(Operation, Paging):
    """The request that lists records, or one page of them."""

    rules = (*Paging.rules, address_rule("paging"), *_BODY_RULES, placeholder_rule(()))


class Operations(Declared):
    """The operations on the records of one entity type. One that the target does not offer is None; updates are sent
    one after the other.
    """

    get: GetOperation = setting(
        GetOperation.kind, "The request that reads one record.", example={"path": "/api/customers/{id}"}
    )
    search: SearchOperation | None = nullable(
        SearchOperation.kind,
        "The request that finds records by the value of a field.",
        example={
            "method": "POST",
            "path": "/api/customers/search",
            "body": {"filters": [{"field": {"expression": "field"}, "value": {"expression": "value"}}]},
            "result": "results",
            "fields": ["email"],
        },
    )
    create: CreateOperation = setting(
        CreateOperation.kind,
        "The request that creates a record. Its response must have the id of the record.",
        example={"path": "/api/customers"},
    )
    updates: tuple[UpdateOperation, ...] = setting(
        OneOrMore(UpdateOperation.kind, MAX_UPDATES),
        translatable(
            "The request that updates a record, or a list of at most %(most)s that are sent in order.",
            most=MAX_UPDATES,
        ),
        name="update",
        example={"method": "PUT", "path": "/api/customers/{id}", "style": "replace", "omit": ["id"]},
    )
    delete: DeleteOperation | None = nullable(
        DeleteOperation.kind,
        "The request that deletes or anonymizes a record.",
        example={"method": "POST", "path": "/api/customers/{id}/anonymize", "encoding": "none"},
    )
    list: ListOperation | None = nullable(
        ListOperation.kind,
        "The request that lists records, or one page of them. Expressions in the body and in `values` may "
        "use `start`, `page`, `count` and `cursor` (null for the first page); paging values used there are "
        "not sent in the query.",
        example={"path": "/api/customers", "query": {"limit": "5"}, "result": "items"},
    )

    def items(self) -> Iterator[tuple[str, Operation]]:
        """Yield the name of each operation and the operation."""
        for name in ("get", "search", "create", "delete", "list"):
            operation = getattr(self, name)
            if operation is not None:
                yield name, operation
        for operation in self.updates:
            yield "update", operation


EXAMPLE = {name: Operations.settings[name].example for name in ("get", "create")} | {
    "update": {"path": "/api/customers/{id}"}
}


def has_bare_quoted_id(operation: Operation) -> bool:
    """Return True if an id is in quotes without a style, so that an id with a quote would end them."""
    names = find_placeholders(operation.path)
    return find_fault(operation.path, names) is not None
