"""Settings of a webhook format, which says how the events of a source are read from its requests. Pure."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Self

from config_schema.declared import Declared, nullable, setting
from config_schema.errors import SettingPath, SettingsInvalid
from config_schema.expressions.expression_budget import ExpressionBudget
from config_schema.expressions.expression_kind import CompiledExpression, CompiledExpressionKind
from config_schema.expressions.jmespath_paths import MAX_DEPTH, MAX_LENGTH, fields_read
from config_schema.kinds import Boolean, Choice, ConvertedText, JsonSchema, Text, ValueKind, WholeNumber
from config_schema.objects import MapOf, SetOf
from config_schema.settings import SettingValues
from webhooks.protocol.formats.dropped_paths import DROPPED_PATHS
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


@dataclass(frozen=True, slots=True)
class Constant:
    """An entry of a webhook format that is the same for every event."""

    value: str

    def evaluate(self, context: Mapping[str, Any], budget: ExpressionBudget) -> str:
        """Return the value."""
        return self.value


# An entry of a webhook format, which gives one part of an event.
ExpressionOrConstant = CompiledExpression | Constant
_REQUEST_ROOTS = frozenset({"body", "headers", "query"})
_EXPRESSION = CompiledExpressionKind(roots=_REQUEST_ROOTS | {"event"})


@dataclass(frozen=True)
class ExpressionOrConstantKind(ValueKind[ExpressionOrConstant]):
    """Kind of an entry of a webhook format: a JMESPath expression, or `{"constant": …}` with a text."""

    label: str = "JMESPath expression, or a constant"
    limits: str = (
        f'at most {MAX_LENGTH:,} characters, nested at most {MAX_DEPTH} deep; or `{{"constant": "…"}}`'
    )

    def read(self, value: Any, place: SettingPath) -> ExpressionOrConstant:
        if not isinstance(value, Mapping):
            return _EXPRESSION.read(value, place)
        if set(value) != {"constant"} or not isinstance(value["constant"], str):
            raise SettingsInvalid(place, 'A constant is written as {"constant": "text"}.')
        return Constant(value["constant"])

    def to_json(self, value: Any) -> Any:
        return {"constant": value.value} if isinstance(value, Constant) else value.text

    def to_schema(self) -> JsonSchema:
        constant = {
            "type": "object",
            "properties": {"constant": {"type": "string"}},
            "required": ["constant"],
            "additionalProperties": False,
        }
        return {"anyOf": [_EXPRESSION.to_schema(), constant]}


_ENTITY_TYPE_NAME = ConvertedText(
    TYPE_NAME,
    sentence="This is not the name of an entity type.",
    label="name of an entity type",
    convert=str.upper,
)
_MEDIA_TYPES = SetOf(
    Text(
        re.compile(r"[a-z0-9][a-z0-9!#$&^_.+-]{0,63}/[a-z0-9][a-z0-9!#$&^_.+-]{0,63}", re.ASCII),
        "a media type in lower case, without parameters",
        "This must be a media type in lower case, such as application/scim+json.",
    ),
    MAX_CONTENT_TYPES,
    label="list of media types",
    noun="media types",
)
_FIELD_NAMES = SetOf(
    Text(
        re.compile(rf"[\s\S]{{1,{MAX_FIELD_NAME}}}"),
        f"1 to {MAX_FIELD_NAME} characters",
        "This must be the name of a field.",
    ),
    MAX_JSON_FIELDS,
    label="list of texts",
    noun="names",
    least=0,
)


def _entry(meaning: str, *, default: str, example: Any, name: str = "") -> Any:
    """Declare an entry that gives one part of an event."""
    context = "The expression looks into `{event, body, headers, query}`."
    kind = ExpressionOrConstantKind()
    return setting(kind, f"{meaning} {context}", name=name, default=default, example=example)


class WebhookFormat(Declared):
    """Settings that say how events are read from the requests of a source.

    `events` returns the events of a request, the other entries return the parts of one event. The type maps have
    upper-case names; None means that types are used unchanged. `max_events` and `max_bytes` are the limits of one
    request. `stated`: the names of the settings that the document has.
    """

    events: CompiledExpression = setting(
        CompiledExpressionKind(roots=_REQUEST_ROOTS),
        "Where the list of events is in a request, at most `max_events`. The expression looks into `{body, headers, "
        "query}`; names of headers are in lower case.",
        default="[body]",
        example="body.data.events",
    )
    when: CompiledExpression | None = nullable(
        _EXPRESSION,
        "An event for which this is false is stored but not delivered (`filtered`). The expression looks into `{event, "
        "body, headers, query}`.",
        example="event.outcome.result == 'SUCCESS'",
    )
    entity_id: ExpressionOrConstant = _entry(
        "The id of the entity.",
        name="id",
        default="event.id",
        example="event.resourceId",
    )
    entity_type: ExpressionOrConstant = _entry(
        "The type of the entity, or the sender's word for it.",
        default="event.entityType",
        example={"constant": "USER"},
    )
    event_type: ExpressionOrConstant = _entry(
        "`CREATE`, `UPDATE` or `DELETE`, or the sender's word for it.",
        default="event.eventType",
        example="event.type",
    )
    occurred_at: ExpressionOrConstant = _entry(
        "When the change happened. Null: the sender does not say.",
        default="event.timestamp",
        example="event.published",
    )
    time_format: str = setting(
        Choice(TIME_FORMATS),
        "How `occurred_at` is written: as RFC 3339 with a time zone, or in seconds or milliseconds since 1970.",
        default="rfc3339",
        example="milliseconds",
    )
    event_id: ExpressionOrConstant = _entry(
        "The sender's id of the event, used to detect duplicates. Null: it has none.",
        default="event.eventId",
        example="event.uuid",
    )
    previous: ExpressionOrConstant = _entry(
        "An object with the values that the change overwrote. Null: not sent.",
        default="event.previous",
        example="{email: event.previousEmail}",
    )
    data: ExpressionOrConstant = _entry(
        "The entity, whole or in part. Null: not sent.",
        default="event.data",
        example="event.user",
    )
    entity_types: Mapping[str, str] | None = nullable(
        MapOf(_ENTITY_TYPE_NAME, "WORD", 1, MAX_MAPPED_TYPES, fold=str.upper),
        "The sender's words for entity types. Case does not matter. An event with an unknown word is stored and "
        "ignored. Without the map, the words are used as types.",
        example={"directus_users": "USER"},
    )
    event_types: Mapping[str, str] = setting(
        MapOf(Choice(EVENT_TYPES), "WORD", 0, MAX_MAPPED_TYPES, fold=str.upper),
        "The sender's words for `CREATE`, `UPDATE` and `DELETE`. Case does not matter. An event with an unknown "
        "word is stored and ignored.",
        default={},
        example={"MODIFIED": "UPDATE"},
    )
    content_types: frozenset[str] = setting(
        _MEDIA_TYPES,
        f"The media types that a request may have. A body of the type `{FORM_TYPE}` is read as a form: `body` is an "
        f"object with its fields, at most {MAX_FIELDS:,} texts. Any other is JSON.",
        default=[JSON_TYPE],
        example=["application/scim+json", "application/json"],
    )
    json_fields: frozenset[str] = setting(
        _FIELD_NAMES,
        "Fields of the body that contain JSON as text, as in the forms of some senders. They are parsed, so that "
        "`drop` finds values in them.",
        default=[],
        example=["payload"],
    )
    allows_empty_body: bool = setting(
        Boolean(),
        "Accepts a request without a body, whatever its media type: expressions then see `body` as null and can "
        "read `headers` and `query`. Otherwise such a request is refused (`400`). Not for a sender that signs "
        "only the body: all empty bodies have the same signature, which does not cover the headers.",
        name="allow_empty_body",
        default=False,
        example=True,
    )
    max_events: int = setting(
        WholeNumber(1, MAX_EVENTS),
        "The maximum number of events in a request. A request with more is refused (`413`), and none of its "
        "events are stored.",
        default=DEFAULT_MAX_EVENTS,
        example=500,
    )
    max_bytes: int = setting(
        WholeNumber(1_024, MAX_BODY_BYTES),
        "The maximum size of a request's body in bytes. A larger body is refused (`413`).",
        default=DEFAULT_MAX_BODY_BYTES,
        example=1_048_576,
    )
    dropped_paths: frozenset[tuple[str, ...]] = setting(
        DROPPED_PATHS,
        "Values that are removed from the body before it is read and stored, such as passwords. Lists on the "
        "path are searched, even if the path has no `[]`, and even if the whole body is a list. A body that is "
        "neither valid JSON nor a valid form is then not stored at all.",
        name="drop",
        default=[],
        example=["payload.password"],
    )
    batch_response: str = setting(
        Choice(("ack", "result")),
        "How a request with several events is answered: at once (`202`), or with the outcome of all of them.",
        default="ack",
        example="result",
    )
    stated: frozenset[str] = frozenset()

    @classmethod
    def _make(cls, values: SettingValues) -> Self:
        return replace(super()._make(values), stated=frozenset(values.document))

    def to_json(self) -> dict[str, Any]:
        """Return the settings that the document has: whether an entry is stated has a meaning, also for a default."""
        return {
            one.name: one.to_json(getattr(self, name))
            for name, one in self.settings.items()
            if one.name in self.stated
        }

    @cached_property
    def uses_default_fields(self) -> bool:
        """True if each request is one event with the fields of the default format: the format changes only types, media
        types and limits.
        """
        # The hub's own fields are JSON.
        return self.stated <= _NOT_ABOUT_FIELDS and FORM_TYPE not in self.content_types

    @property
    def has_event_list(self) -> bool:
        """True if the format says where the events are."""
        return "events" in self.stated

    def reads_body_alone(self, name: str) -> bool:
        """True if an entry is read from the body of a request, and from nothing beside it that may not be signed."""
        entry = getattr(self, name)
        if isinstance(entry, Constant):
            return False
        texts = (self.events.text, entry.text)
        is_outside = any(_looks_into(text, part) for text in texts for part in ("headers", "query"))
        return not is_outside and (_looks_into(entry.text, "event") or _looks_into(entry.text, "body"))

    @property
    def entries(self) -> dict[str, ExpressionOrConstant]:
        """The entries that give the parts of one event, by name."""
        values = {one.name: getattr(self, name) for name, one in self.settings.items() if name != "events"}
        return {name: value for name, value in values.items() if isinstance(value, ExpressionOrConstant)}


def _looks_into(expression: str, name: str) -> bool:
    return fields_read(expression, name) != frozenset()


_NOT_ABOUT_FIELDS = frozenset(
    {"entity_types", "event_types", "content_types", "max_events", "max_bytes", "batch_response"}
)
DEFAULT_FORMAT = WebhookFormat.kind.read({}, ())

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
