"""Settings of a session: how the hub logs in, where the token is in the answer, and how requests send it. Pure."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from config_schema.errors import SettingPath, SettingsInvalid
from config_schema.kinds import Choice, Text, WholeNumber
from config_schema.objects import ListOf, MapOf, Object, ObjectRule
from config_schema.settings import SettingValues, defaulted, optional, required
from config_schema.translatable import translatable
from sync.connectors.http.placeholders import fill_template
from sync.connectors.http.query_parameters import Query
from sync.connectors.settings.answer_rules import answer_conditions, read_rules
from sync.connectors.settings.body_template import BodyTemplate, ExpressionPart, ObjectBody, TextPart
from sync.connectors.settings.setting_kinds import (
    Expression,
    HeaderName,
    Headers,
    PathTemplate,
    QueryParameters,
)
from sync.connectors.settings.signed_token import Template
from sync.connectors.values.answer_meaning import AnswerRule, Meaning
from sync.connectors.values.header_template import HeaderTemplate
from sync.connectors.values.json_responses import JmesPathExpression
from webhooks.expressions.expression_budget import MAX_BYTES, MAX_STEPS, ExpressionBudget

MAX_VALUES = 5
MAX_MORE_COOKIES = 5
_DEFAULT_LIFETIME = 43_200
_VALUE_NAME = re.compile(r"(?!(?:username|password|token|base64)$)[a-z][a-z_]{0,31}", re.ASCII)
_COOKIE_NAME = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]{1,100}", re.ASCII)


@dataclass(frozen=True, slots=True)
class LogInRequest:
    """The request that logs in.

    `fill_body` makes the body from user name and password, which is sent as a form if `is_form`. `client` is the way in
    which the client proves its identity, `basic` or `post`; None if the log-in identifies no client.
    """

    method: str
    path: str
    query: Query
    headers: Mapping[str, str]
    is_form: bool
    body: BodyTemplate
    client: str | None = None

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


@dataclass(frozen=True, slots=True)
class TokenPlace:
    """Place of the token in the answer to a log-in: exactly one of an expression over the body, a header (lower case)
    and a cookie.
    """

    expression: JmesPathExpression | None
    header: str | None
    cookie: str | None


@dataclass(frozen=True, slots=True)
class SessionSettings:
    """Settings of a session.

    `values` select further texts of the response that `template` may use. Requests send the filled template in
    `header`, or the token in the cookie `cookie`, together with the cookies named in `more_cookies` if the response set
    them.

    Responses to requests that match `refused_rules` mean that the session has ended. Successful responses to the log-in
    that match `log_in_refused_rules` refuse the credentials.
    """

    log_in: LogInRequest
    token: TokenPlace
    values: Mapping[str, JmesPathExpression]
    header: str
    template: HeaderTemplate
    cookie: str | None
    more_cookies: tuple[str, ...]
    lifetime_seconds: int
    refused_rules: tuple[AnswerRule, ...]
    log_in_refused_rules: tuple[AnswerRule, ...]


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


_METHOD = defaulted("method", Choice(("POST", "PUT")), "POST", "The method of the log-in.", example="POST")
_PATH = required("path", PathTemplate(), "The path of the log-in, below the base URL.", example="/rpc/")
_QUERY = defaulted("query", QueryParameters(), {}, "Query parameters of the log-in.", example={"lang": "en"})
_HEADERS = defaulted("headers", Headers(), {}, "Further headers of the log-in.", example={"X-Tenant": "acme"})
_ENCODING = defaulted(
    "encoding", Choice(("json", "form")), "json", "How the body of the log-in is sent.", example="form"
)
_BODY = required(
    "body",
    LogInBody(),
    'The body of the log-in. In it, an object `{"expression": "username"}` or `{"expression": "password"}` stands '
    'for the credential; any JMESPath expression over both is possible. An object `{"template": …}` stands for a text '
    "with placeholders. With the encoding `form`, all values are texts.",
    example={"user": {"expression": "username"}, "password": {"expression": "password"}},
)

_CLIENT = optional(
    "client",
    Choice(("basic", "post")),
    "For a log-in that also identifies a client, such as OAuth 2 with a password (RFC 6749, section 4.3): "
    "its id and secret are sent in the `Authorization` header (`basic`), or in the body as `client_id` and "
    "`client_secret` (`post`).",
    example="basic",
    is_nullable=False,
)


def _is_form_body(body: BodyTemplate) -> bool:
    """Return True if a template contains only strings and expressions that may return one."""
    parts = body.root.values() if isinstance(body.root, dict) else [None]
    return all(isinstance(part, str | ExpressionPart | TextPart) for part in parts)


def _build_log_in(values: SettingValues) -> LogInRequest:
    is_form = values[_ENCODING] == "form"
    if is_form and not _is_form_body(values[_BODY]):
        values.reject(_BODY, "A form contains only texts.")
    return LogInRequest(
        values[_METHOD],
        values[_PATH],
        values[_QUERY],
        values[_HEADERS],
        is_form,
        values[_BODY],
        values[_CLIENT],
    )


_FORM_VALUE = {
    "anyOf": [
        {"type": "string"},
        {"type": "object", "required": ["expression"]},
        {"type": "object", "required": ["template"], "maxProperties": 1},
    ]
}
LOG_IN = required(
    "log_in",
    Object(
        (_METHOD, _PATH, _QUERY, _HEADERS, _ENCODING, _BODY, _CLIENT),
        _build_log_in,
        (
            ObjectRule(
                "A form contains only texts.",
                {
                    "if": {"properties": {"encoding": {"const": "form"}}, "required": ["encoding"]},
                    "then": {"properties": {"body": {"additionalProperties": _FORM_VALUE}}},
                },
            ),
        ),
    ),
    "The request that logs in.",
    example={
        "path": "/login",
        "body": {"user": {"expression": "username"}, "password": {"expression": "password"}},
    },
)

_TOKEN_PATH = optional(
    "path",
    Expression(),
    "Where the token is in the body of the response.",
    example="token",
    is_nullable=False,
)
_TOKEN_HEADER = optional(
    "header",
    HeaderName("authorization"),
    "The header of the response that holds the token.",
    example="vendure-auth-token",
    is_nullable=False,
)
_TOKEN_COOKIE = optional(
    "cookie",
    Text(_COOKIE_NAME, translatable("a cookie name"), translatable("This is not the name of a cookie.")),
    "The cookie of the response that holds the token.",
    example="sessionid",
    is_nullable=False,
)
_TOKEN_PLACES = (_TOKEN_PATH, _TOKEN_HEADER, _TOKEN_COOKIE)


def _build_place(values: SettingValues) -> TokenPlace:
    given = [place for place in _TOKEN_PLACES if values.is_given(place)]
    if len(given) != 1:
        values.reject(_TOKEN_PATH, "Exactly one of “path”, “header” and “cookie” is required.")
    header = values[_TOKEN_HEADER]
    return TokenPlace(values[_TOKEN_PATH], header.lower() if header else None, values[_TOKEN_COOKIE])


TOKEN = required(
    "token",
    Object(
        _TOKEN_PLACES,
        _build_place,
        (
            ObjectRule(
                "Exactly one of `path`, `header` and `cookie` is required.",
                {"oneOf": [{"required": [place.name]} for place in _TOKEN_PLACES]},
            ),
        ),
    ),
    "Where the token is in the response to the log-in. A response without it counts as a refusal of the "
    "credentials.",
    example={"path": "token"},
)
VALUES = defaulted(
    "values",
    MapOf(
        Expression(),
        "NAME",
        0,
        MAX_VALUES,
        _VALUE_NAME,
        translatable(
            "This must be a name in lower-case letters and underscores, other than username, password and token."
        ),
        noun=translatable("values"),
    ),
    {},
    "Additional texts and numbers from the body of the response, by the names that `template` uses for them.",
    example={"user_id": "result[0]"},
)
SEND_HEADER = defaulted(
    "header",
    HeaderName("authorization"),
    "Authorization",
    "The header in which requests send the token.",
    example="Authorization",
)
SEND_TEMPLATE = defaulted(
    "template",
    Template(has_more=True),
    "Bearer {token}",
    "The value of that header. `{token}` stands for the token, `{username}` for the user name, a name of "
    "`values` for that value, and `{base64:…}` for the base64 encoding of its contents.",
    example="Session {base64:{username}:{user_id}:{token}}",
)
SEND_COOKIE = optional(
    "cookie",
    Text(_COOKIE_NAME, translatable("a cookie name"), translatable("This is not the name of a cookie.")),
    "The cookie in which requests send the token. It replaces `header` and `template`.",
    example="sessionid",
)
MORE_COOKIES = optional(
    "more_cookies",
    ListOf(
        Text(_COOKIE_NAME, translatable("a cookie name"), translatable("This is not the name of a cookie.")),
        MAX_MORE_COOKIES,
        label=translatable("list of cookie names"),
        noun=translatable("cookie names"),
    ),
    translatable(
        "Additional cookies from the log-in response that requests also send, such as the cookie of a load "
        "balancer. A cookie that the response does not set is left out. Needs `cookie`."
    ),
    example=["ROUTEID"],
    is_nullable=False,
)
LIFETIME = defaulted(
    "lifetime",
    WholeNumber(60, 2_592_000),
    _DEFAULT_LIFETIME,
    "After how many seconds the hub logs in again, unless the system ends the session earlier.",
    example=3600,
)
REFUSED = answer_conditions(
    "refused",
    Meaning.CREDENTIALS,
    translatable(
        "Responses that mean that the session has ended, in addition to those with status 401. The hub then "
        "logs in again and sends the request once more."
    ),
    example=[{"status": 200, "when": "body.errors[0].extensions.code == 'FORBIDDEN'"}],
)
LOG_IN_REFUSED = answer_conditions(
    "log_in_refused",
    Meaning.CREDENTIALS,
    translatable("Responses to the log-in that refuse the credentials although they contain a token."),
    example=[{"status": 200, "when": "body.data.login.errorCode"}],
)

SESSION_SETTINGS = (
    LOG_IN,
    TOKEN,
    VALUES,
    SEND_HEADER,
    SEND_TEMPLATE,
    SEND_COOKIE,
    MORE_COOKIES,
    LIFETIME,
    REFUSED,
    LOG_IN_REFUSED,
)


SESSION_RULES = (
    ObjectRule(
        translatable("`more_cookies` needs `cookie`."),
        {
            "if": {"required": [MORE_COOKIES.name]},
            "then": {
                "required": [SEND_COOKIE.name],
                "properties": {SEND_COOKIE.name: {"type": "string"}},
            },
        },
    ),
)


def read_session(values: SettingValues) -> SessionSettings:
    """Return the settings of a session. Raises SettingsInvalid for a placeholder that stands for nothing, and for
    further cookies without one for the token.
    """
    template: HeaderTemplate = values[SEND_TEMPLATE]
    unknown = template.names - {"token", "username", *values[VALUES]}
    if unknown:
        values.reject(
            SEND_TEMPLATE, translatable("Unknown placeholder: {%(placeholder)s}.", placeholder=min(unknown))
        )
    more_cookies = values[MORE_COOKIES] or []
    if more_cookies and values[SEND_COOKIE] is None:
        values.reject(MORE_COOKIES, translatable("This needs “cookie”."))
    return SessionSettings(
        log_in=values[LOG_IN],
        token=values[TOKEN],
        values=values[VALUES],
        header=values[SEND_HEADER],
        template=template,
        cookie=values[SEND_COOKIE],
        more_cookies=tuple(more_cookies),
        lifetime_seconds=values[LIFETIME],
        refused_rules=read_rules(values, REFUSED),
        log_in_refused_rules=read_rules(values, LOG_IN_REFUSED),
    )
