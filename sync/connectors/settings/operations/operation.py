"""Settings of the operations on the records of one entity type: one request each, and what its answer says. Pure."""

import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from config_schema.errors import SettingPath, SettingsInvalid
from config_schema.kinds import Choice, JsonSchema, Text, TextList, TextMap, ValueKind
from config_schema.objects import MapOf, Object, ObjectRule, OneOrMore
from config_schema.rules import Rule
from config_schema.settings import Setting, SettingValues, defaulted, optional, required
from config_schema.translatable import translatable
from sync.connectors.http.placeholders import (
    STYLES,
    find_fault,
    find_placeholders,
    replace_placeholders,
)
from sync.connectors.http.query_parameters import Query, list_values
from sync.connectors.http.urls import is_plain_path
from sync.connectors.settings.answer_rules import NO_CONTENT, answer_rules, read_rules
from sync.connectors.settings.body_template import Body, BodyTemplate
from sync.connectors.settings.operations.field_values import (
    FIELD_VALUES,
    FIELD_VALUES_RULE,
    read_field_values,
)
from sync.connectors.settings.page_style import (
    ADDRESS_STYLES,
    OPTIONAL_PAGING,
    OPTIONAL_STYLE,
    PAGING_RULES,
    Paging,
    read_paging,
)
from sync.connectors.settings.setting_kinds import (
    MAX_PARAMETERS,
    Expression,
    QueryParameters,
    compile_setting,
    header_name_pattern,
    is_header_value,
    is_settable_header,
)
from sync.connectors.values.answer_meaning import STATED_MEANINGS, AnswerRule, Meaning
from sync.connectors.values.json_responses import JmesPathExpression

OPERATION_NAMES = ("get", "search", "create", "update", "delete", "list")
READS = ("get", "search", "list")
_REQUIRED = ("get", "create", "update")
MAX_UPDATES = 3
MAX_VALUES = 20
STYLES_OF_UPDATE = ("changed", "replace", "merge-patch", "json-patch", "scim-patch", "body")
# Styles that send an object of fields, so that the version can be one of them.
OBJECT_STYLES = frozenset({"changed", "replace", "merge-patch"})

# The placeholders of each operation, besides those of its `values`.
_PLACEHOLDERS: Mapping[str, frozenset[str]] = {
    "get": frozenset({"id"}),
    "search": frozenset({"field", "value"}),
    "create": frozenset({"key"}),
    "update": frozenset({"id", "key"}),
    "delete": frozenset({"id", "key"}),
    "list": frozenset(),
}
_SEARCHED = frozenset({"field", "value"})
_DEFAULT_METHODS = {"create": "POST", "update": "PATCH", "delete": "DELETE"}
_NAME = re.compile(r"[a-z][a-z_]{0,29}")


@dataclass(frozen=True)
class Operation:
    """One request, and how its response is read.

    Texts of `path`, `query` and `headers` may contain placeholders, among them the names in `values`. `result` selects
    the record, or the list of records, from the response. `raw` selects the record as the system returned it, if
    `result` makes a new object. `created_id` selects the id of a new record from the whole response; `result` is then
    ignored.

    An update is sent only if `when` is true; `style` says what it sends. A search may be for the fields in `fields`.
    `field_values` has an expression for each field that may have several values: it finds all of them in a record.
    `paging` says how the pages of a list are found.
    """

    method: str
    path: str
    query: Query = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)
    encoding: str = "json"
    body: BodyTemplate | None = None
    result: JmesPathExpression = field(default_factory=lambda: compile_setting("@"))
    values: Mapping[str, JmesPathExpression] = field(default_factory=dict)
    answers: tuple[AnswerRule, ...] = ()
    when: JmesPathExpression | None = None
    style: str = "changed"
    omitted_fields: frozenset[str] = frozenset()
    fields: frozenset[str] = frozenset()
    field_values: Mapping[str, JmesPathExpression] = field(default_factory=dict)
    raw: JmesPathExpression | None = None
    paging: Paging | None = None
    created_id: JmesPathExpression | None = None

    @property
    def label(self) -> str:
        """Return method and path template, which contain nothing secret or personal."""
        return f"{self.method} {self.path}"

    @cached_property
    def needs_raw(self) -> bool:
        """True if the record has to be read before the request can be made."""
        return self.style == "replace" or self.uses("raw")

    def uses(self, name: str) -> bool:
        """Return True if an expression of the request mentions a name of the context."""
        word = re.compile(rf"\b{name}\b")
        return any(word.search(expression.text) for expression in self._request_expressions())

    @property
    def templates(self) -> tuple[str, ...]:
        """Return the texts that may hold placeholders."""
        texts = self.body.texts() if self.body is not None else ()
        return (self.path, *self.query, *list_values(self.query), *self.headers.values(), *texts)

    def _request_expressions(self) -> Iterator[JmesPathExpression]:
        yield from self.values.values()
        if self.when is not None:
            yield self.when
        if self.body is not None:
            yield from self.body.expressions()


