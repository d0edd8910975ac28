"""Settings of a target with a REST API. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from config_schema.errors import SettingPath, SettingsInvalid
from config_schema.kinds import Boolean, JsonSchema, TextList, ValueKind
from config_schema.objects import MapOf, Object
from config_schema.settings import SettingValues, defaulted, optional, required
from config_schema.translatable import translatable
from sync.connectors.settings.answer_rules import answer_rules, read_rules
from sync.connectors.settings.operations.operation import (
    OBJECT_STYLES,
    OPERATIONS,
    Operation,
    Operations,
    has_bare_quoted_id,
)
from sync.connectors.settings.record_version import VERSION, VersionSettings
from sync.connectors.settings.setting_kinds import (
    ENTITY_TYPE,
    ENTITY_TYPE_SENTENCE,
    Expression,
    HeaderName,
)
from sync.connectors.settings.shared_settings import (
    ERROR_FIELDS,
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
from sync.connectors.values.answer_meaning import STATED_MEANINGS, AnswerRule
from sync.connectors.values.json_responses import ErrorExtractor, JmesPathExpression

_MAX_CHARACTERS = 100
# What no id may hold, however it is escaped: it would end a path, or is an escape already.
_REFUSED_CHARACTERS = frozenset("%?#")


@dataclass(frozen=True, slots=True)
class RecordSettings:
    """Settings of the records of one entity type.

    The request `probe` succeeds as long as the credentials are valid. `version` says how updates and deletions are made
    conditional; None if they are not. If `id_may_change`, an update may give the record another id.
    """

    operations: Operations
    id_expression: JmesPathExpression
    probe: ReadRequest | None
    version: VersionSettings | None
    id_may_change: bool


@dataclass(frozen=True, slots=True)
class TargetSettings:
    """Settings of a target.

    `entities` is keyed by upper-case entity type. `caseless_fields` are compared case-folded. `id_characters` are the
    characters that ids may contain in addition to the usual ones. The rules in `answers` apply to the responses of
    every operation.
    """

    entities: Mapping[str, RecordSettings]
    caseless_fields: frozenset[str]
    options: ConnectionOptions
    error_extractor: ErrorExtractor
    idempotency_header: str | None
    id_characters: frozenset[str]
    answers: tuple[AnswerRule, ...]


@dataclass(frozen=True)
class IdCharacters(ValueKind[frozenset[str]]):
    """Characters that ids may hold."""

    label: str = translatable("text")
    limits: str = translatable(
        "at most %(most)s printable characters; none of `%%`, `?`, `#`", most=_MAX_CHARACTERS
    )

    def read(self, value: Any, place: SettingPath) -> frozenset[str]:
        if not isinstance(value, str):
            raise SettingsInvalid(place, "This must be a text.")
        if len(value) > _MAX_CHARACTERS or not value.isprintable() or _REFUSED_CHARACTERS & set(value):
            sentence = translatable(
                "This must be at most %(most)s printable characters; none of %%, ?, #.", most=_MAX_CHARACTERS
            )
            raise SettingsInvalid(place, sentence)
        return frozenset(value)

    def to_schema(self) -> JsonSchema:
        return {"type": "string", "maxLength": _MAX_CHARACTERS, "pattern": r"^[^%?#\x00-\x1f\x7f]*$"}


_ID = defaulted("id", Expression(), "id", "Where the id is in a record.", example="id")
_ID_MAY_CHANGE = defaulted(
    "id_may_change",
    Boolean(),
    False,
    "True if the response to an update may have a new id, which the record has from then on. Otherwise such "
    "a response is refused.",
    example=True,
)


def _build_records(values: SettingValues) -> RecordSettings:
    operations = values[OPERATIONS]
    _require_versions_sent(values, operations, values[VERSION])
    return RecordSettings(
        operations,
        values[_ID],
        values[PROBE],
        values[VERSION],
        id_may_change=values[_ID_MAY_CHANGE],
    )


def _require_versions_sent(
    values: SettingValues, operations: Operations, version: VersionSettings | None
) -> None:
    """Reject settings by which a write would not name the version of its record."""
    if version is None:
        return
    if operations.updates[0].when is not None:
        sentence = translatable("The first update names the version, so it must not have “when”.")
        values.reject(OPERATIONS, sentence)
    if version.send_path is None:
        return
    for operation in (operations.updates[0], operations.delete):
        if operation is not None and not _can_send_field(operation):
            sentence = translatable(
                "With “version.send.field”, the body of an update or deletion must contain `sent` or `version`."
            )
            values.reject(OPERATIONS, sentence)


def _can_send_field(operation: Operation) -> bool:
    """Return True if the version, as one of the fields, reaches the target with this operation."""
    if operation.uses("version"):
        return True
    if operation.body is None:
        # A DELETE names it in the query: `record_versions.can_send_version`.
        return operation.encoding != "none" and operation.style in OBJECT_STYLES
    return operation.uses("sent") and operation.style in OBJECT_STYLES


# What was written before there were operations only.
_FORMER_SETTINGS = {
    "collection": translatable("Unknown field. Write this as the `path` of `operations.create`."),
    "item": translatable(
        "Unknown field. Write this as the `path` of `operations.get`, `operations.update` and `operations.delete`."
    ),
    "record": translatable(
        "Unknown field. Write this as `result` of `operations.get`, `operations.create` and `operations.update`."
    ),
    "wrap": translatable(
        "Unknown field. Write this as `body` of `operations.create` and `operations.update`: "
        "{“customer”: {“expression”: “sent”}}."
    ),
    "search": translatable(
        "Unknown field. Write this as `operations.search`, `results` as its `result`, and {quoted} as {value:quoted}."
    ),
    "list": translatable("Unknown field. Write this as `operations.list`, and `results` as its `result`."),
    "create": translatable("Unknown field. Write this as `operations.create`, with its `path`."),
    "update": translatable(
        "Unknown field. Write this as `operations.update`, with its `path`; PUT needs “style”: “replace”."
    ),
    "delete": translatable("Unknown field. Write this as `operations.delete`, with its `path`."),
}
RECORDS = Object((_ID, PROBE, VERSION, OPERATIONS, _ID_MAY_CHANGE), _build_records, hints=_FORMER_SETTINGS)

_ENTITIES = required(
    "entities",
    MapOf(RECORDS, "TYPE", 1, None, ENTITY_TYPE, ENTITY_TYPE_SENTENCE, str.upper),
    "How records are read and written, by entity type as in the webhooks. Case does not matter.",
    example={"USER": {"operations": OPERATIONS.example}},
)
_CASELESS = defaulted(
    "caseless",
    TextList(),
    [],
    "Fields of records whose values are compared without case, in every entity type.",
    example=["email"],
)
_IDEMPOTENCY_HEADER = optional(
    "idempotency_header",
    HeaderName(),
    "The header in which the target accepts an idempotency key. A write that is sent twice then counts once.",
    example="Idempotency-Key",
)
_ID_CHARACTERS = defaulted(
    "id_characters",
    IdCharacters(),
    "",
    "Characters that ids of records may contain in addition to letters, digits and `._~:@|+=-`, such as a "
    "space, or the slashes of `gid://shop/Customer/1`. They are always escaped into one segment of a path.",
    example=" /",
)
_ANSWERS = answer_rules(
    STATED_MEANINGS,
    translatable(
        "What responses mean: the first rule that matches decides. Without a match, the status decides: 2xx "
        "is success, 404 and 410 mean `absent` for a read or a deletion, 401 and 403 `credentials`, 429 "
        "`throttled`, 408, 425 and 5xx `unavailable`, and any other 4xx `refused`."
    ),
    example=[{"status": 400, "when": "body.errors[0].code == 'RECORD_NOT_UNIQUE'", "means": "exists"}],
)
_ERROR = defaulted(
    "error",
    Object(
        (ERROR_SENTENCE, ERROR_FIELDS, ERROR_HEADER, ERROR_WAIT, ERROR_WAIT_HEADER),
        lambda values: ErrorExtractor(
            values[ERROR_SENTENCE],
            values[ERROR_FIELDS],
            (values[ERROR_HEADER] or "").lower() or None,
            values[ERROR_WAIT],
            values[ERROR_WAIT_HEADER],
        ),
        hints=ERROR_HINTS,
    ),
    {},
    "What error responses say.",
    example={"sentence": "message"},
)


def _require_styled_ids(values: SettingValues) -> None:
    """Reject paths in which an id that contains a quote would end the quotes around it."""
    for known in values[_ENTITIES].values():
        if any(has_bare_quoted_id(operation) for _, operation in known.operations.items()):
            sentence = translatable(
                "Ids may contain quotes, so an id in quotes in a path needs a style such as {id:odata}."
            )
            values.reject(_ID_CHARACTERS, sentence)


def _build_settings(values: SettingValues) -> TargetSettings:
    if values[_ID_CHARACTERS] & {"'", '"', "\\"}:
        _require_styled_ids(values)
    return TargetSettings(
        entities=values[_ENTITIES],
        caseless_fields=frozenset(values[_CASELESS]),
        options=read_options(values),
        error_extractor=values[_ERROR],
        idempotency_header=values[_IDEMPOTENCY_HEADER],
        id_characters=values[_ID_CHARACTERS],
        answers=read_rules(values, _ANSWERS),
    )


TARGET_SETTINGS = Object(
    (_ENTITIES, _CASELESS, _IDEMPOTENCY_HEADER, _ID_CHARACTERS, *OPTIONS, _ERROR, _ANSWERS), _build_settings
)
