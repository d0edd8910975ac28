"""Settings of a CSRF token, which a system gives to a read and wants back with each write. Pure."""

from config_schema.declared import Declared, nullable, setting
from config_schema.kinds import WholeNumber
from connectors.http.query_parameters import Query
from connectors.settings.answer_rules import CREDENTIALS_CONDITIONS
from connectors.settings.expression_documents import RESPONSE_ROOTS
from connectors.settings.setting_kinds import (
    Expression,
    HeaderName,
    PathTemplate,
    QueryParameters,
    compile_setting,
)
from connectors.values.answer_meaning import AnswerRule, Meaning
from connectors.values.json_responses import JmesPathExpression

_IS_REQUIRED = compile_setting("lower(headers.\"x-csrf-token\") == 'required'")


class CsrfSettings(Declared):
    """Settings of a CSRF token. A GET of `path` asks for it, and requests send it in `header`."""

    path: str = setting(
        PathTemplate(),
        "The path of the request that returns the token, below the base URL.",
        example="/odata/v2/",
    )
    query: Query = setting(
        QueryParameters(), "Query parameters of that request.", default={}, example={"$format": "json"}
    )
    header: str = setting(
        HeaderName(),
        "The header in which requests send the token. The request that fetches it sends the value `Fetch` there.",
        default="X-CSRF-Token",
        example="X-CSRF-Token",
    )
    token: JmesPathExpression | None = nullable(
        Expression(roots=RESPONSE_ROOTS),
        "Where the token is in the response: an expression over an object with `status`, `headers` (names in lower "
        "case) and `body`. Without it: in the header of the same name.",
        example="body.crumb",
    )
    lifetime: int = setting(
        WholeNumber(60, 2_592_000),
        "After how many seconds the hub fetches a new token, unless the system refuses it earlier.",
        default=1_200,
        example=1200,
    )
    refused: tuple[AnswerRule, ...] = nullable(
        CREDENTIALS_CONDITIONS,
        "Responses that mean that the token is not valid. The hub then fetches a new one and sends the "
        "request once more. Without it: those with status 403 and the header `X-CSRF-Token: Required`.",
        absent=(AnswerRule(Meaning.CREDENTIALS, frozenset({403}), _IS_REQUIRED),),
        example=[{"status": 403, "when": "contains(body.message, 'crumb')"}],
    )
