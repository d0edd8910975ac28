"""Settings of a REST identity service. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from config_schema.declared import nullable, setting
from config_schema.errors import SettingPath
from config_schema.kinds import Choice, JsonSchema, ValueKind
from config_schema.objects import MapOf
from config_schema.rules import CodeRule, Fault, NamedValues
from connectors.http.query_parameters import Query, list_values
from connectors.settings.answer_rules import rule_list
from connectors.settings.body_template import BodyTemplate, ObjectBody
from connectors.settings.expression_documents import expression_rule
from connectors.settings.page_style import BODY_RULE, PagedList
from connectors.settings.setting_kinds import (
    ENTITY_TYPE,
    ENTITY_TYPE_SENTENCE,
    Expression,
    Headers,
    PathTemplate,
    QueryParameters,
)
from connectors.settings.shared_settings import ConnectionOptions, ErrorSettings, ProbeSettings
from connectors.values.answer_meaning import AnswerRule, Meaning
from connectors.values.json_responses import JmesPathExpression

# What the answer to the request for one entity may mean, besides success.
_MEANINGS = (Meaning.ABSENT, Meaning.REFUSED, Meaning.CREDENTIALS, Meaning.THROTTLED, Meaning.UNAVAILABLE)
_ID = frozenset({"id"})


@dataclass(frozen=True)
class EntityPath(ValueKind[str]):
    """A path below the base URL that may contain the placeholder `{id}`."""

    label: str = "path"
    limits: str = (
        "begins with `/`; contains neither `.` nor `..` nor encoded characters; no placeholder other than "
        "`{id}`"
    )

    def read(self, value: Any, place: SettingPath) -> str:
        names = _ID if isinstance(value, str) and "{id}" in value else frozenset()
        return PathTemplate(names).read(value, place)

    def to_schema(self) -> JsonSchema:
        return {"anyOf": [PathTemplate().to_schema(), PathTemplate(_ID).to_schema()]}


def _find_missing_id(values: NamedValues) -> Fault | None:
    body = values["body"]
    texts = (values["path"], *list_values(values["query"]))
    if any("{id}" in text for text in texts) or (body and body.uses("id")):
        return None
    return "path", "The path or a value of the query must contain {id}, or the body must use the id."


class EntitySettings(ProbeSettings):
    """Settings for reading an entity of one type: its request, and expressions over the response.

    The id is in the path, in values of the query, or in the body, each time as `{id}`.
    """

    method: str = setting(
        Choice(("GET", "POST")),
        "The method of the request that reads one entity.",
        default="GET",
        example="POST",
    )
    path: str = setting(
        EntityPath(),
        "The path of the request that reads one entity. `{id}` stands for its id, which may be in `query` or `body` "
        "instead.",
        example="/api/users/{id}",
    )
    query: Query = setting(
        QueryParameters(_ID),
        "Query parameters of that request. `{id}` stands for the id. A list of texts repeats the parameter.",
        default={},
        example={"expand": "emails"},
    )
    headers: Mapping[str, str] = setting(
        Headers(), "Further headers of that request.", default={}, example={"Prefer": "return=minimal"}
    )
    body: BodyTemplate | None = nullable(
        ObjectBody(("id",)),
        'The body of that request, with the method `POST`. In it, an object `{"expression": "id"}` stands for the id; '
        'any JMESPath expression over `id` is possible. An object `{"template": …}` stands for a text with `{id}`.',
        example={
            "query": "query($id: ID!) { user(id: $id) { id name } }",
            "variables": {"id": {"expression": "id"}},
        },
    )
    answers: tuple[AnswerRule, ...] = nullable(
        rule_list(_MEANINGS),
        "What responses mean if their status does not say it. The first rule that matches decides; without a "
        "match, 404 and 410 mean `absent`. Rules other than `absent` also apply to the list. An absent "
        "entity counts as deleted only if others can still be read.",
        absent=(),
        example=[{"status": 200, "when": "body.data && body.data.user == `null`", "means": "absent"}],
    )
    record: JmesPathExpression = setting(
        Expression(), "Where the entity is in a response.", default="@", example="data"
    )
    id: JmesPathExpression = setting(
        Expression(), "Where the id is in an entity.", default="id", example="id"
    )
    version: JmesPathExpression | None = nullable(
        Expression(),
        "Where the version is in an entity: a text or number that changes with every change.",
        example="meta.version",
    )
    modified: JmesPathExpression | None = nullable(
        Expression(),
        "Where the time of the last change is in an entity: an RFC 3339 text, or seconds or milliseconds since "
        "1970. The hub uses it to recognise older data.",
        example="meta.lastModified",
    )
    list: PagedList | None = nullable(
        PagedList.kind,
        "How entities are listed. With it, the connection test reads a real entity, and after a 404 the hub "
        "proves that it can still read others. Without it, a wrong path cannot be distinguished from an absent "
        "entity, and a deletion may wait for a person.",
        example={"path": "/api/users", "results": "resources", "total": "totalResults"},
    )

    rules = (
        BODY_RULE,
        expression_rule("entity", "body"),
        CodeRule(
            sentence="The path or a value of the query contains `{id}`, or the body uses the id.",
            find_fault=_find_missing_id,
            schema={
                "anyOf": [
                    {"properties": {"path": {"pattern": r"\{id\}"}}},
                    {"required": ["body"], "properties": {"body": {"type": "object"}}},
                    {"required": ["query"], "properties": {"query": QueryParameters(_ID, _ID).to_schema()}},
                ]
            },
        ),
    )

    @property
    def can_prove_absence(self) -> bool:
        """True if a request shows that entities can be read, whatever entities are known."""
        return self.list is not None or self.probe is not None

    @property
    def other_rules(self) -> tuple[AnswerRule, ...]:
        """Return the rules that hold for lists and probes too."""
        return tuple(rule for rule in self.answers if rule.means is not Meaning.ABSENT)


class IdentitySettings(ConnectionOptions):
    """`entities` is keyed by upper-case entity type."""

    entities: Mapping[str, EntitySettings] = setting(
        MapOf(EntitySettings.kind, "TYPE", 1, None, ENTITY_TYPE, ENTITY_TYPE_SENTENCE, str.upper),
        "How entities are read, by entity type as in the webhooks. Case does not matter.",
        example={"USER": {"path": "/api/users/{id}"}},
    )
    error_extractor: ErrorSettings = setting(
        ErrorSettings.kind,
        "What error responses say.",
        name="error",
        default={},
        example={"sentence": "errorMessage"},
    )

    @property
    def options(self) -> ConnectionOptions:
        """Return the settings of the HTTP connection."""
        return self


IDENTITY_SETTINGS = IdentitySettings.kind
