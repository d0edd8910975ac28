"""Handshakes: a sender checks once that an address belongs to the receiver, and expects its challenge back. Pure."""

import json
import re
from collections.abc import Mapping
from urllib.parse import parse_qsl

from jmespath.exceptions import JMESPathError

from config_schema.cached_reader import CachedReader
from config_schema.declared import Declared, setting
from config_schema.expressions.expression_budget import ExpressionBudget, OverBudget
from config_schema.expressions.expression_kind import CompiledExpression, CompiledExpressionKind
from config_schema.kinds import Boolean, Choice, Text
from config_schema.objects import VariantObject
from config_schema.rules import CodeRule, Fault, Fits, Is, NamedValues, Not, Requires
from webhooks.protocol.challenge_hmac import FIELD_NAME, MAX_SIGNED_LENGTH, ChallengeHmac
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


class _Handshake(Declared):
    """Base of handshakes: where the challenge is."""

    place: str = setting(
        Choice(("header", "query", "body", "origin")),
        "Where the challenge is in the request.",
        name="from",
        example="header",
    )

    selector = "place"


def _find_equal_fields(values: NamedValues) -> Fault | None:
    hmac = values["hmac"]
    is_equal = values["as"] == "json" and hmac is not None and hmac.field == values["field"]
    return ("hmac", "The challenge and its HMAC need different fields.") if is_equal else None


class _AnsweredHandshake(_Handshake):
    """Base of handshakes whose answer contains the challenge, or the HMAC of it."""

    written_as: str = setting(
        Choice(("json", "text")),
        "How the challenge is sent back: in a JSON object, or as plain text.",
        name="as",
        default="json",
        example="text",
    )
    field: str = setting(
        FIELD_NAME,
        "The name of the field of the JSON object that holds the challenge.",
        default="verification",
        example="challenge",
    )
    hmac: ChallengeHmac | None = setting(
        ChallengeHmac.kind,
        "For a sender that expects an HMAC of its challenge, such as Zoom, X or LinkedIn. The key is the newest secret "
        "of the source, or the one that verified the request; the verification must be by an HMAC. Such a challenge "
        f"has at most {MAX_SIGNED_LENGTH} letters, digits and characters of `._~+/=-`. If the handshake is not "
        "verified, a webhook that is neither a JSON object nor a list is refused, because anyone could get its "
        "signature. Use a secret that no other source has.",
        default=None,
        example={"field": "encryptedToken"},
    )

    rules = (
        Requires(
            sentence="If `as` is `text`, `hmac` has no `field`.",
            when=Is("as", "text"),
            then=Not(
                Fits(
                    "hmac", {"required": ["field"]}, lambda hmac: hmac is not None and hmac.field is not None
                )
            ),
            at="hmac",
            error="Plain text has no fields: leave “field” out.",
        ),
        CodeRule(
            sentence="The challenge and its HMAC need different fields.",
            find_fault=_find_equal_fields,
        ),
    )

    @property
    def media_type(self) -> str:
        """Return the content type of the answer. Never HTML: the challenge may contain any characters."""
        return "text/plain; charset=utf-8" if self.written_as == "text" else "application/json"

    def write_answer(self, challenge: str, key: bytes = b"") -> bytes:
        """Return the body that answers a challenge. `key`: the key of the HMAC."""
        hmac = self.hmac
        text = challenge if hmac is None or hmac.field is not None else hmac.compute(key, challenge)
        if self.written_as == "text":
            return text.encode()
        fields = {self.field: text}
        if hmac is not None and hmac.field is not None:
            fields[hmac.field] = hmac.compute(key, challenge)
        return json.dumps(fields).encode()


class Handshake(_AnsweredHandshake):
    """Settings of a handshake whose challenge is a query parameter."""

    name: str = setting(
        Text(
            re.compile(r"[A-Za-z0-9!#$%&'*+.^`|~_-]{1,64}"),
            "1 to 64 letters, digits and characters of a header name",
            "This must be the name of a header or of a query parameter.",
        ),
        "The name of the query parameter.",
        example="validationToken",
    )
    method: str = setting(
        Choice(("GET", "POST")), "The method of the request.", default="GET", example="POST"
    )

    def find_challenge(self, method: str, headers: Mapping[str, str], query_string: str) -> str | None:
        """Return the challenge of a request; None if it has none, or one that is longer than 1,024 characters or not
        printable ASCII, or of which no HMAC may be sent.
        """
        if method != self.method:
            return None
        text = self._find_text(headers, query_string)
        return text if _is_answered(text, self.hmac) else None

    def _find_text(self, headers: Mapping[str, str], query_string: str) -> str:
        return _read_parameter(query_string, self.name)


