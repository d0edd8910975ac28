"""Handshakes: a sender checks once that an address belongs to the receiver, and expects its challenge back. Pure."""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qsl

from jmespath.exceptions import JMESPathError

from config_schema.errors import SettingPath
from config_schema.kinds import Boolean, Choice, Text
from config_schema.objects import Variant, VariantObject
from config_schema.settings import Setting, SettingValues, defaulted, required
from config_schema.translatable import translatable
from webhooks.expressions.expression_budget import ExpressionBudget, OverBudget
from webhooks.expressions.expression_kind import ExpressionKind, read_expression
from webhooks.expressions.jmespath_paths import Evaluator
from webhooks.protocol.challenge_hmac import FIELD_NAME, HMAC_SETTING, ChallengeHmac
from webhooks.protocol.formats.event_reader import is_truthy
from webhooks.protocol.hmac_rule import HEADER_NAME
from webhooks.protocol.strict_json import MalformedBody, parse_json

MAX_CHALLENGE_LENGTH = 1_024
# Of a request whose body contains the challenge.
MAX_BODY_BYTES = 16_384
# Of both expressions together: anyone may send what is not verified.
_MAX_STEPS, _MAX_RESULT_BYTES = 2_000, 16_384
_MAX_QUERY_LENGTH = 8_192
_MAX_PARAMETERS = 50
_CHALLENGE = re.compile(rf"[ -~]{{1,{MAX_CHALLENGE_LENGTH}}}")
# A DNS name; some senders write it as an address.
_ORIGIN = re.compile(r"(?:https?://)?[A-Za-z0-9](?:[A-Za-z0-9._-]{0,252})(?::[0-9]{1,5})?")


@dataclass(frozen=True)
class BodyExpressionKind(ExpressionKind[Evaluator]):
    """Kind of a JMESPath expression over `{body}`."""

    def read(self, value: Any, place: SettingPath) -> Evaluator:
        return read_expression(value, place)


_PLACE = required(
    "from",
    Choice(("header", "query", "body", "origin")),
    "Where the challenge is in the request.",
    example="header",
)
_HEADER = required("name", HEADER_NAME, "The name of the header.", example="x-okta-verification-challenge")
_PARAMETER = required(
    "name",
    Text(
        re.compile(r"[A-Za-z0-9!#$%&'*+.^`|~_-]{1,64}"),
        translatable("1 to 64 letters, digits and characters of a header name"),
        translatable("This must be the name of a header or of a query parameter."),
    ),
    "The name of the query parameter.",
    example="validationToken",
)
_METHOD = defaulted("method", Choice(("GET", "POST")), "GET", "The method of the request.", example="POST")
_WRITTEN_AS = defaulted(
    "as",
    Choice(("json", "text")),
    "json",
    "How the challenge is sent back: in a JSON object, or as plain text.",
    example="text",
)
_FIELD = defaulted(
    "field",
    FIELD_NAME,
    "verification",
    "The name of the field of the JSON object that holds the challenge.",
    example="challenge",
)
_BODY_FIELD = defaulted("field", FIELD_NAME, "challenge", _FIELD.meaning, example="validationResponse")
_WHEN = required(
    "when",
    BodyExpressionKind(),
    "True for a request that is a handshake. Any other request is a webhook. The expression looks into `{body}`.",
    example="body.type == 'url_verification'",
)
_CHALLENGE_PLACE = required(
    "challenge",
    BodyExpressionKind(),
    "The challenge, a text. The expression looks into `{body}`.",
    example="body.challenge",
)
_VERIFIED = defaulted(
    "verified",
    Boolean(),
    True,
    "A handshake must be verified like a webhook before it is answered. `false` is only for a sender that does not "
    "sign its handshake: the hub then answers anyone.",
    example=False,
)


