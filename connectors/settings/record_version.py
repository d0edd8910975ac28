"""Settings of the version of records: where it is read, how a write sends it, and which responses call it outdated.
Pure.
"""

import re
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from config_schema.declared import Declared, nullable, setting
from config_schema.errors import SettingPath, SettingsInvalid
from config_schema.expressions.jmespath_paths import parse_field_path
from config_schema.kinds import JsonSchema, Text, ValueKind, WholeNumber
from config_schema.objects import ListOf
from config_schema.rules import AnyOf, Given, Is, Not, Requires, Stated, exactly_one
from connectors.settings.answer_rules import WHEN_TEXT, StatusSet
from connectors.settings.expression_documents import RESPONSE_ROOTS
from connectors.settings.setting_kinds import Expression, HeaderName
from connectors.values.answer_meaning import AnswerRule, Meaning
from connectors.values.exact_numbers import dump_json
from connectors.values.json_responses import JmesPathExpression

FieldPath = tuple[str, ...]

MAX_STALE_RULES = 10
_MAX_PATH_LENGTH = 10
# These have a meaning of their own, whatever the version.
_OTHER_MEANINGS = frozenset({401, 403, 404, 408, 410, 425, 429})
# Other statuses refuse values too: without a condition, every refusal would be taken for an outdated version.
_UNCONDITIONAL = frozenset({409, 412, 428})
_PLAIN_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*", re.ASCII)


@dataclass(frozen=True)
class FieldNames(ValueKind[FieldPath]):
    """A path of field names in JMESPath, and nothing else."""

    label: str = "path of field names"
    limits: str = f"at most {_MAX_PATH_LENGTH} names"

    def read(self, value: Any, place: SettingPath) -> FieldPath:
        text = Text().read(value, place)
        names: FieldPath = ()
        # JMESPath raises a ValueError too.
        with suppress(ValueError):
            names = parse_field_path(text)
        if not names or len(names) > _MAX_PATH_LENGTH:
            sentence = "This must be a path of field names such as version or meta.version."
            raise SettingsInvalid(place, sentence)
        return names

    def to_json(self, value: FieldPath) -> str:
        return ".".join(name if _PLAIN_NAME.fullmatch(name) else dump_json(name) for name in value)

    def to_schema(self) -> JsonSchema:
        name = r'(?:[A-Za-z_][A-Za-z0-9_]*|"(?:[^"\\]|\\.)+")'
        rest = rf"(?:\s*\.\s*{name}){{0,{_MAX_PATH_LENGTH - 1}}}"
        return {"type": "string", "pattern": rf"^\s*{name}{rest}\s*$"}


class VersionPlace(Declared):
    """Where the version of a record is: in a header of a response with one record, or at a path in each record."""

    header: str | None = nullable(
        HeaderName(is_folded=True),
        "The header of a response with one record that has its version.",
        example="ETag",
    )
    path: FieldPath | None = nullable(
        FieldNames(), "Where the version is in a record.", example="meta.version"
    )

    rules = (exactly_one("header", "path"),)


class VersionUse(Declared):
    """How a write names the version: in a header, or in a field of the record."""

    header: str | None = nullable(
        HeaderName(), "The header of a write that names the version.", example="If-Match"
    )
    field: FieldPath | None = nullable(
        FieldNames(), "The field of the written record that names the version.", example="version"
    )
    query: str | None = nullable(
        Text(),
        "With `field`: the query parameter that names the version in a DELETE request, which has no body.",
        example="version",
    )

    rules = (
        exactly_one("header", "field"),
        Requires(
            sentence="`query` needs `field`: with a header, every request names the version.",
            when=Stated("query"),
            then=Given("field"),
            at="query",
        ),
    )


class _StaleStatus(WholeNumber):
    """Kind of one status."""

    def read(self, value: Any, place: SettingPath) -> StatusSet:  # type: ignore[override]
        return StatusSet((super().read(value, place),), value)

    def to_json(self, value: StatusSet) -> Any:
        return value.stated


class StaleRule(AnswerRule, Declared):
    """A condition under which a response says that the version is outdated. The texts of its settings say its rules."""

    means: Meaning = Meaning.STALE
    statuses: StatusSet | frozenset[int] = setting(
        _StaleStatus(400, 499),
        "The status of the response. 401, 403, 404, 408, 410, 425 and 429 have their own meaning and are "
        "not allowed.",
        name="status",
        example=409,
    )
    condition: JmesPathExpression | None = nullable(
        Expression(roots=RESPONSE_ROOTS),
        f"{WHEN_TEXT} Only 409, 412 and 428 may be used without it, because other statuses can also mean refused "
        "values.",
        name="when",
        example="body.code == 'version'",
    )

    rules = (
        Requires(
            sentence="",
            then=Not(Is("status", *sorted(_OTHER_MEANINGS))),
            at="status",
            error="This status has another meaning.",
        ),
        Requires(
            sentence="",
            then=AnyOf(Is("status", *sorted(_UNCONDITIONAL)), Given("when")),
            at="when",
            error="Only the statuses 409, 412 and 428 may be used without a condition.",
        ),
    )


class VersionSettings(Declared):
    """Settings of the version of the records of one entity type."""

    read: VersionPlace = setting(
        VersionPlace.kind, "Where the version of a record is.", example={"header": "ETag"}
    )
    send: VersionUse = setting(
        VersionUse.kind, "How a write names the version.", example={"header": "If-Match"}
    )
    stale: tuple[AnswerRule, ...] = nullable(
        ListOf(StaleRule.kind, MAX_STALE_RULES),
        "Which responses say that the version is outdated. Without it: every response with status 412.",
        absent=(AnswerRule(Meaning.STALE, frozenset({412})),),
        example=[{"status": 409}],
    )

    @property
    def send_path(self) -> FieldPath | None:
        """Return the field of the written record that names the version."""
        return self.send.field
