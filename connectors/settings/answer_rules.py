"""Settings of what a response means: ordered rules. The first rule that fits decides. Pure."""

from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from config_schema.declared import Declared, setting
from config_schema.errors import SettingPath, SettingsInvalid
from config_schema.kinds import Choice, JsonSchema, ValueKind
from config_schema.objects import ListOf
from config_schema.rules import AllOf, AnyOf, Condition, Fits, Is, Requires, Rule, Stated
from config_schema.translatable import join_texts, translatable
from connectors.settings.expression_documents import RESPONSE_ROOTS
from connectors.settings.setting_kinds import Expression
from connectors.values.answer_meaning import AnswerRule, Meaning
from connectors.values.json_responses import JmesPathExpression

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


class StatusSet(frozenset[int]):
    """Statuses, and `stated`: as they are written."""

    stated: Any

    def __new__(cls, statuses: Iterable[int], stated: Any) -> "StatusSet":
        made = super().__new__(cls, statuses)
        made.stated = stated
        return made


@dataclass(frozen=True)
class Statuses(ValueKind[StatusSet]):
    """One or more HTTP statuses, each a number or a class such as `4xx`."""

    label: str = translatable("status, or list of statuses")
    limits: str = translatable("200 to 599, or `2xx` to `5xx`; 1 to %(most)s in a list", most=MAX_STATUSES)

    def read(self, value: Any, place: SettingPath) -> StatusSet:
        if not isinstance(value, list | tuple):
            return StatusSet(_read_status(value, place), value)
        if not 1 <= len(value) <= MAX_STATUSES:
            raise SettingsInvalid(
                place, translatable("This must be a list of 1 to %(most)s statuses.", most=MAX_STATUSES)
            )
        parts = [_read_status(item, (*place, index)) for index, item in enumerate(value)]
        return StatusSet((status for part in parts for status in part), list(value))

    def to_json(self, value: StatusSet) -> Any:
        return value.stated

    def to_schema(self) -> JsonSchema:
        one: JsonSchema = {
            "anyOf": [{"type": "integer", "minimum": _LOWEST, "maximum": _HIGHEST}, {"enum": list(_CLASSES)}]
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

_HAS_WHEN = Stated("when")
_MEANS_DONE = Is("means", Meaning.DONE.value)


def _has_status(test: Callable[[int], bool], *schemas: JsonSchema) -> Condition:
    """Return the condition that `status` is, or lists, a status that passes a test and has one of these schemas."""
    schema = {"anyOf": [*schemas, {"type": "array", "contains": {"anyOf": list(schemas)}}]}
    return Fits("status", schema, lambda statuses: any(map(test, statuses)))


_HAS_SUCCESS = _has_status(
    lambda status: status < 300 and status != NO_CONTENT,
    {"type": "integer", "minimum": 200, "maximum": 299, "not": {"const": NO_CONTENT}},
    {"const": "2xx"},
)
_HAS_ERROR = _has_status(
    lambda status: status >= 300,
    {"type": "integer", "minimum": 300},
    {"enum": [name for name in _CLASSES if name != "2xx"]},
)


class AnswerCondition(AnswerRule, Declared):
    """A condition under which a response has a meaning. A subclass says which meaning."""

    statuses: StatusSet | frozenset[int] = setting(
        Statuses(),
        "The status of the response: a number, a class such as `4xx`, or a list of them. Without it, the rule "
        "applies to every status.",
        name="status",
        default=None,
        absent=frozenset(),
        example=403,
    )
    condition: JmesPathExpression | None = setting(
        Expression(roots=RESPONSE_ROOTS),
        translatable(
            "%(meaning)s Without it, the rule applies to every response with the status.", meaning=WHEN_TEXT
        ),
        name="when",
        default=None,
        example="body.errors[0].extensions.code == 'FORBIDDEN'",
    )

    # Without them a rule would be true of every response, or of every success.
    rules: ClassVar[tuple[Rule, ...]] = (
        Requires(
            sentence="A rule has `status`, `when`, or both.",
            then=AnyOf(Stated("status"), _HAS_WHEN),
            at="status",
        ),
        Requires(
            sentence="A rule about a 2xx status other than 204 needs `when`, unless it means `done`: otherwise it "
            "would match every success.",
            when=_HAS_SUCCESS,
            then=AnyOf(_HAS_WHEN, _MEANS_DONE),
            at="when",
        ),
    )


class CredentialsCondition(AnswerCondition):
    """A condition under which the credentials are refused."""

    means: Meaning = Meaning.CREDENTIALS


CREDENTIALS_CONDITIONS = ListOf(CredentialsCondition.kind, MAX_RULES)


def rule_list(meanings: Collection[Meaning]) -> ListOf[Any]:
    """Return the kind of ordered rules that may give one of these meanings."""
    listed = join_texts(
        "; ",
        (join_texts(" ", (f"`{one}`", join_texts("", ("(", MEANING_TEXTS[one], ")")))) for one in meanings),
    )
    choices = tuple(meanings)

    class StatedRule(AnswerCondition):
        means: Meaning = setting(
            Choice(choices), translatable("What it means: %(names)s.", names=listed), example=choices[0]
        )

        rules = (
            *AnswerCondition.rules,
            Requires(
                sentence="An error status may mean `done` only with `when`.",
                when=AllOf(_HAS_ERROR, _MEANS_DONE),
                then=_HAS_WHEN,
                at="when",
            ),
        )

    return ListOf(StatedRule.kind, MAX_RULES)
