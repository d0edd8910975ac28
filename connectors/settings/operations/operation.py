"""Settings of the operations on the records of one entity type: one request each, and what its answer says. Pure."""

import re
from collections.abc import Iterator, Mapping

from config_schema.declared import Declared, nullable, setting
from config_schema.kinds import Choice
from config_schema.objects import MapOf
from config_schema.rules import AnyOf, Fits, Given, Is, Not, Requires
from connectors.http.placeholders import STYLES, find_fault, find_placeholders
from connectors.http.query_parameters import Query
from connectors.settings.answer_rules import rule_list
from connectors.settings.body_template import Body, BodyTemplate
from connectors.settings.operations.templates import (
    HeaderTemplates,
    OperationPath,
)
from connectors.settings.setting_kinds import Expression, QueryParameters
from connectors.values.answer_meaning import STATED_MEANINGS, AnswerRule
from connectors.values.json_responses import JmesPathExpression

MAX_VALUES = 20
# A name that stands for no value of the hub itself.
_NAME = re.compile(r"(?!(?:id|key|field|value)$)[a-z][a-z_]{0,29}")

_STYLE_WORDS = ", ".join(f"`{{value:{style}}}`" for style in STYLES)
_CONTEXT = (
    "`id`, `key` (the id of the entity in the identity service), `fields` (all mapped fields), `changed` (those that "
    "differ), `sent` (the change in the form of `style`), `current` (the record as the hub compares it), `raw` (the "
    "record as the target returns it, read again), `lists` (the lists of `list_items` that the change concerns, with "
    "their changed items), `entity` and `version`; in a search `field` and `value`"
)
# Of every operation.
BODY_RULES = (
    Requires(
        sentence="A GET request and a request with the encoding `none` have no `body`.",
        when=Given("body"),
        then=Not(AnyOf(Is("method", "GET"), Is("encoding", "none"))),
        at="body",
        error="A GET request has no body, nor has one with the encoding “none”.",
    ),
    Requires(
        sentence="The body of a form is an object.",
        when=Is("encoding", "form"),
        then=Not(
            Fits("body", {"type": "array"}, lambda body: body is not None and isinstance(body.root, list))
        ),
        at="body",
        error="The body of a form must be an object.",
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
        "The query parameters. A list of texts repeats the parameter. Values may contain placeholders such as "
        f"`{{value}}`, or, to escape or encode the value, with a style: {_STYLE_WORDS}. Put `odata` and `soql` in "
        "single quotes and `json` in double quotes; `quoted` adds its own double quotes. `base64` is the standard form "
        "with padding, `base64url` the form for URLs without padding. In a search, a name may contain `{field}`.",
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
        'The body. In it, an object `{"expression": …}` stands for the result of a JMESPath expression over the '
        f'context: {_CONTEXT}. With `"optional": true` it is omitted if the result is null; with `"when": …`, unless '
        "that expression is true. A cleared field is null in `changed`, and its path there, such as `changed.phone`, "
        'is sent as null with `optional` too; an expression that makes something else of it needs `"when": '
        '"contains(keys(changed), \'phone\')"`. An object `{"template": …}` stands for a text with placeholders, in '
        "the styles of a query. Everything else is sent unchanged. Without this setting, a creation and an update send "
        "`sent`, and other requests have no body.",
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
            _NAME,
            "This must consist of lower-case letters and underscores, and must not be `id`, `key`, `field` or `value`.",
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
        return mentions(name, self.request_expressions())

    def request_expressions(self) -> Iterator[JmesPathExpression]:
        """Yield the expressions that make the request."""
        yield from self.values.values()
        if self.body is not None:
            yield from self.body.expressions()


def mentions(name: str, expressions: Iterator[JmesPathExpression]) -> bool:
    word = re.compile(rf"\b{name}\b")
    return any(word.search(expression.text) for expression in expressions)


def has_bare_quoted_id(operation: Operation) -> bool:
    """Return True if an id is in quotes without a style, so that an id with a quote would end them."""
    names = find_placeholders(operation.path)
    return find_fault(operation.path, names) is not None
