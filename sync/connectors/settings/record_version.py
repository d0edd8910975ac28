"""Settings of the version of records: where it is read, how a write sends it, and which responses call it outdated.
Pure.
"""

from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from config_schema.errors import SettingPath, SettingsInvalid
from config_schema.kinds import JsonSchema, Text, ValueKind, WholeNumber
from config_schema.objects import ListOf, Object, ObjectRule
from config_schema.settings import Setting, SettingValues, optional, required
from config_schema.translatable import translatable
from sync.connectors.settings.answer_rules import WHEN_TEXT
from sync.connectors.settings.setting_kinds import Expression, HeaderName
from sync.connectors.values.answer_meaning import AnswerRule, Meaning
from webhooks.expressions.jmespath_paths import parse_field_path

FieldPath = tuple[str, ...]

MAX_STALE_RULES = 10
_MAX_PATH_LENGTH = 10
_DEFAULT_STATUS = 412
# These have a meaning of their own, whatever the version.
_OTHER_MEANINGS = frozenset({401, 403, 404, 408, 410, 425, 429})
# Other statuses refuse values too: without a condition, every refusal would be taken for an outdated version.
_UNCONDITIONAL = frozenset({409, 412, 428})


@dataclass(frozen=True, slots=True)
class VersionSettings:
    """Settings of the version of the records of one entity type.

    It is read from `read_header` of a response with one record (lower case), or at `read_path` of each record. A write
    sends it as `send_header`, or at `send_path` of the record; then a request without a body sends it as
    `send_parameter` of the query.
    """

    read_header: str | None
    read_path: FieldPath | None
    send_header: str | None
    send_path: FieldPath | None
    send_parameter: str | None
    stale_rules: tuple[AnswerRule, ...]


@dataclass(frozen=True)
class FieldNames(ValueKind[FieldPath]):
    """A path of field names in JMESPath, and nothing else."""

    label: str = translatable("path of field names")
    limits: str = translatable("at most %(most)s names", most=_MAX_PATH_LENGTH)

    def read(self, value: Any, place: SettingPath) -> FieldPath:
        text = Text().read(value, place)
        names: FieldPath = ()
        # JMESPath raises a ValueError too.
        with suppress(ValueError):
            names = parse_field_path(text)
        if not names or len(names) > _MAX_PATH_LENGTH:
            sentence = translatable("This must be a path of field names such as version or meta.version.")
            raise SettingsInvalid(place, sentence)
        return names

    def to_schema(self) -> JsonSchema:
        name = r'(?:[A-Za-z_][A-Za-z0-9_]*|"(?:[^"\\]|\\.)+")'
        rest = rf"(?:\s*\.\s*{name}){{0,{_MAX_PATH_LENGTH - 1}}}"
        return {"type": "string", "pattern": rf"^\s*{name}{rest}\s*$"}


_READ_HEADER = optional(
    "header", HeaderName(), "The header of a response with one record that has its version.", example="ETag"
)
_READ_PATH = optional("path", FieldNames(), "Where the version is in a record.", example="meta.version")
_SEND_HEADER = optional(
    "header", HeaderName(), "The header of a write that names the version.", example="If-Match"
)
_SEND_FIELD = optional(
    "field", FieldNames(), "The field of the written record that names the version.", example="version"
)
_SEND_QUERY = optional(
    "query",
    Text(),
    "With `field`: the query parameter that names the version in a DELETE request, which has no body.",
    example="version",
)


def _exactly_one(first: Setting[Any], second: Setting[Any]) -> ObjectRule:
    """Return the rule that exactly one of two settings is given, and is not null."""
    alternatives = [
        {"required": [one.name], "properties": {one.name: {"type": "string"}}} for one in (first, second)
    ]
    return ObjectRule(
        translatable(
            "Exactly one of `%(first)s` and `%(second)s` is required.", first=first.name, second=second.name
        ),
        {"oneOf": alternatives},
    )


