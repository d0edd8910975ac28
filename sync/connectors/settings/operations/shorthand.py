"""Short settings for a REST API of the usual form, and the operations that they stand for. Pure."""

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from jmespath.exceptions import JMESPathError

from config_schema.errors import SettingPath, SettingsInvalid
from config_schema.kinds import Choice, JsonSchema, Text, TextList, ValueKind
from config_schema.objects import Object
from config_schema.settings import SettingValues, defaulted, optional, required
from config_schema.translatable import translatable
from sync.connectors.http.placeholders import find_fault, find_placeholders
from sync.connectors.http.query_parameters import Query, QueryValue, change_values, list_values
from sync.connectors.settings.body_template import BodyTemplate, make_template
from sync.connectors.settings.operations.field_values import (
    FIELD_VALUES,
    FIELD_VALUES_RULE,
    read_field_values,
)
from sync.connectors.settings.operations.operation import Operation
from sync.connectors.settings.page_style import (
    OPTIONAL_PAGING,
    OPTIONAL_STYLE,
    PAGING_RULES,
    Paging,
    read_paging,
)
from sync.connectors.settings.record_version import VERSION, VersionSettings
from sync.connectors.settings.setting_kinds import (
    Expression,
    PathTemplate,
    QueryParameters,
    compile_setting,
    parameters_schema,
)
from sync.connectors.settings.shared_settings import ReadRequest
from sync.connectors.values.exact_numbers import dump_json
from sync.connectors.values.json_responses import JmesPathExpression

_SEARCH_PLACEHOLDERS = frozenset({"field", "value", "quoted"})


@dataclass(frozen=True, slots=True)
class SearchSettings:
    """A search by GET.

    Names and values of `query` may contain `{field}`, `{value}` and `{quoted}`. `field_values` has the same meaning as
    in `Operation`.
    """

    path: str
    query: Query
    results_expression: JmesPathExpression
    fields: frozenset[str]
    field_values: Mapping[str, JmesPathExpression]


@dataclass(frozen=True, slots=True)
class RecordListSettings:
    """A request for some records. `results_expression` selects the list of records in a response, `paging` says how
    further pages are found.
    """

    request: ReadRequest
    results_expression: JmesPathExpression
    paging: Paging


@dataclass(frozen=True)
class SearchQuery(ValueKind[dict[str, QueryValue]]):
    """The query parameters of a search, with placeholders in their names and values."""

    label: str = translatable("object of texts, or lists of texts")
    limits: str = translatable("at least one value contains `{value}` or `{quoted}`")

    def read(self, value: Any, place: SettingPath) -> dict[str, QueryValue]:
        query = QueryParameters(None).read(value, place)
        for text in (*query, *list_values(query)):
            if not find_placeholders(text) <= _SEARCH_PLACEHOLDERS:
                sentence = translatable(
                    "Only the placeholders {field}, {value} and {quoted} are allowed here."
                )
                raise SettingsInvalid(place, sentence)
            if '"{value}"' in text:
                sentence = translatable("Use {quoted} for a value in double quotes, so that it is escaped.")
                raise SettingsInvalid(place, sentence)
            if fault := find_fault(_expand_quoted(text), _SEARCH_PLACEHOLDERS):
                raise SettingsInvalid(place, fault)
        if not any(find_placeholders(text) & {"value", "quoted"} for text in list_values(query)):
            raise SettingsInvalid(place, "One of these must contain {value} or {quoted}.")
        return query

    def to_schema(self) -> JsonSchema:
        names = "|".join(sorted(_SEARCH_PLACEHOLDERS))
        others = rf'\{{(?!(?:{names})(?::[a-z0-9]+)?\}})[a-z_]+(?::[a-z0-9]+)?\}}|"\{{value\}}"'
        text = {"not": {"pattern": others}}
        has_value = {"pattern": r"\{(?:value|quoted)(?::[a-z0-9]+)?\}"}
        return parameters_schema({"type": "string", **text}, has_value, propertyNames=text)


def _expand_quoted(text: str) -> str:
    """Return a template of a search with `{quoted}` as an operation has it."""
    return text.replace("{quoted}", "{value:quoted}")


_SEARCH_PATH = required("path", PathTemplate(), "The path of the search.", example="/api/customers")
_SEARCH_QUERY = required(
    "query",
    SearchQuery(),
    "The query parameters of the search. In names and values, `{field}` stands for the name of the field, "
    "`{value}` for the value, and `{quoted}` for the value in double quotes, escaped for a filter language. In other "
    "quotes the value needs a style, as in the query of an operation.",
    example={"filter": "{field} eq {quoted}"},
)
_SEARCH_RESULTS = defaulted(
    "results", Expression(), "@", "Where the list of records is in a response.", example="items"
)
_SEARCH_FIELDS = defaulted(
    "fields",
    TextList(),
    [],
    "The fields by which records can be searched. Other fields are never used for a search.",
    example=["external_id", "email"],
)
_SEARCH = optional(
    "search",
    Object(
        (_SEARCH_PATH, _SEARCH_QUERY, _SEARCH_RESULTS, _SEARCH_FIELDS, FIELD_VALUES),
        lambda values: SearchSettings(
            path=values[_SEARCH_PATH],
            query=values[_SEARCH_QUERY],
            results_expression=values[_SEARCH_RESULTS],
            fields=frozenset(values[_SEARCH_FIELDS]),
            field_values=read_field_values(values, values[_SEARCH_FIELDS]),
        ),
        (FIELD_VALUES_RULE,),
    ),
    "How a record is found by the value of a field. Without it, records are found only by their link.",
    example={
        "path": "/api/customers",
        "query": {"{field}": "{value}"},
        "results": "items",
        "fields": ["external_id", "email"],
    },
)

