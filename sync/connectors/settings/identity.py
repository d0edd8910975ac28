"""Settings of a REST identity service. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from config_schema.errors import SettingPath
from config_schema.kinds import Choice, JsonSchema, ValueKind
from config_schema.objects import MapOf, Object, ObjectRule
from config_schema.settings import SettingValues, defaulted, optional, required
from config_schema.translatable import translatable
from sync.connectors.http.query_parameters import Query, list_values
from sync.connectors.settings.answer_rules import answer_rules, read_rules
from sync.connectors.settings.body_template import BodyTemplate, ObjectBody
from sync.connectors.settings.page_style import (
    LIST_RULES,
    LIST_SETTINGS,
    PagedList,
    read_paged_list,
)
from sync.connectors.settings.setting_kinds import (
    ENTITY_TYPE,
    ENTITY_TYPE_SENTENCE,
    Expression,
    Headers,
    PathTemplate,
    QueryParameters,
)
from sync.connectors.settings.shared_settings import (
    ERROR_HEADER,
    ERROR_HINTS,
    ERROR_SENTENCE,
    ERROR_WAIT,
    ERROR_WAIT_HEADER,
    OPTIONS,
    PROBE,
    ConnectionOptions,
    ReadRequest,
    read_options,
)
from sync.connectors.values.answer_meaning import AnswerRule, Meaning
from sync.connectors.values.json_responses import ErrorExtractor, JmesPathExpression

# What the answer to the request for one entity may mean, besides success.
_MEANINGS = (
    Meaning.ABSENT,
    Meaning.REFUSED,
    Meaning.CREDENTIALS,
    Meaning.THROTTLED,
    Meaning.UNAVAILABLE,
)


@dataclass(frozen=True, slots=True)
class EntitySettings:
    """Settings for reading an entity of one type: its request, and expressions over the response.

    The id is in the path, in values of the query, or in the body, each time as `{id}`. `answers` are the rules for
    responses whose status does not say what they mean. The rules in `other_rules` apply to every request for this type,
    not only to the one that reads an entity.

    `modified_expression` selects the time of the entity's last change: an RFC 3339 text, or seconds or milliseconds
    since 1970. The request `probe` succeeds as long as the credentials are valid.
    """

    method: str
    path: str
    query: Query
    headers: Mapping[str, str]
    body: BodyTemplate | None
    answers: tuple[AnswerRule, ...]
    record_expression: JmesPathExpression
    id_expression: JmesPathExpression
    version_expression: JmesPathExpression | None
    modified_expression: JmesPathExpression | None
    list_settings: PagedList | None
    probe: ReadRequest | None

    @property
    def other_rules(self) -> tuple[AnswerRule, ...]:
        """Return the rules that hold for lists and probes too."""
        return tuple(rule for rule in self.answers if rule.means is not Meaning.ABSENT)


@dataclass(frozen=True)
class EntityPath(ValueKind[str]):
    """A path below the base URL that may contain the placeholder `{id}`."""

    label: str = translatable("path")
    limits: str = translatable("starts with a slash; plain segments only; no placeholder other than `{id}`")

    def read(self, value: Any, place: SettingPath) -> str:
        names = frozenset({"id"}) if isinstance(value, str) and "{id}" in value else frozenset()
        return PathTemplate(names).read(value, place)

    def to_schema(self) -> JsonSchema:
        return {"anyOf": [PathTemplate().to_schema(), PathTemplate(frozenset({"id"})).to_schema()]}


@dataclass(frozen=True, slots=True)
class IdentitySettings:
    """`entities` is keyed by upper-case entity type."""

    entities: Mapping[str, EntitySettings]
    options: ConnectionOptions
    error_extractor: ErrorExtractor


_LIST = optional(
    "list",
    Object(LIST_SETTINGS, read_paged_list, LIST_RULES),
    "How entities are listed. With it, the connection test reads a real entity, and after a 404 the hub "
    "proves that it can still read others. Without it, a wrong path cannot be distinguished from an absent "
    "entity, and a deletion may wait for a person.",
    example={"path": "/api/users", "results": "resources", "total": "totalResults"},
)
_METHOD = defaulted(
    "method",
    Choice(("GET", "POST")),
    "GET",
    "The method of the request that reads one entity.",
    example="POST",
)
_PATH = required(
    "path",
    EntityPath(),
    "The path of the request that reads one entity. `{id}` stands for its id, which may be in `query` or `body` "
    "instead.",
    example="/api/users/{id}",
)
_QUERY = defaulted(
    "query",
    QueryParameters(frozenset({"id"})),
    {},
    "Query parameters of that request. `{id}` stands for the id. A list of texts repeats the parameter.",
    example={"expand": "emails"},
)
_HEADERS = defaulted(
    "headers", Headers(), {}, "Further headers of that request.", example={"Prefer": "return=minimal"}
)
_BODY = optional(
    "body",
    ObjectBody(("id",)),
    'The body of that request, with the method `POST`. In it, an object `{"expression": "id"}` stands for the id; '
    'any JMESPath expression over `id` is possible. An object `{"template": …}` stands for a text with `{id}`.',
    example={
        "query": "query($id: ID!) { user(id: $id) { id name } }",
        "variables": {"id": {"expression": "id"}},
    },
)
_ANSWERS = answer_rules(
    _MEANINGS,
    translatable(
        "What responses mean if their status does not say it. The first rule that matches decides; without a "
        "match, 404 and 410 mean `absent`. Rules other than `absent` also apply to the list. An absent "
        "entity counts as deleted only if others can still be read."
    ),
    example=[{"status": 200, "when": "body.data && body.data.user == `null`", "means": "absent"}],
)
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
    "Where the time of the last change is in an entity: an RFC 3339 text, or seconds or milliseconds since "
    "1970. The hub uses it to recognise older data.",
    example="meta.lastModified",
)


def _build_entity(values: SettingValues) -> EntitySettings:
    body = values[_BODY]
    if body is not None and values[_METHOD] != "POST":
        values.reject(_BODY, "A body needs the method POST.")
    texts = (values[_PATH], *list_values(values[_QUERY]))
    if not any("{id}" in text for text in texts) and not (body and body.uses("id")):
        values.reject(
            _PATH, "The path or a value of the query must contain {id}, or the body must use the id."
        )
    return EntitySettings(
        method=values[_METHOD],
        path=values[_PATH],
        query=values[_QUERY],
        headers=values[_HEADERS],
        body=body,
        answers=read_rules(values, _ANSWERS),
        record_expression=values[_RECORD],
        id_expression=values[_ID],
        version_expression=values[_VERSION],
        modified_expression=values[_MODIFIED],
        list_settings=values[_LIST],
        probe=values[PROBE],
    )


ENTITY = Object(
    (
        _METHOD,
        _PATH,
        _QUERY,
        _HEADERS,
        _BODY,
        _ANSWERS,
        _RECORD,
        _ID,
        _VERSION,
        _MODIFIED,
        _LIST,
        PROBE,
    ),
    _build_entity,
    (
        ObjectRule(
            "`body` needs the method `POST`.",
            {
                "if": {"required": ["body"], "properties": {"body": {"type": "object"}}},
                "then": {"required": ["method"], "properties": {"method": {"const": "POST"}}},
            },
        ),
        ObjectRule(
            "The path or a value of the query contains `{id}`, or the body uses the id.",
            {
                "anyOf": [
                    {"properties": {"path": {"pattern": r"\{id\}"}}},
                    {"required": ["body"], "properties": {"body": {"type": "object"}}},
                    {
                        "required": ["query"],
                        "properties": {
                            "query": QueryParameters(frozenset({"id"}), frozenset({"id"})).to_schema()
                        },
                    },
                ]
            },
        ),
    ),
)
_ENTITIES = required(
    "entities",
    MapOf(ENTITY, "TYPE", 1, None, ENTITY_TYPE, ENTITY_TYPE_SENTENCE, str.upper),
    "How entities are read, by entity type as in the webhooks. Case does not matter.",
    example={"USER": {"path": "/api/users/{id}"}},
)
_ERROR = defaulted(
    "error",
    Object(
        (ERROR_SENTENCE, ERROR_HEADER, ERROR_WAIT, ERROR_WAIT_HEADER),
        lambda values: ErrorExtractor(
            values[ERROR_SENTENCE],
            header=(values[ERROR_HEADER] or "").lower() or None,
            wait=values[ERROR_WAIT],
            wait_header=values[ERROR_WAIT_HEADER],
        ),
        hints=ERROR_HINTS,
    ),
    {},
    "What error responses say.",
    example={"sentence": "errorMessage"},
)


def _build_settings(values: SettingValues) -> IdentitySettings:
    return IdentitySettings(values[_ENTITIES], read_options(values), values[_ERROR])


IDENTITY_SETTINGS = Object((_ENTITIES, *OPTIONS, _ERROR), _build_settings)