@dataclass(frozen=True, slots=True)
class Operations:
    """The operations on the records of one entity type.

    An operation that the target does not offer is None. `updates` are sent one after the other.
    """

    get: Operation
    search: Operation | None
    create: Operation
    updates: tuple[Operation, ...]
    delete: Operation | None
    list: Operation | None

    def items(self) -> Iterator[tuple[str, Operation]]:
        """Yield the name of each operation and the operation."""
        for name in ("get", "search", "create", "delete", "list"):
            operation = getattr(self, name)
            if operation is not None:
                yield name, operation
        for operation in self.updates:
            yield "update", operation


@dataclass(frozen=True)
class OperationPath(ValueKind[str]):
    """A path below the base URL whose segments may hold placeholders."""

    label: str = translatable("path")
    limits: str = translatable("starts with a slash; plain segments and placeholders only")

    def read(self, value: Any, place: SettingPath) -> str:
        path = Text().read(value, place)
        if not path.startswith("/") or not is_plain_path(replace_placeholders(path, "x")):
            sentence = translatable(
                "This must be a path that starts with a slash and has only plain segments."
            )
            raise SettingsInvalid(place, sentence)
        return path

    def to_schema(self) -> JsonSchema:
        return {"type": "string", "pattern": r"^/[^?#\\%\s]*$"}


@dataclass(frozen=True)
class HeaderTemplates(ValueKind[dict[str, str]]):
    """Headers whose values are texts with placeholders."""

    label: str = translatable("object of texts")
    limits: str = translatable("header names that the hub does not set itself; values in printable ASCII")

    def read(self, value: Any, place: SettingPath) -> dict[str, str]:
        texts = TextMap().read(value, place)
        if len(texts) > MAX_PARAMETERS:
            raise SettingsInvalid(
                place, translatable("This may have at most %(most)s entries.", most=MAX_PARAMETERS)
            )
        for name, content in texts.items():
            if not is_settable_header(name) or not is_header_value(replace_placeholders(content, "x")):
                raise SettingsInvalid(
                    place, translatable("The header “%(name)s” cannot be sent.", name=name[:100])
                )
        return texts

    def to_schema(self) -> JsonSchema:
        names = {"pattern": header_name_pattern()}
        values = {"type": "string"}
        return {
            "type": "object",
            "maxProperties": MAX_PARAMETERS,
            "propertyNames": names,
            "additionalProperties": values,
        }