@dataclass(frozen=True, slots=True)
class Handshake:
    """Settings of a handshake whose challenge is in a header or in the query.

    `header` is the name of the header in lower case; None for a query parameter, which `parameter` names. `field` is
    the name of the JSON field in the answer; None for plain text. `hmac` is the HMAC of the challenge; None if the
    challenge itself is sent back.
    """

    header: str | None
    parameter: str
    method: str
    field: str | None
    hmac: ChallengeHmac | None = None

    @property
    def media_type(self) -> str:
        """Return the content type of the answer. Never HTML: the challenge may contain any characters."""
        return _media_type(self.field)

    def find_challenge(self, method: str, headers: Mapping[str, str], query_string: str) -> str | None:
        """Return the challenge of a request; None if it has none, or one that is longer than 1,024 characters or not
        printable ASCII, or of which no HMAC may be sent.
        """
        if method != self.method:
            return None
        text = (
            _read_parameter(query_string, self.parameter)
            if self.header is None
            else headers.get(self.header, "")
        )
        return text if _is_answered(text, self.hmac) else None

    def write_answer(self, challenge: str, key: bytes = b"") -> bytes:
        """Return the body that answers a challenge. `key`: the key of the HMAC."""
        return _write_answer(self.field, challenge, self.hmac, key)


@dataclass(frozen=True, slots=True)
class BodyHandshake:
    """Settings of a handshake whose challenge is in the JSON body of a POST.

    `when` is true for a handshake. `field` is the name of the JSON field in the answer; None for plain text. If
    `is_verified`, it is answered only after its request was verified. `hmac` is the HMAC of the challenge; None if the
    challenge itself is sent back.
    """

    when: Evaluator
    challenge: Evaluator
    field: str | None
    is_verified: bool
    hmac: ChallengeHmac | None = None

    @property
    def media_type(self) -> str:
        """Return the content type of the answer. Never HTML: the challenge may contain any characters."""
        return _media_type(self.field)

    def find_challenge(self, body: bytes) -> str | None:
        """Return the challenge in a body; None if the body is not a handshake or is longer than 16,384 bytes, or if the
        challenge is longer than 1,024 characters, is not printable ASCII, or is one of which no HMAC may be sent.
        """
        if len(body) > MAX_BODY_BYTES:
            return None
        budget = ExpressionBudget(_MAX_STEPS, _MAX_RESULT_BYTES)
        try:
            context = {"body": parse_json(body)}
            if not is_truthy(self.when(context, budget)):
                return None
            challenge = self.challenge(context, budget)
        except (MalformedBody, JMESPathError, OverBudget):
            return None
        return challenge if isinstance(challenge, str) and _is_answered(challenge, self.hmac) else None

    def write_answer(self, challenge: str, key: bytes = b"") -> bytes:
        """Return the body that answers a challenge. `key`: the key of the HMAC."""
        return _write_answer(self.field, challenge, self.hmac, key)


@dataclass(frozen=True, slots=True)
class OriginHandshake:
    """A handshake of CloudEvents (HTTP 1.1 Web Hooks for Event Delivery, section 4): an origin asks by OPTIONS for the
    permission to send.

    A callback that the request names is never called: the answer itself gives the permission.
    """

    def find_origin(self, method: str, headers: Mapping[str, str]) -> str | None:
        """Return the origin that asks; None if it is not a DNS name, or if a browser asks for itself (CORS)."""
        if method != "OPTIONS" or "access-control-request-method" in headers:
            return None
        origin = headers.get("webhook-request-origin", "")
        return origin if _ORIGIN.fullmatch(origin) else None

    def answer_headers(self, origin: str, requests_per_minute: int | None) -> dict[str, str]:
        """Return the headers that give the permission. `requests_per_minute`: None for no limit."""
        rate = "*" if requests_per_minute is None else str(requests_per_minute)
        return {"Allow": "POST", "WebHook-Allowed-Origin": origin, "WebHook-Allowed-Rate": rate}


AnyHandshake = Handshake | BodyHandshake | OriginHandshake


def _media_type(field: str | None) -> str:
    return "text/plain; charset=utf-8" if field is None else "application/json"


def _is_answered(challenge: str, hmac: ChallengeHmac | None) -> bool:
    return bool(_CHALLENGE.fullmatch(challenge)) and (hmac is None or hmac.accepts(challenge))


