"""Settings of what the answers of a target mean: ordered rules, of which the first that fits decides. Pure."""

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from config_schema.errors import Place, SettingsInvalid
from config_schema.kinds import Choice, JsonSchema, Kind
from config_schema.objects import ListOf, Object, Rule
from config_schema.settings import Setting, Values, optional, required
from sync.connectors.settings.setting_kinds import Expression
from sync.connectors.values.json_responses import JmesPathExpression, UnreadableError, parse_json

MAX_RULES = 20
_MAX_STATUSES = 20
_LOWEST, _HIGHEST = 200, 599
# Of a body that is not JSON.
_MAX_TEXT = 65_536
_STATUS_CLASS = re.compile(r"[2-5]xx")

# For each meaning, the status that has it by default: a rule translates an answer into it.
STATUS_OF_MEANING: Mapping[str, int] = {
    "done": 200,
    "absent": 404,
    "exists": 409,
    "stale": 412,
    "refused": 422,
    "credentials": 401,
    "throttled": 429,
    "unavailable": 503,
}


@dataclass(frozen=True, slots=True)
class AnswerRule:
    """What an answer means that has one of the statuses and for which `condition`, if any, is true.

    `stated`: the statuses as they were written.
    """

    statuses: frozenset[int]
    condition: JmesPathExpression | None
    means: str
    stated: Any

    def fits_answer(self, document: Mapping[str, Any]) -> bool:
        """Return True if the rule fits an answer of {status, body, headers}. Raises ExpressionOverBudget."""
        if document["status"] not in self.statuses:
            return False
        return self.condition is None or self.condition.is_true(document)


def find_meaning(
    rules: Iterable[AnswerRule], status: int, headers: Mapping[str, str], body: bytes
) -> str | None:
    """Return the meaning of an answer by the first rule that fits; None if none does. Raises ExpressionOverBudget."""
    candidates = [rule for rule in rules if status in rule.statuses]
    if not candidates:
        return None
    document = {"status": status, "headers": dict(headers), "body": _read_body(body)}
    return next((rule.means for rule in candidates if rule.fits_answer(document)), None)


def _read_body(body: bytes) -> Any:
    """Return the JSON of a body; its first 64 KiB as text if it is none."""
    try:
        return parse_json(body)
    except UnreadableError:
        return body[:_MAX_TEXT].decode("utf-8", "replace")


@dataclass(frozen=True)
class Statuses(Kind[frozenset[int]]):
    """A status, a class of them such as `4xx`, or a list of both."""

    label: str = "status or list of statuses"
    limits: str = f"{_LOWEST} to {_HIGHEST}, or `2xx`, `3xx`, `4xx`, `5xx`; at most {_MAX_STATUSES} of them"

    def read(self, value: Any, place: Place) -> frozenset[int]:
        items = value if isinstance(value, list | tuple) else [value]
        if not 1 <= len(items) <= _MAX_STATUSES:
            raise SettingsInvalid(place, f"This must be a list of 1 to {_MAX_STATUSES} statuses.")
        return frozenset(status for item in items for status in self._read_item(item, place))

    def _read_item(self, item: Any, place: Place) -> Iterable[int]:
        if isinstance(item, str) and _STATUS_CLASS.fullmatch(item):
            first = int(item[0]) * 100
            return range(first, first + 100)
        if isinstance(item, bool) or not isinstance(item, int) or not _LOWEST <= item <= _HIGHEST:
            sentence = f"This must be a status from {_LOWEST} to {_HIGHEST}, or a class such as 4xx."
            raise SettingsInvalid(place, sentence)
        return (item,)

    def to_schema(self) -> JsonSchema:
        one = {
            "anyOf": [
                {"type": "integer", "minimum": _LOWEST, "maximum": _HIGHEST},
                {"type": "string", "pattern": f"^{_STATUS_CLASS.pattern}$"},
            ]
        }
        return {"anyOf": [one, {"type": "array", "minItems": 1, "maxItems": _MAX_STATUSES, "items": one}]}


_STATUS = required(
    "status",
    Statuses(),
    "The statuses of the answers that the rule is about.",
    example=[400, 422],
)
_WHEN: Setting[JmesPathExpression | None] = optional(
    "when",
    Expression(),
    "An expression that must be true of the answer, an object with `status`, `headers` (names in lower case) and "
    "`body`: the JSON of the body, or its text if it is no JSON.",
    example="body.errors[0].extensions.code == 'RECORD_NOT_UNIQUE'",
)
_MEANS = required(
    "means",
    Choice(tuple(STATUS_OF_MEANING)),
    "What the answer means. `done`: success. `absent`: there is no such record; it is believed only if other records "
    "can be read. `exists`: a record with such a value exists already; the hub searches again and updates what it "
    "finds. `stale`: the record was changed since it was read; the hub reads and plans again. `refused`: the target "
    "does not accept the data. `credentials`: it does not accept the credentials. `throttled`: too many requests. "
    "`unavailable`: it cannot answer now.",
    example="exists",
)


def _build_rule(values: Values) -> AnswerRule:
    statuses = values[_STATUS]
    if values[_MEANS] == "done" and values[_WHEN] is None and any(status >= 300 for status in statuses):
        values.reject(_WHEN, "An error may count as success only under a condition.")
    return AnswerRule(statuses, values[_WHEN], values[_MEANS], values.document[_STATUS.name])


ANSWER_RULE = Object(
    (_STATUS, _WHEN, _MEANS),
    _build_rule,
    (Rule("An error status may mean `done` only with `when`."),),
)


def answers_setting(meaning: str) -> Setting[list[AnswerRule] | None]:
    """Return the setting of a list of rules."""
    return optional(
        "answers",
        ListOf(ANSWER_RULE, MAX_RULES),
        meaning,
        example=[{"status": 400, "when": "body.errors[0].code == 'RECORD_NOT_UNIQUE'", "means": "exists"}],
    )


def rules_of(values: Values, setting: Setting[list[AnswerRule] | None]) -> tuple[AnswerRule, ...]:
    """Return the rules of a setting that `answers_setting` made."""
    rules = values[setting]
    return tuple(rules) if rules else ()


def rules_to_json(rules: Iterable[AnswerRule]) -> list[dict[str, Any]]:
    """Return rules as they are written in settings."""
    return [
        {
            "status": json.loads(json.dumps(rule.stated)),
            **({"when": rule.condition.text} if rule.condition else {}),
            "means": rule.means,
        }
        for rule in rules
    ]
