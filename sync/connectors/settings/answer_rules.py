"""Settings of what a response means: ordered rules. The first rule that fits decides. Pure."""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from config_schema.errors import SettingPath, SettingsInvalid
from config_schema.kinds import Choice, JsonSchema, ValueKind
from config_schema.objects import ListOf, Object, ObjectRule
from config_schema.settings import Setting, SettingValues, optional, required
from config_schema.translatable import join_texts, translatable
from sync.connectors.settings.setting_kinds import Expression
from sync.connectors.values.answer_meaning import AnswerRule, Meaning

MAX_RULES = 30
MAX_STATUSES = 20
_LOWEST, _HIGHEST = 200, 599
_CLASSES = {f"{first}xx": range(first * 100, first * 100 + 100) for first in range(2, 6)}
# An empty success: it says by itself that nothing was done, or that nothing is there.
NO_CONTENT = 204

MEANING_TEXTS: Mapping[Meaning, str] = {
    Meaning.DONE: translatable("success"),
    Meaning.ABSENT: translatable("the item does not exist; this counts only if others can be read"),
    Meaning.EXISTS: translatable(
        "a record with such a value exists already; the hub searches again and updates the record that "
        "it finds"
    ),
    Meaning.STALE: translatable("the record was changed since it was read; the hub reads and plans again"),
    Meaning.REFUSED: translatable("the data is rejected"),
    Meaning.CREDENTIALS: translatable(
        "the credentials are refused; a token or session is renewed, once for each request"
    ),
    Meaning.THROTTLED: translatable("too many requests"),
    Meaning.UNAVAILABLE: translatable("the system does not work at the moment"),
}


@dataclass(frozen=True)
class Statuses(ValueKind[tuple[frozenset[int], Any]]):
    """One or more HTTP statuses, each a number or a class such as `4xx`. Reading returns them, and as they are
    written.
    """

    label: str = translatable("status, or list of statuses")
    limits: str = translatable("200 to 599, or `2xx` to `5xx`; 1 to %(most)s in a list", most=MAX_STATUSES)

    def read(self, value: Any, place: SettingPath) -> tuple[frozenset[int], Any]:
        if not isinstance(value, list | tuple):
            return frozenset(_read_status(value, place)), value
        if not 1 <= len(value) <= MAX_STATUSES:
            raise SettingsInvalid(
                place, translatable("This must be a list of 1 to %(most)s statuses.", most=MAX_STATUSES)
            )
        parts = [_read_status(item, (*place, index)) for index, item in enumerate(value)]
        return frozenset(status for part in parts for status in part), list(value)

    def to_schema(self) -> JsonSchema:
        one: JsonSchema = {
            "anyOf": [
                {"type": "integer", "minimum": _LOWEST, "maximum": _HIGHEST},
                {"enum": list(_CLASSES)},
            ]
        }
        listed = {"type": "array", "minItems": 1, "maxItems": MAX_STATUSES, "items": one}
        return {"anyOf": [*one["anyOf"], listed]}


def _read_status(value: Any, place: SettingPath) -> Iterable[int]:
    if isinstance(value, str) and value in _CLASSES:
        return _CLASSES[value]
    if isinstance(value, bool) or not isinstance(value, int) or not _LOWEST <= value <= _HIGHEST:
        raise SettingsInvalid(place, "This must be a status from 200 to 599, or a class such as 4xx.")
    return (value,)


WHEN_TEXT = translatable(
    "An expression that must be true of the response: an object with `status`, `headers` (names in lower "
    "case) and `body`: the parsed JSON, null if it is empty, or its text if it is not JSON."
)
_STATUS = optional(
    "status",
    Statuses(),
    "The status of the response: a number, a class such as `4xx`, or a list of them. Without it, the rule "
    "applies to every status.",
    example=403,
    is_nullable=False,
)
_WHEN = optional(
    "when",
    Expression(),
    translatable(
        "%(meaning)s Without it, the rule applies to every response with the status.", meaning=WHEN_TEXT
    ),
    example="body.errors[0].extensions.code == 'FORBIDDEN'",
    is_nullable=False,
)


