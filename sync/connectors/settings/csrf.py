"""Settings of a CSRF token, which a system gives to a read and wants back with each write. Pure."""

from dataclasses import dataclass

from config_schema.kinds import WholeNumber
from config_schema.objects import Object
from config_schema.settings import SettingValues, defaulted, optional, required
from config_schema.translatable import translatable
from sync.connectors.http.query_parameters import Query
from sync.connectors.settings.answer_rules import answer_conditions, read_rules
from sync.connectors.settings.setting_kinds import (
    Expression,
    HeaderName,
    PathTemplate,
    QueryParameters,
    compile_setting,
)
from sync.connectors.values.answer_meaning import AnswerRule, Meaning
from sync.connectors.values.json_responses import JmesPathExpression

_DEFAULT_HEADER = "X-CSRF-Token"
_DEFAULT_LIFETIME = 1_200


@dataclass(frozen=True, slots=True)
class CsrfSettings:
    """Settings of a CSRF token.

    A GET of `path` with `header: Fetch` asks for the token, and requests send it in `header`. `token` selects it from
    the whole response; None means the header of the response that is named `header`. Responses that match
    `refused_rules` mean that the token is no longer valid.
    """

    path: str
    query: Query
    header: str
    token: JmesPathExpression | None
    lifetime_seconds: int
    refused_rules: tuple[AnswerRule, ...]


_PATH = required(
    "path",
    PathTemplate(),
    "The path of the request that returns the token, below the base URL.",
    example="/odata/v2/",
)
_QUERY = defaulted(
    "query", QueryParameters(), {}, "Query parameters of that request.", example={"$format": "json"}
)
_HEADER = defaulted(
    "header",
    HeaderName(),
    _DEFAULT_HEADER,
    "The header in which requests send the token. The request that fetches it sends the value `Fetch` there.",
    example=_DEFAULT_HEADER,
)
_TOKEN = optional(
    "token",
    Expression(),
    "Where the token is in the response: an expression over an object with `status`, `headers` (names in lower case) "
    "and `body`. Without it: in the header of the same name.",
    example="body.crumb",
)
_LIFETIME = defaulted(
    "lifetime",
    WholeNumber(60, 2_592_000),
    _DEFAULT_LIFETIME,
    "After how many seconds the hub fetches a new token, unless the system refuses it earlier.",
    example=1200,
)
_REFUSED = answer_conditions(
    "refused",
    Meaning.CREDENTIALS,
    translatable(
        "Responses that mean that the token is not valid. The hub then fetches a new one and sends the "
        "request once more. Without it: those with status 403 and the header `X-CSRF-Token: Required`."
    ),
    example=[{"status": 403, "when": "contains(body.message, 'crumb')"}],
)


def _default_rules() -> tuple[AnswerRule, ...]:
    is_required = compile_setting("lower(headers.\"x-csrf-token\") == 'required'")
    return (AnswerRule(Meaning.CREDENTIALS, frozenset({403}), is_required, 403),)


def _build(values: SettingValues) -> CsrfSettings:
    return CsrfSettings(
        values[_PATH],
        values[_QUERY],
        values[_HEADER],
        values[_TOKEN],
        values[_LIFETIME],
        read_rules(values, _REFUSED) or _default_rules(),
    )


CSRF = optional(
    "csrf",
    Object((_PATH, _QUERY, _HEADER, _TOKEN, _LIFETIME, _REFUSED), _build),
    "A CSRF token that the system requires with each write (SAP OData, Jenkins, Drupal). The hub fetches it "
    "with the same credentials, and sends it with the cookies of that response until it is refused.",
    example={"path": "/odata/v2/"},
    is_nullable=False,
)
