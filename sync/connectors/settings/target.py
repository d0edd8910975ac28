"""Settings of a target with a REST API. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from config_schema.errors import Place, SettingsInvalid
from config_schema.kinds import Choice, JsonSchema, Kind, Text, TextList, TextMap
from config_schema.objects import MapOf, Object
from config_schema.settings import Values, defaulted, optional, required
from sync.connectors.http.urls import find_placeholders
from sync.connectors.settings.record_version import VERSION, VersionSettings
from sync.connectors.settings.setting_kinds import (
    ENTITY_TYPE,
    ENTITY_TYPE_SENTENCE,
    Expression,
    HeaderName,
    PathTemplate,
)
from sync.connectors.settings.shared_settings import (
    ERROR_FIELDS,
    ERROR_SENTENCE,
    ERROR_WHEN,
    OPTIONS,
    PROBE,
    ConnectionOptions,
    ReadRequest,
    read_options,
)
from sync.connectors.values.json_responses import ErrorExtractor, JmesPathExpression

_SEARCH_PLACEHOLDERS = frozenset({"field", "value", "quoted"})


@dataclass(frozen=True, slots=True)
class SearchSettings:
    """Settings of a search for records.

    Names and values of `query` may hold `{field}`, `{value}` and `{quoted}`, which is the value quoted for a
    filter language. `results_expression` selects the list of records in a response.
    """

    path: str
    query: Mapping[str, str]
    results_expression: JmesPathExpression
    fields: frozenset[str]


@dataclass(frozen=True, slots=True)
class RecordListSettings:
    """Settings of a request for some records. `results_expression` selects the list of records in a response."""

    request: ReadRequest
    results_expression: JmesPathExpression


@dataclass(frozen=True, slots=True)
class CollectionSettings:
    """Settings of the records of one entity type. `omitted_fields`: fields that a replacing update must not
    send. `probe`: a request that succeeds as long as the credentials are good. `version`: how updates and deletions
    are made conditional; None if they are not.
    """

    collection_path: str
    item_path: str
    id_expression: JmesPathExpression
    record_expression: JmesPathExpression
    wrapper_field: str | None
    search: SearchSettings | None
    list_settings: RecordListSettings | None
    probe: ReadRequest | None
    create_method: str
    update_method: str
    delete_method: str
    omitted_fields: frozenset[str]
    version: VersionSettings | None


@dataclass(frozen=True, slots=True)
class TargetSettings:
    """Settings of a target. `entities` is keyed by upper-case entity type; `caseless_fields` are compared
    case-folded.
    """

    entities: Mapping[str, CollectionSettings]
    caseless_fields: frozenset[str]
    options: ConnectionOptions
    error_extractor: ErrorExtractor
    idempotency_header: str | None


@dataclass(frozen=True)
class SearchQuery(Kind[dict[str, str]]):
    """The query parameters of a search, with placeholders in their names and values."""

    label: str = "object of texts"
    limits: str = "at least one value contains `{value}` or `{quoted}`"

    def read(self, value: Any, place: Place) -> dict[str, str]:
        query = TextMap().read(value, place)
        for text in (*query, *query.values()):
            if not find_placeholders(text) <= _SEARCH_PLACEHOLDERS:
                sentence = "Only the placeholders {field}, {value} and {quoted} are allowed here."
                raise SettingsInvalid(place, sentence)
            if '"{value}"' in text:
                sentence = "Use {quoted} for a value in double quotes, so that it is escaped."
                raise SettingsInvalid(place, sentence)
        if not any(find_placeholders(text) & {"value", "quoted"} for text in query.values()):
            raise SettingsInvalid(place, "One of these must contain {value} or {quoted}.")
        return query

    def to_schema(self) -> JsonSchema:
        others = rf'\{{(?!(?:{"|".join(sorted(_SEARCH_PLACEHOLDERS))})\}})[a-z_]+\}}|"\{{value\}}"'
        text = {"not": {"pattern": others}}
        has_value = {"pattern": r"\{(?:value|quoted)\}"}
        return {
            "type": "object",
            "propertyNames": text,
            "additionalProperties": {"type": "string", **text},
            # True if one of the values has it.
            "not": {"additionalProperties": {"not": has_value}},
        }


_SEARCH_PATH = required("path", PathTemplate(), "The path of the search.", example="/api/customers")
_SEARCH_QUERY = required(
    "query",
    SearchQuery(),
    "The query parameters of the search. In names and values, `{field}` stands for the name of the field, "
    "`{value}` for the value, and `{quoted}` for the value in double quotes, escaped for a filter language.",
    example={"filter": "{field} eq {quoted}"},
)
_SEARCH_RESULTS = defaulted(
    "results", Expression(), "@", "Where the list of records is in a response.", example="items"
)
_SEARCH_FIELDS = defaulted(
    "fields",
    TextList(),
    [],
    "The fields that records can be searched by. A field that is not in the list is never searched by.",
    example=["external_id", "email"],
)
_SEARCH = optional(
    "search",
    Object(
        (_SEARCH_PATH, _SEARCH_QUERY, _SEARCH_RESULTS, _SEARCH_FIELDS),
        lambda values: SearchSettings(
            path=values[_SEARCH_PATH],
            query=values[_SEARCH_QUERY],
            results_expression=values[_SEARCH_RESULTS],
            fields=frozenset(values[_SEARCH_FIELDS]),
        ),
    ),
    "How a record is found by the value of a field. Without it, records are found by their link alone.",
    example={
        "path": "/api/customers",
        "query": {"{field}": "{value}"},
        "results": "items",
        "fields": ["external_id", "email"],
    },
)

_LIST_PATH = required("path", PathTemplate(), "The path of the list.", example="/api/customers")
_LIST_QUERY = defaulted("query", TextMap(), {}, "Query parameters of the list.", example={"limit": "5"})
_LIST_RESULTS = defaulted(
    "results", Expression(), "@", "Where the list of records is in a response.", example="items"
)
_LIST = optional(
    "list",
    Object(
        (_LIST_PATH, _LIST_QUERY, _LIST_RESULTS),
        lambda values: RecordListSettings(
            ReadRequest(values[_LIST_PATH], values[_LIST_QUERY]), values[_LIST_RESULTS]
        ),
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

_COLLECTION = required(
    "collection", PathTemplate(), "The path of the request that creates a record.", example="/api/customers"
)
_ITEM = required(
    "item",
    PathTemplate(frozenset({"id"})),
    "The path of the requests that read, update and delete one record. `{id}` stands for its id.",
    example="/api/customers/{id}",
)
_ID = defaulted("id", Expression(), "id", "Where the id is in a record.", example="id")
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


def _build_collection(values: Values) -> CollectionSettings:
    update_method, omitted = values[_UPDATE]
    return CollectionSettings(
        collection_path=values[_COLLECTION],
        item_path=values[_ITEM],
        id_expression=values[_ID],
        record_expression=values[_RECORD],
        wrapper_field=values[_WRAP],
        search=values[_SEARCH],
        list_settings=values[_LIST],
        probe=values[PROBE],
        create_method=values[_CREATE],
        update_method=update_method,
        delete_method=values[_DELETE],
        omitted_fields=frozenset(omitted),
        version=values[VERSION],
    )


COLLECTION = Object(
    (
        *(_COLLECTION, _ITEM, _ID, _RECORD, _WRAP),
        *(_SEARCH, _LIST, PROBE, _CREATE, _UPDATE, _DELETE, VERSION),
    ),
    _build_collection,
)

_ENTITIES = required(
    "entities",
    MapOf(COLLECTION, "TYPE", 1, None, ENTITY_TYPE, ENTITY_TYPE_SENTENCE, str.upper),
    "How records are read and written, by entity type as in the webhooks. Upper and lower case are the same.",
    example={"USER": {"collection": "/api/customers", "item": "/api/customers/{id}"}},
)
_CASELESS = defaulted(
    "caseless",
    TextList(),
    [],
    "Fields of records whose values are equal whatever their case, in every entity type.",
    example=["email"],
)
_IDEMPOTENCY_HEADER = optional(
    "idempotency_header",
    HeaderName(),
    "The header in which the target accepts an idempotency key. A write that is sent twice then counts once.",
    example="Idempotency-Key",
)
_ERROR = defaulted(
    "error",
    Object(
        (ERROR_SENTENCE, ERROR_FIELDS, ERROR_WHEN),
        lambda values: ErrorExtractor(values[ERROR_SENTENCE], values[ERROR_FIELDS], values[ERROR_WHEN]),
    ),
    {},
    "What error responses say.",
    example={"sentence": "message"},
)


def _build_settings(values: Values) -> TargetSettings:
    return TargetSettings(
        entities=values[_ENTITIES],
        caseless_fields=frozenset(values[_CASELESS]),
        options=read_options(values),
        error_extractor=values[_ERROR],
        idempotency_header=values[_IDEMPOTENCY_HEADER],
    )


TARGET_SETTINGS = Object((_ENTITIES, _CASELESS, _IDEMPOTENCY_HEADER, *OPTIONS, _ERROR), _build_settings)
