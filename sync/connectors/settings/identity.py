"""Settings of a REST identity service. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass

from config_schema.kinds import Text, TextMap, WholeNumber
from config_schema.objects import MapOf, Object
from config_schema.settings import Values, defaulted, optional, required
from sync.connectors.settings.setting_kinds import ENTITY_TYPE, ENTITY_TYPE_SENTENCE, Expression, PathTemplate
from sync.connectors.settings.shared_settings import (
    ERROR_SENTENCE,
    ERROR_WHEN,
    OPTIONS,
    PROBE,
    ConnectionOptions,
    ReadRequest,
    read_options,
)
from sync.connectors.values.json_responses import ErrorExtractor, JmesPathExpression

MAX_PAGE_SIZE = 1000


@dataclass(frozen=True, slots=True)
class ListSettings:
    """Settings of the paged list of an entity type.

    The query parameter `offset_parameter` holds the number of entities before the page plus `first_offset`;
    `count_parameter` holds the number wanted, `page_size`. `results_expression` selects the list of entities
    in a response, `total_expression` the number of entities on all pages together.
    """

    path: str
    query: Mapping[str, str]
    offset_parameter: str
    first_offset: int
    count_parameter: str
    page_size: int
    results_expression: JmesPathExpression
    total_expression: JmesPathExpression | None


@dataclass(frozen=True, slots=True)
class EntitySettings:
    """Settings for reading an entity of one type: its path, and expressions over the response.

    `modified_expression` selects the time of the entity's last change: an RFC 3339 text, or seconds or
    milliseconds since 1970. `probe`: a request that succeeds as long as the credentials are good.
    """

    path: str
    query: Mapping[str, str]
    record_expression: JmesPathExpression
    id_expression: JmesPathExpression
    version_expression: JmesPathExpression | None
    modified_expression: JmesPathExpression | None
    list_settings: ListSettings | None
    probe: ReadRequest | None


@dataclass(frozen=True, slots=True)
class IdentitySettings:
    """`entities` is keyed by upper-case entity type."""

    entities: Mapping[str, EntitySettings]
    options: ConnectionOptions
    error_extractor: ErrorExtractor


_LIST_PATH = required("path", PathTemplate(), "The path of the list.", example="/api/users")
_LIST_QUERY = defaulted(
    "query", TextMap(), {}, "Further query parameters of each page.", example={"sort": "id"}
)
_START = defaulted(
    "start",
    Text(),
    "startIndex",
    "The query parameter that says how many entities come before the page.",
    example="startIndex",
)
_FIRST = defaulted(
    "first", WholeNumber(0, 1), 0, "The value of `start` for the first page: 1 for SCIM.", example=1
)
_COUNT = defaulted(
    "count", Text(), "count", "The query parameter that says how many entities to return.", example="count"
)
_SIZE = defaulted(
    "size", WholeNumber(1, MAX_PAGE_SIZE), 100, "The number of entities to ask for in one page.", example=100
)
_RESULTS = defaulted("results", Expression(), "@", "Where the list is in a response.", example="Resources")
_TOTAL = optional(
    "total",
    Expression(),
    "Where the number of entities on all pages together is in a response. Without it, the first page without new "
    "entities is the last.",
    example="totalResults",
)

_LIST = optional(
    "list",
    Object(
        (_LIST_PATH, _LIST_QUERY, _START, _FIRST, _COUNT, _SIZE, _RESULTS, _TOTAL),
        lambda values: ListSettings(
            path=values[_LIST_PATH],
            query=values[_LIST_QUERY],
            offset_parameter=values[_START],
            first_offset=values[_FIRST],
            count_parameter=values[_COUNT],
            page_size=values[_SIZE],
            results_expression=values[_RESULTS],
            total_expression=values[_TOTAL],
        ),
    ),
    "How entities are listed. With it, the connection test reads a real entity, and after a 404 the hub proves that it "
    "can still read others. Without it, a wrong path cannot be told from an absent entity, and a deletion may wait for "
    "a person.",
    example={"path": "/api/users", "results": "resources", "total": "totalResults"},
)
_PATH = required(
    "path",
    PathTemplate(frozenset({"id"})),
    "The path of the request that reads one entity. `{id}` stands for its id.",
    example="/api/users/{id}",
)
_QUERY = defaulted("query", TextMap(), {}, "Query parameters of that request.", example={"expand": "emails"})
_RECORD = defaulted("record", Expression(), "@", "Where the entity is in a response.", example="data")
_ID = defaulted("id", Expression(), "id", "Where the id is in an entity.", example="id")
_VERSION = optional(
    "version",
    Expression(),
    "Where the version is in an entity: a text or number that changes with every change.",
    example="meta.version",
)
_MODIFIED = optional(
    "modified",
    Expression(),
    "Where the time of the last change is in an entity: an RFC 3339 text, or seconds or milliseconds since 1970. The "
    "hub recognises older data by it.",
    example="meta.lastModified",
)

ENTITY = Object(
    (_PATH, _QUERY, _RECORD, _ID, _VERSION, _MODIFIED, _LIST, PROBE),
    lambda values: EntitySettings(
        path=values[_PATH],
        query=values[_QUERY],
        record_expression=values[_RECORD],
        id_expression=values[_ID],
        version_expression=values[_VERSION],
        modified_expression=values[_MODIFIED],
        list_settings=values[_LIST],
        probe=values[PROBE],
    ),
)
_ENTITIES = required(
    "entities",
    MapOf(ENTITY, "TYPE", 1, None, ENTITY_TYPE, ENTITY_TYPE_SENTENCE, str.upper),
    "How entities are read, by entity type as in the webhooks. Upper and lower case are the same.",
    example={"USER": {"path": "/api/users/{id}"}},
)
_ERROR = defaulted(
    "error",
    Object(
        (ERROR_SENTENCE, ERROR_WHEN),
        lambda values: ErrorExtractor(values[ERROR_SENTENCE], when=values[ERROR_WHEN]),
    ),
    {},
    "What error responses say.",
    example={"sentence": "errorMessage"},
)


def _build_settings(values: Values) -> IdentitySettings:
    return IdentitySettings(values[_ENTITIES], read_options(values), values[_ERROR])


IDENTITY_SETTINGS = Object((_ENTITIES, *OPTIONS, _ERROR), _build_settings)