def answer_rules(
    meanings: Iterable[Meaning], meaning: str, *, example: Any
) -> Setting[list[AnswerRule] | None]:
    """Return the setting of ordered rules that may give one of `meanings`; read it with `read_rules`."""
    allowed = tuple(meanings)
    listed = join_texts(
        "; ",
        (join_texts(" ", (f"`{one}`", join_texts("", ("(", MEANING_TEXTS[one], ")")))) for one in allowed),
    )
    means = required(
        "means",
        Choice(tuple(one.value for one in allowed)),
        translatable("What it means: %(names)s.", names=listed),
        example=allowed[0].value,
    )

    def build(values: SettingValues) -> AnswerRule:
        return _make_rule(values, Meaning(values[means]))

    kind = ListOf(Object((_STATUS, _WHEN, means), build, _RULES), MAX_RULES)
    return optional("answers", kind, meaning, example=example)


def answer_conditions(
    name: str, means: Meaning, meaning: str, *, example: Any
) -> Setting[list[AnswerRule] | None]:
    """Return the setting of conditions under which a response has one meaning; read it with `read_rules`."""
    kind = ListOf(Object((_STATUS, _WHEN), lambda values: _make_rule(values, means), _RULES), MAX_RULES)
    return optional(name, kind, meaning, example=example)


def read_rules(values: SettingValues, setting: Setting[list[AnswerRule] | None]) -> tuple[AnswerRule, ...]:
    """Return the rules of a setting, in their order."""
    rules = values[setting]
    return tuple(rules or ())


def rules_to_json(rules: Iterable[AnswerRule]) -> list[dict[str, Any]]:
    """Return rules as they are written in settings."""
    return [
        {
            **({"status": json.loads(json.dumps(rule.stated))} if rule.stated is not None else {}),
            **({"when": rule.condition.text} if rule.condition else {}),
            "means": rule.means.value,
        }
        for rule in rules
    ]


_HAS_WHEN = {"required": ["when"]}
_IS_DONE = {"properties": {"means": {"const": Meaning.DONE.value}}, "required": ["means"]}


def _lists_status(*one: JsonSchema) -> JsonSchema:
    """Return the schema of a setting that is, or lists, a status of these schemas."""
    return {"anyOf": [*one, {"type": "array", "contains": {"anyOf": list(one)}}]}


_SUCCESS = _lists_status(
    {"type": "integer", "minimum": 200, "maximum": 299, "not": {"const": NO_CONTENT}}, {"const": "2xx"}
)
_ERROR = _lists_status(
    {"type": "integer", "minimum": 300}, {"enum": [name for name in _CLASSES if name != "2xx"]}
)
_RULES = (
    ObjectRule(
        "A rule has `status`, `when`, or both.",
        {"anyOf": [{"required": ["status"]}, _HAS_WHEN]},
    ),
    ObjectRule(
        "A rule about a 2xx status other than 204 needs `when`, unless it means `done`: otherwise it would "
        "match every success.",
        {"anyOf": [_HAS_WHEN, _IS_DONE, {"properties": {"status": {"not": _SUCCESS}}}]},
    ),
    ObjectRule(
        "An error status may mean `done` only with `when`.",
        {"anyOf": [_HAS_WHEN, {"not": _IS_DONE}, {"properties": {"status": {"not": _ERROR}}}]},
    ),
)


def _make_rule(values: SettingValues, means: Meaning) -> AnswerRule:
    """Return a rule. Raises SettingsInvalid if it would be true of every response, of every success, or would hide
    every failure.
    """
    statuses, stated = values[_STATUS] or (frozenset(), None)
    rule = AnswerRule(means, statuses, values[_WHEN], stated)
    if rule.condition is not None:
        return rule
    if not statuses:
        values.reject(_STATUS, "A rule needs “status”, “when”, or both.")
    if means is Meaning.DONE:
        if any(status >= 300 for status in statuses):
            values.reject(_WHEN, "An error may count as success only under a condition.")
    elif any(200 <= status < 300 and status != NO_CONTENT for status in statuses):
        values.reject(_WHEN, "A rule about a 2xx status other than 204 needs “when”, unless it means “done”.")
    return rule
