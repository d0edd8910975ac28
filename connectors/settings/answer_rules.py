"""Settings of what a response means: ordered rules. The first rule that fits decides. Pure."""

import re
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from config_schema.declared import Declared, setting
from config_schema.errors import SettingPath, SettingsInvalid
from config_schema.kinds import Choice, JsonSchema, Text, ValueKind
from config_schema.objects import ListOf
from config_schema.rules import AllOf, AnyOf, Condition, Fits, Is, Requires, Rule, Stated
from connectors.settings.expression_documents import RESPONSE_ROOTS
from connectors.settings.setting_kinds import Expression
from connectors.values.answer_meaning import AnswerRule, Meaning
from connectors.values.json_responses import JmesPathExpression

MAX_RULES = 30
# Of the answers to people: those of `config_schema.codes`.
LANGUAGES = ("en", "fi")
MAX_SENTENCE = 300
# The meanings after which a person is told why their change was rejected.
_SAID_TO_PEOPLE = frozenset({Meaning.REFUSED, Meaning.EXISTS})
MAX_STATUSES = 20
_LOWEST, _HIGHEST = 200, 599
_CLASSES = {f"{first}xx": range(first * 100, first * 100 + 100) for first in range(2, 6)}
# An empty success: it says by itself that nothing was done, or that nothing is there.
NO_CONTENT = 204

MEANING_TEXTS: Mapping[Meaning, str] = {
    Meaning.DONE: "success",
    Meaning.ABSENT: "the item does not exist; this counts only if others can be read",
    Meaning.EXISTS: (
        "a record with such a value exists already; the hub searches again and updates the record that it finds"
    ),
    Meaning.STALE: "the record was changed since it was read; the hub reads and plans again",
    Meaning.REFUSED: "the data is rejected",
    Meaning.CREDENTIALS: "the credentials are refused; a token or session is renewed, once for each request",
    Meaning.THROTTLED: "too many requests",
    Meaning.UNAVAILABLE: "the system does not work at the moment",
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

    label: str = "status, or list of statuses"
    limits: str = f"200 to 599, or `2xx` to `5xx`; 1 to {MAX_STATUSES} in a list"

    def read(self, value: Any, place: SettingPath) -> StatusSet:
        if not isinstance(value, list | tuple):
            return StatusSet(_read_status(value, place), value)
        if not 1 <= len(value) <= MAX_STATUSES:
            raise SettingsInvalid(place, f"This must be a list of 1 to {MAX_STATUSES} statuses.")
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


_SENTENCE = Text(
    re.compile(r"(?=.*\S)[^\x00-\x1f\x7f]{1,300}"),
    f"at most {MAX_SENTENCE} characters",
    f"This must be a sentence of at most {MAX_SENTENCE} characters.",
)


class SentencesByLanguage(dict[str, str]):
    """Sentences by language, and `stated`: as they are written."""

    stated: Any

    def __init__(self, sentences: Mapping[str, str], stated: Any) -> None:
        super().__init__(sentences)
        self.stated = stated


@dataclass(frozen=True)
class SaidSentence(ValueKind[SentencesByLanguage]):
    """Kind of one sentence for all languages of the hub's answers, or an object with one for each."""

    label: str = "sentence, or a sentence for each language"
    limits: str = f"at most {MAX_SENTENCE} characters; for each language: an object with " + " and ".join(
        f"`{language}`" for language in LANGUAGES
    )

    def read(self, value: Any, place: SettingPath) -> SentencesByLanguage:
        if not isinstance(value, Mapping):
            sentence = _SENTENCE.read(value, place)
            return SentencesByLanguage(dict.fromkeys(LANGUAGES, sentence), sentence)
        if set(value) != set(LANGUAGES):
            listed = ", ".join(LANGUAGES)
            raise SettingsInvalid(place, f"This must have one sentence for each of: {listed}.")
        sentences = {language: _SENTENCE.read(value[language], (*place, language)) for language in LANGUAGES}
        return SentencesByLanguage(sentences, dict(value))

    def to_json(self, value: SentencesByLanguage) -> Any:
        return value.stated

    def to_schema(self) -> JsonSchema:
        one = _SENTENCE.to_schema()
        each: JsonSchema = {
            "type": "object",
            "properties": dict.fromkeys(LANGUAGES, one),
            "required": list(LANGUAGES),
            "additionalProperties": False,
        }
        return {"anyOf": [one, each]}


WHEN_TEXT = (
    "An expression that must be true of the response: an object with `status`, `headers` (names in lower case) and "
    "`body`: the parsed JSON, null if it is empty, or its text if it is not JSON."
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
        f"{WHEN_TEXT} Without it, the rule applies to every response with the status.",
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
    listed = "; ".join(f"`{one}` ({MEANING_TEXTS[one]})" for one in meanings)
    choices = tuple(meanings)
    told = [meaning.value for meaning in choices if meaning in _SAID_TO_PEOPLE]

    class StatedRule(AnswerCondition):
        means: Meaning = setting(Choice(choices), f"What it means: {listed}.", example=choices[0])
        says: Mapping[str, str] | None = setting(
            SaidSentence(),
            "The sentence that answers to the source contain in place of the system's message, for example because "
            "people would not understand it. One sentence for all languages of answers, or one for each. Operators "
            "still see the message of the system with the attempt.",
            default=None,
            example={
                "en": "This address is already taken. Use another one.",
                "fi": "Osoite on jo käytössä. Anna toinen osoite.",
            },
        )

        rules = (
            *AnswerCondition.rules,
            Requires(
                sentence="An error status may mean `done` only with `when`.",
                when=AllOf(_HAS_ERROR, _MEANS_DONE),
                then=_HAS_WHEN,
                at="when",
            ),
            Requires(
                sentence="Only a rule that means `refused` or `exists` has `says`.",
                when=Stated("says"),
                then=Is("means", *told),
                at="says",
            ),
        )

    return ListOf(StatedRule.kind, MAX_RULES)
