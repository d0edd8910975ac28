"""Settings of a webhook format, which says how the events of a source are read from its requests. Pure."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from config_schema.errors import SettingPath, SettingsInvalid
from config_schema.kinds import Boolean, Choice, JsonSchema, ValueKind, WholeNumber
from config_schema.objects import MapOf, Object
from config_schema.settings import Setting, SettingValues, defaulted, optional
from config_schema.translatable import translatable
from webhooks.expressions.expression_budget import ExpressionBudget
from webhooks.expressions.expression_kind import ExpressionKind, read_expression
from webhooks.expressions.jmespath_paths import MAX_DEPTH, MAX_LENGTH, Evaluator
from webhooks.protocol.formats.dropped_paths import DroppedPathList
from webhooks.protocol.strict_form import FORM_TYPE, MAX_FIELDS
from webhooks.protocol.webhook_parser import TYPE_NAME

MAX_MAPPED_TYPES = 200
MAX_CONTENT_TYPES = 20
MAX_JSON_FIELDS = 20
MAX_FIELD_NAME = 200
# Of one request: what a source accepts by default, and the most that it can be set to.
DEFAULT_MAX_EVENTS, MAX_EVENTS = 100, 500
DEFAULT_MAX_BODY_BYTES, MAX_BODY_BYTES = 65_536, 1_048_576
JSON_TYPE = "application/json"
EVENT_TYPES = ("CREATE", "UPDATE", "DELETE")
TIME_FORMATS = ("rfc3339", "seconds", "milliseconds")

_CONTENT_TYPE = re.compile(r"[a-z0-9][a-z0-9!#$&^_.+-]{0,63}/[a-z0-9][a-z0-9!#$&^_.+-]{0,63}", re.ASCII)


@dataclass(frozen=True, slots=True)
class ExpressionOrConstant:
    """An entry of a webhook format, which gives one part of an event: an expression, or a constant if that is None."""

    expression: Evaluator | None
    constant: str | None = None

    def evaluate(self, context: Mapping[str, Any], budget: ExpressionBudget) -> Any:
        """Return the value of the entry. Raises OverBudget, and JMESPathError if the context does not fit."""
        return self.constant if self.expression is None else self.expression(context, budget)


@dataclass(frozen=True, slots=True)
class WebhookFormat:
    """Settings that say how events are read from the requests of a source.

    `events` returns the events of a request, the other entries return the parts of one event. If `uses_default_fields`,
    each request is one event with the fields of the default format, and only its type maps, media types and limits
    differ. If `has_event_list`, the format says where the events are. The type maps have upper-case names; None means
    that types are used unchanged. `max_events` and `max_bytes` are the limits of one request.
    """

    events: ExpressionOrConstant
    when: ExpressionOrConstant | None
    entity_id: ExpressionOrConstant
    entity_type: ExpressionOrConstant
    event_type: ExpressionOrConstant
    occurred_at: ExpressionOrConstant
    event_id: ExpressionOrConstant
    previous: ExpressionOrConstant
    data: ExpressionOrConstant
    time_format: str
    entity_types: Mapping[str, str] | None
    event_types: Mapping[str, str]
    content_types: frozenset[str]
    allows_empty_body: bool
    json_fields: frozenset[str]
    max_events: int
    max_bytes: int
    dropped_paths: tuple[tuple[str, ...], ...]
    batch_response: str
    uses_default_fields: bool
    has_event_list: bool


@dataclass(frozen=True)
class ExpressionOrConstantKind(ValueKind[ExpressionOrConstant]):
    """Kind of an entry of a webhook format: a JMESPath expression, or `{"constant": …}` with a text."""

    label: str = translatable("JMESPath expression, or a constant")
    limits: str = translatable(
        'at most %(most)s characters, nested at most %(depth)s deep; or `{"constant": "…"}`',
        most=f"{MAX_LENGTH:,}",
        depth=MAX_DEPTH,
    )

    def read(self, value: Any, place: SettingPath) -> ExpressionOrConstant:
        if isinstance(value, Mapping):
            if set(value) != {"constant"} or not isinstance(value["constant"], str):
                raise SettingsInvalid(place, 'A constant is written as {"constant": "text"}.')
            return ExpressionOrConstant(None, value["constant"])
        return ExpressionOrConstant(read_expression(value, place))

    def to_schema(self) -> JsonSchema:
        constant = {
            "type": "object",
            "properties": {"constant": {"type": "string"}},
            "required": ["constant"],
            "additionalProperties": False,
        }
        return {"anyOf": [EntryExpressionKind().to_schema(), constant]}


@dataclass(frozen=True)
class EntryExpressionKind(ExpressionKind[ExpressionOrConstant]):
    """Kind of an entry of a webhook format that must be a JMESPath expression."""

    def read(self, value: Any, place: SettingPath) -> ExpressionOrConstant:
        return ExpressionOrConstant(read_expression(value, place))


@dataclass(frozen=True)
class MediaTypeList(ValueKind[frozenset[str]]):
    """Kind of a list of media types in lower case, such as `application/json`."""

    label: str = translatable("list of media types")
    limits: str = translatable(
        "1 to %(most)s media types in lower case, without parameters", most=MAX_CONTENT_TYPES
    )

    def read(self, value: Any, place: SettingPath) -> frozenset[str]:
        if not isinstance(value, list | tuple) or not 1 <= len(value) <= MAX_CONTENT_TYPES:
            raise SettingsInvalid(
                place,
                translatable("This must be a list of 1 to %(most)s media types.", most=MAX_CONTENT_TYPES),
            )
        for index, item in enumerate(value):
            if not isinstance(item, str) or not _CONTENT_TYPE.fullmatch(item):
                sentence = translatable(
                    "This must be a media type in lower case, such as application/scim+json."
                )
                raise SettingsInvalid((*place, index), sentence)
        return frozenset(value)

    def to_schema(self) -> JsonSchema:
        item = {"type": "string", "pattern": f"^{_CONTENT_TYPE.pattern}$"}
        return {"type": "array", "minItems": 1, "maxItems": MAX_CONTENT_TYPES, "items": item}


@dataclass(frozen=True)
class FieldNames(ValueKind[frozenset[str]]):
    """Kind of a list of names of fields."""

    label: str = translatable("list of texts")
    limits: str = translatable(
        "at most %(most)s names of up to %(length)s characters", most=MAX_JSON_FIELDS, length=MAX_FIELD_NAME
    )

    def read(self, value: Any, place: SettingPath) -> frozenset[str]:
        if not isinstance(value, list | tuple) or len(value) > MAX_JSON_FIELDS:
            raise SettingsInvalid(
                place, translatable("This must be a list of at most %(most)s names.", most=MAX_JSON_FIELDS)
            )
        for index, name in enumerate(value):
            if not isinstance(name, str) or not 0 < len(name) <= MAX_FIELD_NAME:
                raise SettingsInvalid((*place, index), "This must be the name of a field.")
        return frozenset(value)

    def to_schema(self) -> JsonSchema:
        item = {"type": "string", "minLength": 1, "maxLength": MAX_FIELD_NAME}
        return {"type": "array", "maxItems": MAX_JSON_FIELDS, "items": item}


@dataclass(frozen=True)
class EntityTypeName(ValueKind[str]):
    """Kind of a name of an entity type. It is read in upper case."""

    label: str = translatable("name of an entity type")

    def read(self, value: Any, place: SettingPath) -> str:
        if not isinstance(value, str) or not TYPE_NAME.fullmatch(value):
            raise SettingsInvalid(place, "This is not the name of an entity type.")
        return value.upper()

    def to_schema(self) -> JsonSchema:
        return {"type": "string", "pattern": f"^{TYPE_NAME.pattern}$"}


_CONTEXT_SENTENCE = translatable("The expression looks into `{event, body, headers, query}`.")
_EVENTS = defaulted(
    "events",
    EntryExpressionKind(),
    "[body]",
    "Where the list of events is in a request, at most `max_events`. The expression looks into `{body, headers, "
    "query}`; names of headers are in lower case.",
    example="body.data.events",
)
_WHEN = optional(
    "when",
    EntryExpressionKind(),
    translatable(
        "An event for which this is false is stored but not delivered (`filtered`). %(context)s",
        context=_CONTEXT_SENTENCE,
    ),
    example="event.outcome.result == 'SUCCESS'",
)
_ID = defaulted(
    "id",
    ExpressionOrConstantKind(),
    "event.id",
    translatable("The id of the entity. %(context)s", context=_CONTEXT_SENTENCE),
    example="event.resourceId",
)
_ENTITY_TYPE = defaulted(
    "entity_type",
    ExpressionOrConstantKind(),
    "event.entityType",
    translatable(
        "The type of the entity, or the sender's word for it. %(context)s", context=_CONTEXT_SENTENCE
    ),
    example={"constant": "USER"},
)
_EVENT_TYPE = defaulted(
    "event_type",
    ExpressionOrConstantKind(),
    "event.eventType",
    translatable(
        "`CREATE`, `UPDATE` or `DELETE`, or the sender's word for it. %(context)s", context=_CONTEXT_SENTENCE
    ),
    example="event.type",
)
_OCCURRED_AT = defaulted(
    "occurred_at",
    ExpressionOrConstantKind(),
    "event.timestamp",
    translatable(
        "When the change happened. Null: the sender does not say. %(context)s", context=_CONTEXT_SENTENCE
    ),
    example="event.published",
)
_TIME_FORMAT = defaulted(
    "time_format",
    Choice(TIME_FORMATS),
    "rfc3339",
    "How `occurred_at` is written: as RFC 3339 with a time zone, or in seconds or milliseconds since 1970.",
    example="milliseconds",
)
_EVENT_ID = defaulted(
    "event_id",
    ExpressionOrConstantKind(),
    "event.eventId",
    translatable(
        "The sender's id of the event, used to detect duplicates. Null: it has none. %(context)s",
        context=_CONTEXT_SENTENCE,
    ),
    example="event.uuid",
)
_PREVIOUS = defaulted(
    "previous",
    ExpressionOrConstantKind(),
    "event.previous",
    translatable(
        "An object with the values that the change overwrote. Null: not sent. %(context)s",
        context=_CONTEXT_SENTENCE,
    ),
    example="{email: event.previousEmail}",
)
_DATA = defaulted(
    "data",
    ExpressionOrConstantKind(),
    "event.data",
    translatable("The entity, whole or in part. Null: not sent. %(context)s", context=_CONTEXT_SENTENCE),
    example="event.user",
)
_ENTITY_TYPES = optional(
    "entity_types",
    MapOf(EntityTypeName(), "WORD", 1, MAX_MAPPED_TYPES),
    "The sender's words for entity types. Case does not matter. An event with an unknown word is stored and "
    "ignored. Without the map, the words are used as types.",
    example={"directus_users": "USER"},
)
_EVENT_TYPES = defaulted(
    "event_types",
    MapOf(Choice(EVENT_TYPES), "WORD", 0, MAX_MAPPED_TYPES),
    {},
    "The sender's words for `CREATE`, `UPDATE` and `DELETE`. Case does not matter. An event with an unknown "
    "word is stored and ignored.",
    example={"MODIFIED": "UPDATE"},
)
_CONTENT_TYPES = defaulted(
    "content_types",
    MediaTypeList(),
    [JSON_TYPE],
    translatable(
        "The media types that a request may have. A body of the type `%(form)s` is read as a form: `body` is an object "
        "with its fields, at most %(most)s texts. Any other is JSON.",
        form=FORM_TYPE,
        most=f"{MAX_FIELDS:,}",
    ),
    example=["application/scim+json", "application/json"],
)
_JSON_FIELDS = defaulted(
    "json_fields",
    FieldNames(),
    [],
    "Fields of the body that contain JSON as text, as in the forms of some senders. They are parsed, so that "
    "`drop` finds values in them.",
    example=["payload"],
)
_ALLOW_EMPTY_BODY = defaulted(
    "allow_empty_body",
    Boolean(),
    False,
    "Accepts a request without a body, whatever its media type: expressions then see `body` as null and can "
    "read `headers` and `query`. Otherwise such a request is refused (`400`). Not for a sender that signs "
    "only the body: all empty bodies have the same signature, which does not cover the headers.",
    example=True,
)
_MAX_EVENTS = defaulted(
    "max_events",
    WholeNumber(1, MAX_EVENTS),
    DEFAULT_MAX_EVENTS,
    "The maximum number of events in a request. A request with more is refused (`413`), and none of its "
    "events are stored.",
    example=500,
)
_MAX_BYTES = defaulted(
    "max_bytes",
    WholeNumber(1_024, MAX_BODY_BYTES),
    DEFAULT_MAX_BODY_BYTES,
    "The maximum size of a request's body in bytes. A larger body is refused (`413`).",
    example=1_048_576,
)
_DROP = defaulted(
    "drop",
    DroppedPathList(),
    [],
    "Values that are removed from the body before it is read and stored, such as passwords. Lists on the "
    "path are searched, even if the path has no `[]`, and even if the whole body is a list. A body that is "
    "neither valid JSON nor a valid form is then not stored at all.",
    example=["payload.password"],
)
_BATCH_RESPONSE = defaulted(
    "batch_response",
    Choice(("ack", "result")),
    "ack",
    "How a request with several events is answered: at once (`202`), or with the outcome of all of them.",
    example="result",
)

# These do not change how the fields of the default format are read.
_NON_FIELD_SETTINGS = frozenset(
    setting.name
    for setting in (_ENTITY_TYPES, _EVENT_TYPES, _CONTENT_TYPES, _MAX_EVENTS, _MAX_BYTES, _BATCH_RESPONSE)
)
_SETTINGS: tuple[Setting[Any], ...] = (
    *(
        _EVENTS,
        _WHEN,
        _ID,
        _ENTITY_TYPE,
        _EVENT_TYPE,
        _OCCURRED_AT,
        _TIME_FORMAT,
        _EVENT_ID,
        _PREVIOUS,
        _DATA,
    ),
    *(
        _ENTITY_TYPES,
        _EVENT_TYPES,
        _CONTENT_TYPES,
        _JSON_FIELDS,
        _ALLOW_EMPTY_BODY,
        _MAX_EVENTS,
        _MAX_BYTES,
        _DROP,
        _BATCH_RESPONSE,
    ),
)


def _build_format(values: SettingValues) -> WebhookFormat:
    entity_types = values[_ENTITY_TYPES]
    return WebhookFormat(
        events=values[_EVENTS],
        when=values[_WHEN],
        entity_id=values[_ID],
        entity_type=values[_ENTITY_TYPE],
        event_type=values[_EVENT_TYPE],
        occurred_at=values[_OCCURRED_AT],
        event_id=values[_EVENT_ID],
        previous=values[_PREVIOUS],
        data=values[_DATA],
        time_format=values[_TIME_FORMAT],
        entity_types=None if entity_types is None else _with_upper_case_keys(entity_types),
        event_types=_with_upper_case_keys(values[_EVENT_TYPES]),
        content_types=values[_CONTENT_TYPES],
        json_fields=values[_JSON_FIELDS],
        allows_empty_body=values[_ALLOW_EMPTY_BODY],
        max_events=values[_MAX_EVENTS],
        max_bytes=values[_MAX_BYTES],
        dropped_paths=values[_DROP],
        batch_response=values[_BATCH_RESPONSE],
        # The hub's own fields are JSON.
        uses_default_fields=FORM_TYPE not in values[_CONTENT_TYPES]
        and not any(
            values.is_given(setting) for setting in _SETTINGS if setting.name not in _NON_FIELD_SETTINGS
        ),
        has_event_list=values.is_given(_EVENTS),
    )


def _with_upper_case_keys(type_map: Mapping[str, str]) -> dict[str, str]:
    return {name.upper(): target for name, target in type_map.items()}


WEBHOOK_FORMAT = Object(_SETTINGS, _build_format)
DEFAULT_FORMAT = WEBHOOK_FORMAT.read({}, ())

# A whole format, for a sender that sends several events in one request.
EXAMPLE = {
    "events": "body.data.events",
    "when": "event.outcome.result == 'SUCCESS'",
    "id": "event.target[?type == 'User'] | [0].id",
    "entity_type": {"constant": "USER"},
    "event_type": "event.eventType",
    "event_types": {"user.lifecycle.create": "CREATE", "user.account.update_profile": "UPDATE"},
    "occurred_at": "event.published",
    "event_id": "event.uuid",
}
