"""Settings of a session: how the hub logs in, where the token is in the answer, and how requests send it. Pure."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from config_schema.declared import Declared, nullable, setting
from config_schema.errors import SettingPath, SettingsInvalid
from config_schema.expressions.expression_budget import MAX_BYTES, MAX_STEPS, ExpressionBudget
from config_schema.kinds import Choice, Text, WholeNumber
from config_schema.objects import ListOf, MapOf
from config_schema.rules import CodeRule, Fault, Fits, Given, Is, NamedValues, Requires, exactly_one
from connectors.http.placeholders import fill_template
from connectors.http.query_parameters import Query
from connectors.settings.answer_rules import CREDENTIALS_CONDITIONS
from connectors.settings.body_template import (
    PART_SCHEMA,
    BodyTemplate,
    ExpressionPart,
    ObjectBody,
    TextPart,
)
from connectors.settings.expression_documents import expression_rule
from connectors.settings.schemes.base import SecretAuthentication
from connectors.settings.setting_kinds import (
    Expression,
    HeaderName,
    Headers,
    PathTemplate,
    QueryParameters,
)
from connectors.settings.signed_token import Template
from connectors.values.answer_meaning import AnswerRule
from connectors.values.header_template import HeaderTemplate
from connectors.values.json_responses import JmesPathExpression

MAX_VALUES = 5
MAX_MORE_COOKIES = 5
_VALUE_NAME = re.compile(r"(?!(?:username|password|token|base64)$)[a-z][a-z_]{0,31}", re.ASCII)
_COOKIE = Text(
    re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]{1,100}", re.ASCII),
    "a cookie name",
    "This is not the name of a cookie.",
)
_SENT_NAMES = ("token", "username")


@dataclass(frozen=True)
class LogInBody(ObjectBody):
    """A template of the body of a log-in, which uses the password."""

    names: tuple[str, ...] = ("username", "password")

    def read(self, value: Any, place: SettingPath) -> BodyTemplate:
        body = super().read(value, place)
        if not body.uses("password"):
            raise SettingsInvalid(place, "An expression or template must use the password.")
        placeholders = tuple(f"{{{name}}}" for name in self.names)
        if any(placeholder in text for text in body.literals() for placeholder in placeholders):
            raise SettingsInvalid(place, "Write {“template”: …} for a text that contains a placeholder.")
        return body


def _is_form_body(body: BodyTemplate) -> bool:
    """Return True if a template contains only strings and expressions that may return one."""
    parts = body.root.values() if isinstance(body.root, dict) else [None]
    return all(isinstance(part, str | ExpressionPart | TextPart) for part in parts)


_FORM_BODY = {"additionalProperties": {"anyOf": [{"type": "string"}, PART_SCHEMA]}, "not": PART_SCHEMA}


class LogInRequest(Declared):
    """The request that logs in."""

    method: str = setting(
        Choice(("POST", "PUT")), "The method of the log-in.", default="POST", example="POST"
    )
    path: str = setting(PathTemplate(), "The path of the log-in, below the base URL.", example="/rpc/")
    query: Query = setting(
        QueryParameters(), "Query parameters of the log-in.", default={}, example={"lang": "en"}
    )
    headers: Mapping[str, str] = setting(
        Headers(), "Further headers of the log-in.", default={}, example={"X-Tenant": "acme"}
    )
    encoding: str = setting(
        Choice(("json", "form")), "How the body of the log-in is sent.", default="json", example="form"
    )
    body: BodyTemplate = setting(
        LogInBody(),
        'The body of the log-in. In it, an object `{"expression": "username"}` or `{"expression": "password"}` stands '
        'for the credential; any JMESPath expression over both is possible. An object `{"template": …}` stands for a '
        "text with placeholders. With the encoding `form`, all values are texts.",
        example={"user": {"expression": "username"}, "password": {"expression": "password"}},
    )
    client: str | None = setting(
        Choice(("basic", "post")),
        "For a log-in that also identifies a client, such as OAuth 2 with a password (RFC 6749, section 4.3): "
        "its id and secret are sent in the `Authorization` header (`basic`), or in the body as `client_id` and "
        "`client_secret` (`post`).",
        default=None,
        example="basic",
    )

    rules = (
        Requires(
            sentence="A form contains only texts.",
            when=Is("encoding", "form"),
            then=Fits("body", _FORM_BODY, _is_form_body),
            at="body",
        ),
        expression_rule("log-in", "body"),
    )

    @property
    def is_form(self) -> bool:
        """Return True if the body is sent as a form."""
        return self.encoding == "form"

    def fill_body(self, credentials: Mapping[str, str]) -> Any:
        """Return the body for these credentials. Raises ExpressionUnfit, ExpressionOverBudget, and ValueError if a form
        would have a value that is not text.
        """
        budget = ExpressionBudget(MAX_STEPS, MAX_BYTES)
        filled = self.body.render(
            lambda expression: expression.evaluate_strictly(credentials, budget),
            lambda text: fill_template(text, credentials),
        )
        if self.is_form and not all(isinstance(value, str) for value in filled.values()):
            raise ValueError("a form has texts only")
        return filled


class TokenPlace(Declared):
    """Where the token is in the answer to a log-in."""

    path: JmesPathExpression | None = setting(
        Expression(), "Where the token is in the body of the response.", default=None, example="token"
    )
    header: str | None = setting(
        HeaderName("authorization", is_folded=True),
        "The header of the response that holds the token.",
        default=None,
        example="vendure-auth-token",
    )
    cookie: str | None = setting(
        _COOKIE, "The cookie of the response that holds the token.", default=None, example="sessionid"
    )

    rules = (exactly_one("path", "header", "cookie"),)


def _find_unknown_placeholder(values: NamedValues) -> Fault | None:
    unknown = values["template"].names - {*_SENT_NAMES, *values["values"]}
    if not unknown:
        return None
    return "template", f"Unknown placeholder: {{{min(unknown)}}}."


class SessionAuthentication(SecretAuthentication):
    """How the hub logs in, and how requests send the token."""

    scheme = "session"
    meaning = (
        "The hub logs in with a user name and a password, keeps the session until the system ends it, and sends its "
        "token with each request. A refused password is not tried again until the settings change or a person tests "
        "the connection, because systems lock users out."
    )
    example = {
        "log_in": {
            "path": "/login",
            "body": {"user": {"expression": "username"}, "password": {"expression": "password"}},
        },
        "token": {"path": "token"},
        "template": "Bearer {token}",
    }
    credentials = ("username", "password", "client_id", "client_secret")

    log_in: LogInRequest = setting(
        LogInRequest.kind,
        "The request that logs in.",
        example={
            "path": "/login",
            "body": {"user": {"expression": "username"}, "password": {"expression": "password"}},
        },
    )
    token: TokenPlace = setting(
        TokenPlace.kind,
        "Where the token is in the response to the log-in. A response without it counts as a refusal of the "
        "credentials.",
        example={"path": "token"},
    )
    values: Mapping[str, JmesPathExpression] = setting(
        MapOf(
            Expression(),
            "NAME",
            0,
            MAX_VALUES,
            _VALUE_NAME,
            "This must be a name in lower-case letters and underscores, other than username, password and token.",
            noun="values",
        ),
        "Additional texts and numbers from the body of the response, by the names that `template` uses for them.",
        default={},
        example={"user_id": "result[0]"},
    )
    header: str = setting(
        HeaderName("authorization"),
        "The header in which requests send the token.",
        default="Authorization",
        example="Authorization",
    )
    template: HeaderTemplate = setting(
        Template(has_more=True),
        "The value of that header. `{token}` stands for the token, `{username}` for the user name, a name of "
        "`values` for that value, and `{base64:…}` for the base64 encoding of its contents.",
        default="Bearer {token}",
        example="Session {base64:{username}:{user_id}:{token}}",
    )
    cookie: str | None = nullable(
        _COOKIE,
        "The cookie in which requests send the token. It replaces `header` and `template`.",
        example="sessionid",
    )
    more_cookies: tuple[str, ...] = setting(
        ListOf(_COOKIE, MAX_MORE_COOKIES, label="list of cookie names", noun="cookie names"),
        "Additional cookies from the log-in response that requests also send, such as the cookie of a load "
        "balancer. A cookie that the response does not set is left out. Needs `cookie`.",
        default=None,
        absent=(),
        example=["ROUTEID"],
    )
    lifetime: int = setting(
        WholeNumber(60, 2_592_000),
        "After how many seconds the hub logs in again, unless the system ends the session earlier.",
        default=43_200,
        example=3600,
    )
    refused: tuple[AnswerRule, ...] = nullable(
        CREDENTIALS_CONDITIONS,
        "Responses that mean that the session has ended, in addition to those with status 401. The hub then "
        "logs in again and sends the request once more.",
        absent=(),
        example=[{"status": 200, "when": "body.errors[0].extensions.code == 'FORBIDDEN'"}],
    )
    log_in_refused: tuple[AnswerRule, ...] = nullable(
        CREDENTIALS_CONDITIONS,
        "Responses to the log-in that refuse the credentials although they contain a token.",
        absent=(),
        example=[{"status": 200, "when": "body.data.login.errorCode"}],
    )

    rules = (
        *SecretAuthentication.rules,
        Requires(
            sentence="`more_cookies` needs `cookie`.",
            when=Given("more_cookies"),
            then=Given("cookie"),
            at="more_cookies",
        ),
        CodeRule(
            sentence="Each placeholder of `template` is `token`, `username`, or a name in `values`.",
            find_fault=_find_unknown_placeholder,
            schema={
                "anyOf": [
                    {"required": ["values"]},
                    {"properties": {"template": Template(_SENT_NAMES).to_schema()}},
                ]
            },
        ),
    )

    @classmethod
    def needed_credentials(cls, document: Mapping[str, Any]) -> tuple[str, ...]:
        log_in = document.get("log_in")
        has_client = isinstance(log_in, Mapping) and log_in.get("client")
        return cls.credentials if has_client else cls.credentials[:2]

    @property
    def secret_header(self) -> str:
        return self.header if self.cookie is None else "Cookie"
