"""Response formats of sources: the settings of each. Pure."""

import re
from dataclasses import dataclass
from typing import Any

from config_schema.cached_reader import CachedReader
from config_schema.declared import Declared, setting
from config_schema.errors import SettingPath, SettingsInvalid
from config_schema.expressions.expression_kind import CompiledExpression, CompiledExpressionKind
from config_schema.kinds import Choice, JsonSchema, Text, TextList, WholeNumber
from config_schema.objects import ListOf, VariantObject

MAX_ANSWERS = 16
# `failed` stands for every failure, whose state is its code.
STATES = ("succeeded", "unchanged", "ignored", "superseded", "accepted", "failed")
DEFAULT_FORMAT = "problem+json"


@dataclass(frozen=True)
class AnswerStatus(WholeNumber):
    """Kind of the HTTP status of an answer, which is not a redirect."""

    def read(self, value: Any, place: SettingPath) -> int:
        status = super().read(value, place)
        if 300 <= status < 400:
            raise SettingsInvalid(place, "This must not be a redirect.")
        return status

    def to_schema(self) -> JsonSchema:
        return {**super().to_schema(), "not": {"minimum": 300, "maximum": 399}}


class CustomAnswer(Declared):
    """One answer of the response format `custom`: for the outcomes in `states` and `codes`, of which empty means any.
    Without a `status` it has that of the standard answer, without a `body` none.
    """

    states: tuple[str, ...] = setting(
        TextList(STATES),
        "The states of the outcome that the answer is for; any by default. `failed` stands for every failure.",
        default=None,
        absent=(),
        example=["failed"],
    )
    codes: tuple[str, ...] = setting(
        TextList(),
        "The codes of the outcome that the answer is for; any by default.",
        default=None,
        absent=(),
        example=["target-rejected"],
    )
    status: int | None = setting(
        AnswerStatus(200, 599),
        "The HTTP status, not a redirect. Default: that of the standard answer. A request that is not stored "
        "(`too-many-requests`, `internal-error`, `storage-unavailable`) gets a success only from an answer whose "
        "`codes` name it.",
        default=None,
        example=200,
    )
    body: CompiledExpression | None = setting(
        CompiledExpressionKind(),
        "The body, made from the standard answer. Without it, the answer has no body.",
        default=None,
        example="{ok: `false`, message: detail, fields: errors[].field}",
    )

    def fits(self, state: str, code: str) -> bool:
        """Return True if the answer is for this outcome."""
        return (not self.states or state in self.states) and (not self.codes or code in self.codes)


class ResponseFormat(Declared):
    """The format of all answers to a source."""

    name: str = setting(
        Choice(("problem+json", "kratos", "okta-inline", "zitadel", "scim", "empty", "custom")),
        "The format of all answers to verified requests.",
        name="format",
        default=DEFAULT_FORMAT,
        example="kratos",
    )

    selector = "name"

    @property
    def media_type(self) -> str:
        """The content type of the bodies."""
        return "application/scim+json" if self.name == "scim" else "application/json"


class PrefixedFormat(ResponseFormat):
    """A format that names invalid fields."""

    prefix: str = setting(
        Text(
            re.compile(r"[A-Za-z0-9_.~/#-]{0,64}"),
            "at most 64 letters, digits and `_.~/#-`",
            "This must be at most 64 letters, digits and the characters _.~/#-",
        ),
        "The text before the name of the invalid field.",
        default="",
        example="data.userProfile.",
    )

    @property
    def pointer_prefix(self) -> str:
        """The text before the name of an invalid field."""
        return self.prefix or {"kratos": "#/traits/", "okta-inline": "data.userProfile."}[self.name]


class CustomFormat(ResponseFormat):
    """A format with answers by outcome."""

    answers: tuple[CustomAnswer, ...] = setting(
        ListOf(CustomAnswer.kind, MAX_ANSWERS),
        "The answers by outcome: the first that matches is used. If none matches, the standard answer is sent.",
        example=[{"states": ["failed"], "status": 200, "body": "{error: detail}"}, {"status": 204}],
    )
    content_type: str = setting(
        Choice(("application/json", "application/problem+json", "application/scim+json", "text/plain")),
        "The content type of the bodies. In `text/plain` the expressions must give a text.",
        default="application/json",
        example="text/plain",
    )

    @property
    def media_type(self) -> str:
        """The content type of the bodies."""
        return (
            f"{self.content_type}; charset=utf-8" if self.content_type == "text/plain" else self.content_type
        )


RESPONSE_FORMAT: VariantObject[ResponseFormat] = VariantObject(
    ResponseFormat.settings["name"],
    {
        "problem+json": ResponseFormat.variant("JSON; failures as defined in RFC 9457.", {}),
        "kratos": PrefixedFormat.variant(
            "Ory Kratos with `response.parse`: `204` or, for a failure, its status and `messages`, each with the "
            "`instance_ptr` of its field. The default of `prefix` is `#/traits/`.",
            {"format": "kratos"},
        ),
        "okta-inline": PrefixedFormat.variant(
            "Okta inline hooks: `204` or, for a failure, `200` with `error` and a command that denies the "
            "registration. The default of `prefix` is `data.userProfile.`.",
            {"format": "okta-inline"},
        ),
        "zitadel": ResponseFormat.variant(
            "Zitadel Actions: always `200`; a failure has `forwardedStatusCode`, 400 to 499, and "
            "`forwardedErrorMessage`.",
            {"format": "zitadel"},
        ),
        "scim": ResponseFormat.variant(
            "SCIM: `204`, `202` while work continues, or an error of RFC 7644, section 3.12.",
            {"format": "scim"},
        ),
        "empty": ResponseFormat.variant("The standard status without a body.", {"format": "empty"}),
        "custom": CustomFormat.variant(
            "Status and body by outcome.",
            {"format": "custom", "answers": CustomFormat.settings["answers"].example},
        ),
    },
)
CACHED_FORMATS = CachedReader(RESPONSE_FORMAT)
