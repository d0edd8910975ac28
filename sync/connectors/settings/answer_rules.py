"""Settings of what a response means: ordered rules over status and body. Pure."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from config_schema.errors import Place, SettingsInvalid
from config_schema.kinds import Choice, JsonSchema, Kind
from config_schema.objects import ListOf, Object, Rule
from config_schema.settings import Setting, Values, optional, required
from sync.connectors.settings.setting_kinds import Expression
from sync.connectors.values.answer_meaning import AnswerRule, Meaning, StatusRange

MAX_RULES = 30
MAX_STATUSES = 10
_LOWEST, _HIGHEST = 200, 599
_CLASSES = {"2xx": (200, 299), "3xx": (300, 399), "4xx": (400, 499), "5xx": (500, 599)}
# An empty success: it says by itself that nothing was done, or that nothing is there.
_NO_CONTENT = 204

MEANING_TEXTS: Mapping[Meaning, str] = {
    Meaning.DONE: "the request succeeded",
    Meaning.ABSENT: "the item does not exist",
    Meaning.EXISTS: "another record has a value that must be unique",
    Meaning.STALE: "the record was changed since it was read",
    Meaning.REFUSED: "the data is rejected",
    Meaning.CREDENTIALS: "the credentials are refused",
    Meaning.THROTTLED: "there were too many requests",
    Meaning.UNAVAILABLE: "the system does not work at the moment",
}


@dataclass(frozen=True)
class Statuses(Kind[tuple[StatusRange, ...]]):
    """One or more HTTP statuses, each a number or a class such as `4xx`."""

    label: str = "status, or list of statuses"
    limits: str = f"200 to 599, or `2xx` to `5xx`; 1 to {MAX_STATUSES} in a list"

    def read(self, value: Any, place: Place) -> tuple[StatusRange, ...]:
        if not isinstance(value, list | tuple):
            return (_read_status(value, place),)
        if not 1 <= len(value) <= MAX_STATUSES:
            raise SettingsInvalid(place, f"This must be a list of 1 to {MAX_STATUSES} statuses.")
        return tuple(_read_status(item, (*place, index)) for index, item in enumerate(value))

    def to_schema(self) -> JsonSchema:
        one: JsonSchema = {
            "anyOf": [
                {"type": "integer", "minimum": _LOWEST, "maximum": _HIGHEST},
                {"enum": list(_CLASSES)},
            ]
        }
        listed = {"type": "array", "minItems": 1, "maxItems": MAX_STATUSES, "items": one}
        return {"anyOf": [*one["anyOf"], listed]}


def _read_status(value: Any, place: Place) -> StatusRange:
    if isinstance(value, str) and value in _CLASSES:
        return StatusRange(*_CLASSES[value])
    if isinstance(value, bool) or not isinstance(value, int) or not _LOWEST <= value <= _HIGHEST:
        raise SettingsInvalid(place, "This must be a status from 200 to 599, or a class such as 4xx.")
    return StatusRange(value, value)


_STATUS = optional(
    "status",
    Statuses(),
    "The status of the response: a number, a class such as `4xx`, or a list of them. Without it, the rule is about "
    "every status.",
    example=403,
    is_nullable=False,
)
_WHEN = optional(
    "when",
    Expression(),
    "An expression that must be true of the body. An empty body is null, and a body that is not JSON fits no "
    "expression. Without it, the rule is about every body.",
    example="errors[0].extensions.code == 'FORBIDDEN'",
    is_nullable=False,
)


def answer_rules(
    meanings: Iterable[Meaning], meaning: str, *, example: Any, name: str = "answers"
) -> Setting[list[AnswerRule] | None]:
    """Return the setting of ordered rules that may give one of `meanings`; read it with `read_rules`."""
    allowed = tuple(meanings)
    listed = ", ".join(f"`{one}` ({MEANING_TEXTS[one]})" for one in allowed)
    means = required(
        "means",
        Choice(tuple(one.value for one in allowed)),
        f"What it means: {listed}.",
        example=allowed[0].value,
    )

    def build(values: Values) -> AnswerRule:
        statuses = values[_STATUS]
        rule = AnswerRule(Meaning(values[means]), statuses or (), values[_WHEN])
        _refuse_careless(values, rule)
        return rule

    return optional(
        name, ListOf(Object((_STATUS, _WHEN, means), build, _RULES), MAX_RULES), meaning, example=example
    )


def answer_conditions(
    name: str, means: Meaning, meaning: str, *, example: Any
) -> Setting[list[AnswerRule] | None]:
    """Return the setting of conditions under which a response has one meaning; read it with `read_rules`."""

    def build(values: Values) -> AnswerRule:
        statuses = values[_STATUS]
        rule = AnswerRule(means, statuses or (), values[_WHEN])
        _refuse_careless(values, rule)
        return rule

    return optional(
        name, ListOf(Object((_STATUS, _WHEN), build, _RULES), MAX_RULES), meaning, example=example
    )


def read_rules(values: Values, setting: Setting[list[AnswerRule] | None]) -> tuple[AnswerRule, ...]:
    """Return the rules of a setting, in their order."""
    rules = values[setting]
    return tuple(rules or ())


_HAS_WHEN = {"required": ["when"]}
_SUCCESS = {
    "anyOf": [
        {"type": "integer", "minimum": 200, "maximum": 299, "not": {"const": _NO_CONTENT}},
        {"const": "2xx"},
    ]
}
_LISTS_SUCCESS = {"anyOf": [*_SUCCESS["anyOf"], {"type": "array", "contains": _SUCCESS}]}
_RULES = (
    Rule(
        "A rule has `status`, `when`, or both.",
        {"anyOf": [{"required": ["status"]}, _HAS_WHEN]},
    ),
    Rule(
        "A rule about a 2xx status other than 204 needs `when`, unless it means `done`: it would be true of every "
        "success.",
        {
            "anyOf": [
                _HAS_WHEN,
                {"properties": {"means": {"const": Meaning.DONE.value}}, "required": ["means"]},
                {"properties": {"status": {"not": _LISTS_SUCCESS}}},
            ]
        },
    ),
)


def _refuse_careless(values: Values, rule: AnswerRule) -> None:
    """Refuse a rule that would be true of every response, or of every success. Raises SettingsInvalid."""
    if rule.condition is not None:
        return
    if not rule.statuses:
        values.reject(_STATUS, "A rule needs “status”, “when”, or both.")
    if rule.means is Meaning.DONE:
        return
    if any(_covers_success(statuses) for statuses in rule.statuses):
        values.reject(_WHEN, "A rule about a 2xx status other than 204 needs “when”, unless it means “done”.")


def _covers_success(statuses: StatusRange) -> bool:
    return any(status in statuses for status in range(200, 300) if status != _NO_CONTENT)