_STYLE_WORDS = ", ".join(f"`{{value:{style}}}`" for style in STYLES)
_CONTEXT = translatable(
    "`id`, `key` (the id of the entity in the identity service), `fields` (all mapped fields), `changed` "
    "(those that differ), `sent` (the change in the form of `style`), `current` (the record as the hub "
    "compares it), `raw` (the record as the target returns it, read again), `entity` and `version`; in a "
    "search `field` and `value`"
)
_PATH = required(
    "path",
    OperationPath(),
    "The path of the request. A placeholder stands for a value, which is always escaped into one segment.",
    example="/api/customers/{id}",
)
_QUERY = defaulted(
    "query",
    QueryParameters(None),
    {},
    translatable(
        "The query parameters. A list of texts repeats the parameter. Values may contain placeholders such "
        "as `{value}`, or, to escape or encode the value, with a style: %(style_words)s. Put `odata` and "
        "`soql` in single quotes and `json` in double quotes; `quoted` adds its own double quotes. `base64` "
        "is the standard form with padding, `base64url` the form for URLs without padding. In a search, a "
        "name may contain `{field}`.",
        style_words=_STYLE_WORDS,
    ),
    example={"filter": "{field} eq {value:quoted}"},
)
_HEADERS = defaulted(
    "headers",
    HeaderTemplates(),
    {},
    "Headers of this request. Values may contain placeholders; a secret is refused here.",
    example={"Prefer": "return=representation"},
)
_ENCODING = defaulted(
    "encoding",
    Choice(("json", "form", "none")),
    "json",
    "How the body is sent. `form`: as form fields, with nested objects and lists as `a[b]`; null and an "
    "empty list become an empty field. `none`: no body.",
    example="form",
)
_BODY = optional(
    "body",
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
_RESULT = defaulted(
    "result",
    Expression(),
    "@",
    "Where the record is in a response, or the list of records for a search or a list. After an update or a "
    "deletion it may find nothing.",
    example="data.customer",
)
_VALUES = defaulted(
    "values",
    MapOf(
        Expression(),
        "NAME",
        0,
        MAX_VALUES,
        _NAME,
        translatable("This must consist of lower-case letters and underscores."),
    ),
    {},
    "Additional placeholders: their names, and expressions over the context that return their values.",
    example={"address": "raw.default_address.id"},
)
_ANSWERS = answer_rules(
    STATED_MEANINGS,
    translatable(
        "What responses to this request mean: the first rule that matches decides. These rules come "
        "before those of the connection."
    ),
    example=[{"status": 400, "when": "body.errors[0].code == 'RECORD_NOT_UNIQUE'", "means": "exists"}],
)
_WHEN = optional(
    "when",
    Expression(),
    "An expression over the context of the body. The request is skipped unless it is true.",
    example="contains(keys(changed), 'address')",
)
_STYLE = defaulted(
    "style",
    Choice(STYLES_OF_UPDATE),
    "changed",
    "What an update sends. `changed`: the changed fields. `replace`: the whole record as the target returns "
    "it, with the changed fields replaced. `merge-patch`: the changed fields as in RFC 7396. `json-patch`: "
    "operations as in RFC 6902. `scim-patch`: a PatchOp as in RFC 7644. `body`: only the configured `body`.",
    example="replace",
)
_OMIT = defaulted(
    "omit",
    TextList(),
    [],
    "With the style `replace`: fields of the record that are not sent, such as those that the target sets itself.",
    example=["id", "created_at"],
)
_SEARCH_FIELDS = defaulted(
    "fields",
    TextList(),
    [],
    "The fields by which records can be searched. Other fields are never used for a search.",
    example=["external_id", "email"],
)
_RAW = optional(
    "raw",
    Expression(),
    "Where the whole record is in a response, if `result` builds a new object from it. Without it: the "
    "response itself.",
    example="data.customer",
)

_CREATED_ID = optional(
    "created_id",
    Expression(),
    "Where the id of the new record is in a response, for a system that answers without the record: an "
    "expression over an object with `status`, `headers` (names in lower case) and `body`. `result` is then "
    "ignored.",
    example="split(headers.location, '/')[-1]",
)


def _method(name: str) -> Setting[str]:
    choices = ("GET", "POST") if name in READS else ("POST", "PUT", "PATCH", "DELETE")
    default = _DEFAULT_METHODS.get(name, "GET")
    return defaulted("method", Choice(choices), default, "The method of the request.", example=choices[0])


_EXTRA: Mapping[str, tuple[Setting[Any], ...]] = {
    "get": (_RAW,),
    "search": (_SEARCH_FIELDS, FIELD_VALUES),
    "create": (_CREATED_ID,),
    "update": (_WHEN, _STYLE, _OMIT),
    "list": OPTIONAL_PAGING,
}

_ABSENT_RULE = ObjectRule(
    "In a search, `absent` means that no record has the value. Such a rule needs `when`, unless its status is 204: a "
    "wrong path may have the same status.",
    {
        "properties": {
            "answers": {
                "items": {
                    "anyOf": [
                        {"required": ["when"]},
                        {"properties": {"status": {"const": NO_CONTENT}}, "required": ["status"]},
                        {"properties": {"means": {"not": {"const": Meaning.ABSENT.value}}}},
                    ]
                }
            }
        }
    },
)
_EXTRA_RULES: Mapping[str, tuple[Rule, ...]] = {
    "search": (FIELD_VALUES_RULE, _ABSENT_RULE),
    "list": PAGING_RULES,
}


def _operation_kind(name: str) -> Object[Operation]:
    method, extra = _method(name), _EXTRA.get(name, ())

    def build(values: SettingValues) -> Operation:
        operation = Operation(
            method=values[method],
            path=values[_PATH],
            query=values[_QUERY],
            headers=values[_HEADERS],
            encoding=values[_ENCODING],
            body=values[_BODY],
            result=values[_RESULT],
            values=values[_VALUES],
            answers=read_rules(values, _ANSWERS),
            when=values[_WHEN] if _WHEN in extra else None,
            style=values[_STYLE] if _STYLE in extra else "changed",
            omitted_fields=frozenset(values[_OMIT]) if _OMIT in extra else frozenset(),
            fields=frozenset(values[_SEARCH_FIELDS]) if _SEARCH_FIELDS in extra else frozenset(),
            field_values=read_field_values(values, values[_SEARCH_FIELDS]) if FIELD_VALUES in extra else {},
            raw=values[_RAW] if _RAW in extra else None,
            paging=read_paging(values, OPTIONAL_STYLE) if OPTIONAL_STYLE in extra else None,
            created_id=values[_CREATED_ID] if _CREATED_ID in extra else None,
        )
        _refuse_contradictions(name, operation, values)
        _refuse_unsafe_templates(name, operation, values)
        return operation

    settings = (method, _PATH, _QUERY, _HEADERS, _ENCODING, _BODY, _RESULT, _VALUES, *extra, _ANSWERS)
    rules = (ObjectRule("A GET request and a request with the encoding `none` have no `body`."),)
    return Object(settings, build, (*rules, *_EXTRA_RULES.get(name, ())))


def _refuse_bare_absences(search: Operation, values: SettingValues) -> None:
    """Refuse a rule by which every response with some status means that a search found nothing: with a wrong path the
    hub would then create every record again.
    """
    for rule in search.answers:
        if rule.means is Meaning.ABSENT and rule.condition is None and rule.statuses != {NO_CONTENT}:
            values.reject(
                _ANSWERS,
                "In a search, a rule that means “absent” needs “when”: a wrong path may have the same status.",
            )


def _refuse_contradictions(name: str, operation: Operation, values: SettingValues) -> None:
    if operation.paging and operation.paging.style in ADDRESS_STYLES and operation.method != "GET":
        values.reject(
            OPTIONAL_STYLE,
            translatable("With “paging”: “%(style)s”, the method is GET.", style=operation.paging.style),
        )
    if name == "search":
        _refuse_bare_absences(operation, values)
    if operation.body is not None and (operation.method == "GET" or operation.encoding == "none"):
        values.reject(_BODY, "A GET request has no body, nor has one with the encoding “none”.")
    if operation.style == "body" and operation.body is None and operation.encoding != "none":
        values.reject(_BODY, "The style “body” needs a body.")
    if operation.encoding == "form" and operation.style in ("json-patch", "scim-patch", "merge-patch"):
        values.reject(_ENCODING, "A patch is sent as JSON.")
    if operation.encoding == "form" and operation.body is not None and isinstance(operation.body.root, list):
        values.reject(_BODY, "The body of a form must be an object.")


def _refuse_unsafe_templates(name: str, operation: Operation, values: SettingValues) -> None:
    own = frozenset(operation.values)
    if taken := own & (_PLACEHOLDERS[name] | _SEARCHED | {"id", "key"}):
        values.reject(_VALUES, translatable("The name “%(name)s” is already in use.", name=min(taken)))
    names = _PLACEHOLDERS[name] | own
    # Ids without a quote, which is the rule, end none: `TargetSettings` looks again if they may.
    _require_good(operation.path, names, values, _PATH, names - _SEARCHED)
    for text in operation.headers.values():
        _require_good(text, names, values, _HEADERS)
    for text in operation.body.texts() if operation.body is not None else ():
        _require_good(text, names, values, _BODY)
    for parameter in operation.query:
        _require_good(parameter, names & {"field"}, values, _QUERY)
    for text in list_values(operation.query):
        _require_good(text, names, values, _QUERY)
    if name == "search" and not _mentions_value(operation):
        values.reject(
            None,
            "A search must send the value: {value} in its path or query, or in its body "
            '{"expression": "value"}, or a {"template": …} with {value}.',
        )


def _require_good(
    text: str,
    names: Collection[str],
    values: SettingValues,
    setting: Setting[Any],
    unquoted: Collection[str] = (),
) -> None:
    if fault := find_fault(text, names, unquoted):
        values.reject(setting, fault)


def _mentions_value(operation: Operation) -> bool:
    is_placed = any("value" in find_placeholders(text) for text in operation.templates)
    return is_placed or operation.uses("value")


def has_bare_quoted_id(operation: Operation) -> bool:
    """Return True if an id is in quotes without a style, so that an id with a quote would end them."""
    names = find_placeholders(operation.path)
    return find_fault(operation.path, names) is not None


_KINDS = {name: _operation_kind(name) for name in OPERATION_NAMES}
_MEANINGS = {
    "get": translatable("The request that reads one record."),
    "search": translatable("The request that finds records by the value of a field."),
    "create": translatable("The request that creates a record. Its response must have the id of the record."),
    "update": translatable(
        "The request that updates a record, or a list of at most %(most)s that are sent in order.",
        most=MAX_UPDATES,
    ),
    "delete": translatable("The request that deletes or anonymizes a record."),
    "list": translatable(
        "The request that lists records, or one page of them. Expressions in the body and in `values` may "
        "use `start`, `page`, `count` and `cursor` (null for the first page); paging values used there are "
        "not sent in the query."
    ),
}
_EXAMPLES: Mapping[str, Any] = {
    "get": {"path": "/api/customers/{id}"},
    "search": {
        "method": "POST",
        "path": "/api/customers/search",
        "body": {"filters": [{"field": {"expression": "field"}, "value": {"expression": "value"}}]},
        "result": "results",
        "fields": ["email"],
    },
    "create": {"path": "/api/customers"},
    "update": {"method": "PUT", "path": "/api/customers/{id}", "style": "replace", "omit": ["id"]},
    "delete": {"method": "POST", "path": "/api/customers/{id}/anonymize", "encoding": "none"},
    "list": {"path": "/api/customers", "query": {"limit": "5"}, "result": "items"},
}


def _operation_setting(name: str) -> Setting[Any]:
    kind: ValueKind[Any] = OneOrMore(_KINDS[name], MAX_UPDATES) if name == "update" else _KINDS[name]
    if name in _REQUIRED:
        return required(name, kind, _MEANINGS[name], example=_EXAMPLES[name])
    return optional(name, kind, _MEANINGS[name], example=_EXAMPLES[name])


_SETTINGS = {name: _operation_setting(name) for name in OPERATION_NAMES}


def _build_operations(values: SettingValues) -> Operations:
    given = {name: values[setting] for name, setting in _SETTINGS.items()}
    return Operations(updates=tuple(given.pop("update")), **given)


OPERATIONS = required(
    "operations",
    Object(tuple(_SETTINGS.values()), _build_operations),
    "The requests for records, one for each operation. The hub does not search, delete or list records without the "
    "operation for it.",
    example={name: _EXAMPLES[name] for name in _REQUIRED},
)