class HeaderHandshake(Handshake):
    """Settings of a handshake whose challenge is in a header."""

    name: str = setting(HEADER_NAME, "The name of the header.", example="x-okta-verification-challenge")

    def _find_text(self, headers: Mapping[str, str], query_string: str) -> str:
        return headers.get(self.name, "")


class BodyHandshake(_AnsweredHandshake):
    """Settings of a handshake whose challenge is in the JSON body of a POST. If `is_verified`, it is answered only
    after its request was verified.
    """

    when: CompiledExpression = setting(
        CompiledExpressionKind(roots=frozenset({"body"})),
        "True for a request that is a handshake. Any other request is a webhook. The expression looks into `{body}`.",
        example="body.type == 'url_verification'",
    )
    challenge: CompiledExpression = setting(
        CompiledExpressionKind(roots=frozenset({"body"})),
        "The challenge, a text. The expression looks into `{body}`.",
        example="body.challenge",
    )
    field: str = setting(
        FIELD_NAME,
        _AnsweredHandshake.settings["field"].meaning,
        default="challenge",
        example="validationResponse",
    )
    is_verified: bool = setting(
        Boolean(),
        "A handshake must be verified like a webhook before it is answered. `false` is only for a sender that does not "
        "sign its handshake: the hub then answers anyone.",
        name="verified",
        default=True,
        example=False,
    )

    def find_challenge(self, body: bytes) -> str | None:
        """Return the challenge in a body; None if the body is not a handshake or is longer than 16,384 bytes, or if the
        challenge is longer than 1,024 characters, is not printable ASCII, or is one of which no HMAC may be sent.
        """
        if len(body) > MAX_BODY_BYTES:
            return None
        budget = ExpressionBudget(_MAX_STEPS, _MAX_RESULT_BYTES)
        try:
            context = {"body": parse_json(body)}
            if not is_truthy(self.when.evaluate(context, budget)):
                return None
            challenge = self.challenge.evaluate(context, budget)
        except (MalformedBody, JMESPathError, OverBudget):
            return None
        return challenge if isinstance(challenge, str) and _is_answered(challenge, self.hmac) else None


class OriginHandshake(_Handshake):
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


def _is_answered(challenge: str, hmac: ChallengeHmac | None) -> bool:
    return bool(_CHALLENGE.fullmatch(challenge)) and (hmac is None or hmac.accepts(challenge))


def signs_for_anyone(handshake: AnyHandshake) -> bool:
    """Return True if anyone can get the HMAC of a challenge from the hub."""
    if isinstance(handshake, BodyHandshake):
        return handshake.hmac is not None and not handshake.is_verified
    return isinstance(handshake, Handshake) and handshake.hmac is not None


HANDSHAKE: VariantObject[AnyHandshake] = VariantObject(
    _Handshake.settings["place"],
    {
        "header": HeaderHandshake.variant(
            "The challenge is in a header, as with Okta. The handshake is not verified.",
            {"from": "header", "name": "x-okta-verification-challenge"},
        ),
        "query": Handshake.variant(
            "The challenge is in the query of the address, as with Microsoft Graph. The handshake is not verified.",
            {"from": "query", "name": "validationToken", "method": "POST", "as": "text"},
        ),
        "body": BodyHandshake.variant(
            "The challenge is in the JSON body of a POST of at most 16 KiB, as with Slack. A challenge of more than "
            "1,024 characters, or with other than printable ASCII characters, is not sent back.",
            {
                "from": "body",
                "when": "body.type == 'url_verification'",
                "challenge": "body.challenge",
                "field": "challenge",
            },
        ),
        "origin": OriginHandshake.variant(
            "CloudEvents, as with Azure Event Grid: the sender asks by `OPTIONS` whether the origin in "
            "`WebHook-Request-Origin` may send. The answer allows the origin, and as many requests a minute as the "
            "source may send. `WebHook-Request-Callback` is never called. The handshake is not verified.",
            {"from": "origin"},
        ),
    },
)

CACHED_HANDSHAKES = CachedReader(HANDSHAKE)


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