def _read_place(
    values: SettingValues, header: Setting[str | None], path: Setting[FieldPath | None]
) -> tuple[str | None, FieldPath | None]:
    """Return a header name or a path of field names. Raises SettingsInvalid unless exactly one is given."""
    if (values[header] is None) is (values[path] is None):
        values.reject(
            header,
            translatable(
                "Exactly one of “%(first)s” and “%(second)s” is required.",
                first=header.name,
                second=path.name,
            ),
        )
    return values[header], values[path]


def _build_read(values: SettingValues) -> tuple[str | None, FieldPath | None]:
    name, path = _read_place(values, _READ_HEADER, _READ_PATH)
    return name.lower() if name else None, path


def _build_send(values: SettingValues) -> tuple[str | None, FieldPath | None, str | None]:
    name, path = _read_place(values, _SEND_HEADER, _SEND_FIELD)
    if path is None and values.is_given(_SEND_QUERY):
        values.reject(_SEND_QUERY, "This needs “field”: with a header, every request names the version.")
    return name, path, values[_SEND_QUERY]


_STATUS = required(
    "status",
    WholeNumber(400, 499),
    "The status of the response. 401, 403, 404, 408, 410, 425 and 429 have their own meaning and are "
    "not allowed.",
    example=409,
)
_WHEN = optional(
    "when",
    Expression(),
    translatable(
        "%(meaning)s Only 409, 412 and 428 may be used without it, because other statuses can also mean "
        "refused values.",
        meaning=WHEN_TEXT,
    ),
    example="body.code == 'version'",
)
_STALE_RULES = (
    ObjectRule("", {"properties": {"status": {"not": {"enum": sorted(_OTHER_MEANINGS)}}}}),
    ObjectRule(
        "",
        {
            "anyOf": [
                {"properties": {"status": {"enum": sorted(_UNCONDITIONAL)}}},
                {"required": ["when"], "properties": {"when": {"type": "string"}}},
            ]
        },
    ),
)


def _build_stale_rule(values: SettingValues) -> AnswerRule:
    if values[_STATUS] in _OTHER_MEANINGS:
        values.reject(_STATUS, "This status has another meaning.")
    if values[_WHEN] is None and values[_STATUS] not in _UNCONDITIONAL:
        values.reject(_WHEN, "Only the statuses 409, 412 and 428 may be used without a condition.")
    return AnswerRule(Meaning.STALE, frozenset({values[_STATUS]}), values[_WHEN])


_READ = required(
    "read",
    Object((_READ_HEADER, _READ_PATH), _build_read, (_exactly_one(_READ_HEADER, _READ_PATH),)),
    "Where the version of a record is.",
    example={"header": "ETag"},
)
_SEND = required(
    "send",
    Object(
        (_SEND_HEADER, _SEND_FIELD, _SEND_QUERY),
        _build_send,
        (
            _exactly_one(_SEND_HEADER, _SEND_FIELD),
            ObjectRule(
                "`query` needs `field`.",
                {"if": {"required": ["query"]}, "then": {"required": ["field"]}},
            ),
        ),
    ),
    "How a write names the version.",
    example={"header": "If-Match"},
)
_STALE = optional(
    "stale",
    ListOf(Object((_STATUS, _WHEN), _build_stale_rule, _STALE_RULES), MAX_STALE_RULES),
    translatable(
        "Which responses say that the version is outdated. Without it: every response with status %(status)s.",
        status=_DEFAULT_STATUS,
    ),
    example=[{"status": 409}],
)


def _build_version(values: SettingValues) -> VersionSettings:
    send_header, send_path, parameter = values[_SEND]
    listed = values[_STALE]
    rules = tuple(listed) if listed else (AnswerRule(Meaning.STALE, frozenset({_DEFAULT_STATUS})),)
    return VersionSettings(*values[_READ], send_header, send_path, parameter, rules)


VERSION = optional(
    "version",
    Object((_READ, _SEND, _STALE), _build_version),
    "Makes updates and deletions conditional, if the target can refuse a write to an outdated version. Then "
    "no write overwrites a change that the hub has not seen.",
    example={"read": {"header": "ETag"}, "send": {"header": "If-Match"}},
)