_LIST_PATH = required("path", PathTemplate(), "The path of the list.", example="/api/customers")
_LIST_QUERY = defaulted(
    "query", QueryParameters(), {}, "Query parameters of the list.", example={"limit": "5"}
)
_LIST_RESULTS = defaulted(
    "results", Expression(), "@", "Where the list of records is in a response.", example="items"
)
_LIST = optional(
    "list",
    Object(
        (_LIST_PATH, _LIST_QUERY, _LIST_RESULTS, *OPTIONAL_PAGING),
        lambda values: RecordListSettings(
            ReadRequest(path=values[_LIST_PATH], query=values[_LIST_QUERY]),
            values[_LIST_RESULTS],
            read_paging(values, OPTIONAL_STYLE),
        ),
        # There is no `method` here: it is always GET.
        PAGING_RULES[:1],
    ),
    "A request that lists some records. After a 404 for a linked record, the hub reads other records to "
    "prove that this one was deleted: linked ones, then those of the list.",
    example={"path": "/api/customers", "results": "items"},
)

_CREATE_METHOD = defaulted(
    "method", Choice(("POST", "PUT")), "POST", "The method that creates a record.", example="POST"
)
_UPDATE_METHOD = defaulted(
    "method",
    Choice(("PATCH", "PUT", "POST")),
    "PATCH",
    "The method that updates a record. `PATCH` and `POST` send the changed fields, `PUT` sends the whole record.",
    example="PATCH",
)
_UPDATE_OMIT = defaulted(
    "omit",
    TextList(),
    [],
    "Fields of the record that a `PUT` must not send, such as those that the target sets itself.",
    example=["id", "created_at"],
)
_DELETE_METHOD = defaulted(
    "method", Choice(("DELETE", "POST")), "DELETE", "The method that deletes a record.", example="DELETE"
)
_CREATE = defaulted(
    "create",
    Object((_CREATE_METHOD,), lambda values: values[_CREATE_METHOD]),
    {},
    "How a record is created.",
    example={"method": "POST"},
)
_UPDATE = defaulted(
    "update",
    Object((_UPDATE_METHOD, _UPDATE_OMIT), lambda values: (values[_UPDATE_METHOD], values[_UPDATE_OMIT])),
    {},
    "How a record is updated.",
    example={"method": "PUT", "omit": ["id"]},
)
_DELETE = defaulted(
    "delete",
    Object((_DELETE_METHOD,), lambda values: values[_DELETE_METHOD]),
    {},
    "How a record is deleted.",
    example={"method": "DELETE"},
)

COLLECTION = optional(
    "collection",
    PathTemplate(),
    "The path of the request that creates a record. Required, unless the operations `get`, `create` and `update` are "
    "given.",
    example="/api/customers",
    is_nullable=False,
)
ITEM = optional(
    "item",
    PathTemplate(frozenset({"id"})),
    "The path of the requests that read, update and delete one record. `{id}` stands for its id. Required with "
    "`collection`.",
    example="/api/customers/{id}",
    is_nullable=False,
)
_RECORD = defaulted(
    "record", Expression(), "@", "Where the record is in a response with one record.", example="customer"
)
_WRAP = optional(
    "wrap",
    Text(),
    'The name under which a record is sent: with `customer`, the body is `{"customer": …}`. Without it, the record is '
    "the body.",
    example="customer",
)

SHORTHAND = (COLLECTION, ITEM, _RECORD, _WRAP, _SEARCH, _LIST, _CREATE, _UPDATE, _DELETE)


def expand_shorthand(values: SettingValues) -> dict[str, Any]:
    """Return the operations that the short settings of an entity type stand for, by name; `update` is a tuple."""
    expanded: dict[str, Any] = {}
    collection, item = values[COLLECTION], values[ITEM]
    if collection is not None and item is not None:
        expanded |= _expand_item(values, collection, item)
    search, listing = values[_SEARCH], values[_LIST]
    if search is not None:
        query = change_values(search.query, _expand_quoted, _expand_quoted)
        expanded["search"] = Operation(
            "GET",
            search.path,
            query=query,
            result=search.results_expression,
            fields=search.fields,
            field_values=search.field_values,
        )
    if listing is not None:
        request = listing.request
        expanded["list"] = Operation(
            "GET",
            request.path,
            query=request.query,
            result=listing.results_expression,
            paging=listing.paging,
        )
    return expanded


def _expand_item(values: SettingValues, collection: str, item: str) -> dict[str, Any]:
    record, wrap, version = values[_RECORD], values[_WRAP], values[VERSION]
    update_method, omitted = values[_UPDATE]
    # Without a body, a write sends its fields as they are.
    body = None if wrap is None else make_template("sent", wrap)
    update = Operation(
        update_method,
        item,
        body=body,
        result=record,
        style="replace" if update_method == "PUT" else "changed",
        omitted_fields=frozenset(omitted),
    )
    return {
        "get": Operation("GET", item, result=record, raw=_inner_record(wrap)),
        "create": Operation(values[_CREATE], collection, body=body, result=record),
        "update": (update,),
        "delete": Operation(values[_DELETE], item, body=_deletion_body(values[_DELETE], version, body)),
    }


def _inner_record(wrap: str | None) -> JmesPathExpression | None:
    """Return the expression that finds the record in the object that wraps it, or that has no such member."""
    if wrap is None:
        return None
    with suppress(JMESPathError):
        return compile_setting(f"{dump_json(wrap)} || @")
    # No name that a target could answer with.
    return None


def _deletion_body(
    method: str, version: VersionSettings | None, body: BodyTemplate | None
) -> BodyTemplate | None:
    """Return the body of a deletion: only a POST that names the version in a field has one."""
    names_version = method != "DELETE" and version is not None and version.send_path is not None
    return body if names_version else None