def _write_answer(field: str | None, challenge: str, hmac: ChallengeHmac | None, key: bytes) -> bytes:
    text = challenge if hmac is None or hmac.field is not None else hmac.compute(key, challenge)
    if field is None:
        return text.encode()
    fields = {field: text}
    if hmac is not None and hmac.field is not None:
        fields[hmac.field] = hmac.compute(key, challenge)
    return json.dumps(fields).encode()


def signs_for_anyone(handshake: AnyHandshake) -> bool:
    """Return True if anyone can get the HMAC of a challenge from the hub."""
    if isinstance(handshake, BodyHandshake):
        return handshake.hmac is not None and not handshake.is_verified
    return isinstance(handshake, Handshake) and handshake.hmac is not None


def _build_handshake(values: SettingValues) -> AnyHandshake:
    place = values[_PLACE]
    if place == "origin":
        return OriginHandshake()
    is_body = place == "body"
    is_text = values[_WRITTEN_AS] == "text"
    field = None if is_text else values[_BODY_FIELD if is_body else _FIELD]
    hmac = values[HMAC_SETTING]
    if hmac is not None and hmac.field is not None and hmac.field == field:
        values.reject(HMAC_SETTING, "The challenge and its HMAC need different fields.")
    if hmac is not None and hmac.field is not None and is_text:
        values.reject(HMAC_SETTING, "Plain text has no fields: leave “field” out.")
    if is_body:
        return BodyHandshake(values[_WHEN], values[_CHALLENGE_PLACE], field, values[_VERIFIED], hmac)
    if place == "header":
        name = values[_HEADER]
        return Handshake(name.lower(), name, values[_METHOD], field, hmac)
    return Handshake(None, values[_PARAMETER], values[_METHOD], field, hmac)


_ANSWER: tuple[Setting[Any], ...] = (_METHOD, _WRITTEN_AS, _FIELD, HMAC_SETTING)
HANDSHAKE = VariantObject(
    _PLACE,
    {
        "header": Variant(
            "The challenge is in a header, as with Okta. The handshake is not verified.",
            {"from": "header", "name": "x-okta-verification-challenge"},
            (_HEADER, *_ANSWER),
        ),
        "query": Variant(
            "The challenge is in the query of the address, as with Microsoft Graph. The handshake is not verified.",
            {"from": "query", "name": "validationToken", "method": "POST", "as": "text"},
            (_PARAMETER, *_ANSWER),
        ),
        "body": Variant(
            "The challenge is in the JSON body of a POST of at most 16 KiB, as with Slack. A challenge of more than "
            "1,024 characters, or with other than printable ASCII characters, is not sent back.",
            {
                "from": "body",
                "when": "body.type == 'url_verification'",
                "challenge": "body.challenge",
                "field": "challenge",
            },
            (_WHEN, _CHALLENGE_PLACE, _WRITTEN_AS, _BODY_FIELD, _VERIFIED, HMAC_SETTING),
        ),
        "origin": Variant(
            "CloudEvents, as with Azure Event Grid: the sender asks by `OPTIONS` whether the origin in "
            "`WebHook-Request-Origin` may send. The answer allows the origin, and as many requests a minute as the "
            "source may send. `WebHook-Request-Callback` is never called. The handshake is not verified.",
            {"from": "origin"},
        ),
    },
    _build_handshake,
)
EXAMPLE: Mapping[str, Any] = {"from": "header", "name": "x-okta-verification-challenge"}


def _read_parameter(query_string: str, name: str) -> str:
    """Return the only query parameter of that name, decoded; "" if there is none, several, or the query is too long."""
    if len(query_string) > _MAX_QUERY_LENGTH:
        return ""
    try:
        pairs = parse_qsl(query_string, max_num_fields=_MAX_PARAMETERS, errors="strict")
    except ValueError:
        return ""
    values = [value for pair_name, value in pairs if pair_name == name]
    return values[0] if len(values) == 1 else ""
