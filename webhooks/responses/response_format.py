"""Response formats of sources: the settings of each. Pure."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from config_schema.errors import SettingPath
from config_schema.kinds import Choice, Text, TextList, WholeNumber
from config_schema.objects import ListOf, Object, Variant, VariantObject
from config_schema.settings import SettingValues, defaulted, optional, required
from config_schema.translatable import translatable
from webhooks.expressions.expression_kind import ExpressionKind, read_expression
from webhooks.expressions.jmespath_paths import Evaluator

MAX_ANSWERS = 16
# `failed` stands for every failure, whose state is its code.
STATES = ("succeeded", "unchanged", "ignored", "superseded", "accepted", "failed")
DEFAULT_FORMAT = "problem+json"
_CONTENT_TYPES = {
    "application/json": "application/json",
    "application/problem+json": "application/problem+json",
    "application/scim+json": "application/scim+json",
    "text/plain": "text/plain; charset=utf-8",
}


@dataclass(frozen=True)
class AnswerExpressionKind(ExpressionKind[Evaluator]):
    """Kind of a JMESPath expression over the document of the standard answer."""

    def read(self, value: Any, place: SettingPath) -> Evaluator:
        return read_expression(value, place)


@dataclass(frozen=True, slots=True)
class CustomAnswer:
    """One answer of the response format `custom`.

    It is for the outcomes in `states` and `codes`; empty means any. `status` is None for the status of the standard
    answer. `body` is the expression that makes the body; None means no body.
    """

    states: tuple[str, ...]
    codes: tuple[str, ...]
    status: int | None
    body: Evaluator | None

    def fits(self, state: str, code: str) -> bool:
        """Return True if the answer is for this outcome."""
        return (not self.states or state in self.states) and (not self.codes or code in self.codes)


@dataclass(frozen=True, slots=True)
class ResponseFormat:
    """The format of all answers to a source.

    `media_type` is the content type of the bodies. `pointer_prefix` is the text before the name of an invalid field.
    `answers` belong to the format `custom`.
    """

    name: str
    media_type: str = "application/json"
    pointer_prefix: str = ""
    answers: tuple[CustomAnswer, ...] = ()


_FORMAT = defaulted(
    "format",
    Choice(("problem+json", "kratos", "okta-inline", "zitadel", "scim", "empty", "custom")),
    DEFAULT_FORMAT,
    "The format of all answers to verified requests.",
    example="kratos",
)
_PREFIX = defaulted(
    "prefix",
    Text(
        re.compile(r"[A-Za-z0-9_.~/#-]{0,64}"),
        translatable("at most 64 letters, digits and `_.~/#-`"),
        translatable("This must be at most 64 letters, digits and the characters _.~/#-"),
    ),
    "",
    "The text before the name of the invalid field.",
    example="data.userProfile.",
)
_STATES = optional(
    "states",
    TextList(STATES),
    "The states of the outcome that the answer is for; any by default. `failed` stands for every failure.",
    example=["failed"],
    is_nullable=False,
)
_CODES = optional(
    "codes",
    TextList(),
    "The codes of the outcome that the answer is for; any by default.",
    example=["target-rejected"],
    is_nullable=False,
)
_STATUS = optional(
    "status",
    WholeNumber(200, 599),
    "The HTTP status, not a redirect. Default: that of the standard answer. A request that is not stored "
    "(`too-many-requests`, `internal-error`, `storage-unavailable`) gets a success only from an answer whose `codes` "
    "name it.",
    example=200,
    is_nullable=False,
)
_BODY = optional(
    "body",
    AnswerExpressionKind(),
    "The body, made from the standard answer. Without it, the answer has no body.",
    example="{ok: `false`, message: detail, fields: errors[].field}",
    is_nullable=False,
)
_CONTENT_TYPE = defaulted(
    "content_type",
    Choice(tuple(_CONTENT_TYPES)),
    "application/json",
    "The content type of the bodies. In `text/plain` the expressions must give a text.",
    example="text/plain",
)


def _build_answer(values: SettingValues) -> CustomAnswer:
    status = values[_STATUS]
    if status is not None and 300 <= status < 400:
        values.reject(_STATUS, "This must not be a redirect.")
    states, codes = values[_STATES], values[_CODES]
    return CustomAnswer(states or (), codes or (), status, values[_BODY])


_ANSWERS = required(
    "answers",
    ListOf(Object((_STATES, _CODES, _STATUS, _BODY), _build_answer), MAX_ANSWERS),
    "The answers by outcome: the first that matches is used. If none matches, the standard answer is sent.",
    example=[{"states": ["failed"], "status": 200, "body": "{error: detail}"}, {"status": 204}],
)
_PREFIXES = {"kratos": "#/traits/", "okta-inline": "data.userProfile."}


def _build_format(values: SettingValues) -> ResponseFormat:
    name = values[_FORMAT]
    if name == "custom":
        media_type = _CONTENT_TYPES[values[_CONTENT_TYPE]]
        return ResponseFormat(name, media_type, answers=tuple(values[_ANSWERS]))
    if name in _PREFIXES:
        return ResponseFormat(name, pointer_prefix=values[_PREFIX] or _PREFIXES[name])
    return ResponseFormat(name, "application/scim+json" if name == "scim" else "application/json")


RESPONSE_FORMAT = VariantObject(
    _FORMAT,
    {
        "problem+json": Variant("JSON; failures as defined in RFC 9457.", {}),
        "kratos": Variant(
            "Ory Kratos with `response.parse`: `204` or, for a failure, its status and `messages`, each with the "
            "`instance_ptr` of its field. The default of `prefix` is `#/traits/`.",
            {"format": "kratos"},
            (_PREFIX,),
        ),
        "okta-inline": Variant(
            "Okta inline hooks: `204` or, for a failure, `200` with `error` and a command that denies the "
            "registration. The default of `prefix` is `data.userProfile.`.",
            {"format": "okta-inline"},
            (_PREFIX,),
        ),
        "zitadel": Variant(
            "Zitadel Actions: always `200`; a failure has `forwardedStatusCode`, 400 to 499, and "
            "`forwardedErrorMessage`.",
            {"format": "zitadel"},
        ),
        "scim": Variant(
            "SCIM: `204`, `202` while work continues, or an error of RFC 7644, section 3.12.",
            {"format": "scim"},
        ),
        "empty": Variant("The standard status without a body.", {"format": "empty"}),
        "custom": Variant(
            "Status and body by outcome.",
            {"format": "custom", "answers": _ANSWERS.example},
            (_ANSWERS, _CONTENT_TYPE),
        ),
    },
    _build_format,
)


def read_format(document: Mapping[str, Any]) -> ResponseFormat:
    """Parse the setting `response_format` of a source. Raises SettingsInvalid."""
    return RESPONSE_FORMAT.read(document, ())
