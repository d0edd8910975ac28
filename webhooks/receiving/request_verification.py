"""Step 2 of a webhook: check size, content type and signature, then parse. Returns a `ParsedWebhook` or raises
`RequestRefused` with a code of the catalogue.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import partial

from config_schema.codes.codes import Language
from config_schema.errors import SettingsInvalid
from webhooks.models import AnswerMode, Source, find_key_set, request_key_set
from webhooks.protocol.challenge_hmac import may_be_challenge
from webhooks.protocol.formats.event_reader import RequestEvents, UnreadableEvent, read_request
from webhooks.protocol.formats.webhook_format import EVENT_TYPES, WebhookFormat
from webhooks.protocol.signature_reasons import SignatureReason
from webhooks.protocol.signatures import BadSignature, verify_signature
from webhooks.protocol.strict_json import MalformedBody
from webhooks.protocol.tokens.jwt_signatures import UnknownKey
from webhooks.protocol.webhook_parser import InvalidWebhook, ParsedWebhook, parse_webhook
from webhooks.receiving.answers import IGNORED_CODES
from webhooks.receiving.incoming_request import IncomingRequest, sender_url

# Google writes the name of the encoding without `charset=`.
_CONTENT_TYPE = re.compile(
    r'\s*([^\s;,]+)\s*(?:;\s*(?:charset\s*=\s*)?"?utf-?8"?\s*)?', re.ASCII | re.IGNORECASE
)
# Headers that prove who sent a request. A format must not be able to copy them into what is stored.
_SECRET_HEADERS = frozenset({"authorization", "proxy-authorization", "cookie"})
# RFC 8935, section 2, and what senders of other tokens use.
_TOKEN_TYPE = re.compile(r"\s*application/(secevent\+jwt|jwt|jose)\s*", re.ASCII | re.IGNORECASE)
_WEBHOOK_ID = re.compile(r"[!-~]{1,255}")
TYPE_NOT_HANDLED = "type-not-handled"
# Of a source without routes.
_USUAL_TYPES = frozenset({"USER", "GROUP", "FILE"})


class RequestRefused(Exception):
    """A request that is not accepted. `pointer` is the JSON pointer of the field at fault, "" if no single one is;
    `entry` names the entry of the source's webhook format at fault. `reason`: why it is not verified, `text` the same
    in words for the log.
    """

    def __init__(
        self, code: str, pointer: str = "", reason: str = "", entry: str = "", text: str = ""
    ) -> None:
        super().__init__(code, pointer)
        self.code = code
        self.pointer = pointer
        self.reason = reason
        self.entry = entry
        self.text = text

    @property
    def errors(self) -> list[dict[str, str]] | None:
        """The errors of the answer, None if no field and no entry is at fault."""
        place = {"pointer": self.pointer} if self.pointer else {"entry": self.entry} if self.entry else {}
        return [{**place, "code": self.code}] if place else None


class RequestIgnored(Exception):
    """A verified request without an event that the hub could store, and of which it wants none. `code`: why, `filtered`
    or `type-not-handled`.
    """

    def __init__(self, code: str) -> None:
        super().__init__(code)
        self.code = code


@dataclass(frozen=True, slots=True)
class VerifiedRequest:
    """The result of a successful verification.

    `event_id` and `signed_at` are the id and the time of the request that its signature covers; None if it covers none.
    `is_signed` is false if the source verifies nothing. `body` is parsed and stored instead of the request's body; None
    means the request's own body. `secret_id` is the id of the secret that matched; None if there is none.
    """

    verified_by: str
    event_id: str | None
    is_signed: bool
    body: bytes | None = field(default=None, repr=False)
    secret_id: int | str | None = None
    signed_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class RequestedAnswer:
    """The content of the answer to a webhook, and the seconds that it may wait for the outcome: 0 to 30."""

    mode: AnswerMode
    wait_seconds: float


@dataclass(frozen=True, slots=True)
class ReceivedRequest:
    """A verified request: its source, what arrived, how it was verified, the language of its answer, and its trace, as
    an event stores it.
    """

    source: Source
    incoming: IncomingRequest
    verified: VerifiedRequest
    language: Language
    trace: bytes | None = None

    @property
    def body(self) -> bytes:
        """The body, empty if there is none."""
        return self.incoming.body or b""


def verify_request(source: Source, incoming: IncomingRequest) -> VerifiedRequest:
    """Verify size, content type and signature of a request. Raises RequestRefused at the first check that fails."""
    body = check_size_and_type(source, incoming)
    try:
        signature = verify_signature(
            source.scheme,
            settings=source.scheme_settings,
            secrets=[secret.as_live_secret for secret in source.live_secrets(incoming.received_at)],
            headers=incoming.headers,
            body=body,
            now=incoming.received_at,
            method=incoming.method,
            url=partial(sender_url, incoming),
            find_key_set=find_key_set,
        )
    except UnknownKey as error:
        request_key_set(source.jwks_url)
        raise RequestRefused("bad-signature", reason=error.reason, text=error.text) from error
    except BadSignature as error:
        raise RequestRefused("bad-signature", reason=error.reason, text=error.text) from error
    if source.handshake and may_be_challenge(body) and source.signs_challenges_of_anyone:
        raise RequestRefused(
            "bad-signature",
            reason=SignatureReason.MALFORMED_BODY,
            text="the body is no JSON object or list, and anyone could get its signature by a handshake",
        )
    verified_by = source.scheme if signature.secret_id is None else f"{source.scheme}:{signature.secret_id}"
    # Only an id that is signed: with any other header, whoever repeats a request could make it a new event, and whoever
    # guesses an id could take it from an event to come.
    return VerifiedRequest(
        verified_by,
        signature.webhook_id,
        source.is_signed,
        signature.body,
        signature.secret_id,
        signature.webhook_timestamp,
    )


def check_size_and_type(source: Source, incoming: IncomingRequest) -> bytes:
    """Return the body of a request to an enabled source. Raises RequestRefused for a wrong size or content type."""
    if not source.is_enabled:
        raise RequestRefused("source-disabled")
    # Size before type, and type before signature: the cheap checks come first.
    webhook_format = _read_format(source)
    if incoming.body is None or len(incoming.body) > webhook_format.max_bytes:
        raise RequestRefused("too-large")
    if _is_encoded(incoming) or not _accepts_type(source, webhook_format, incoming):
        raise RequestRefused("wrong-content-type")
    return incoming.body


def _read_format(source: Source) -> WebhookFormat:
    try:
        return source.parsed_format
    except SettingsInvalid as invalid:
        # It was valid when it was saved: an older version of the hub accepted it.
        raise RequestRefused("format-error", text=str(invalid)) from invalid


def _accepts_type(source: Source, webhook_format: WebhookFormat, incoming: IncomingRequest) -> bool:
    content_type = incoming.headers.get("content-type", "")
    if source.scheme == "jwt" and not {"header", "field"} & set(source.scheme_settings):
        return bool(_TOKEN_TYPE.fullmatch(content_type))
    if webhook_format.allows_empty_body and _has_no_body(incoming):
        return True
    match = _CONTENT_TYPE.fullmatch(content_type)
    return match is not None and match[1].lower() in webhook_format.content_types


def _has_no_body(incoming: IncomingRequest) -> bool:
    # Of a body that could not be read to its end nothing may be left.
    return not incoming.body and not incoming.headers.get("content-length", "").strip("0")


def _is_encoded(incoming: IncomingRequest) -> bool:
    return bool(incoming.headers.get("content-encoding"))


def parse_request(
    source: Source,
    incoming: IncomingRequest,
    verified: VerifiedRequest,
    routed_types: Callable[[int], frozenset[str]] = lambda _: frozenset(),
) -> ParsedWebhook | RequestEvents:
    """Read a verified request: its webhook, or its events if it has several. `routed_types` returns the entity types of
    the routes of a source; it is called only if a webhook or an event cannot be read.

    Raises RequestRefused with the code and the place of the first fault, and RequestIgnored.
    """
    if verified.event_id is not None and not _WEBHOOK_ID.fullmatch(verified.event_id):
        raise RequestRefused("wrong-event-id")
    webhook_format = source.parsed_format
    try:
        if webhook_format.uses_default_fields:
            return _read_default(source, incoming, routed_types)
        return _read_formatted(source, incoming, routed_types)
    except MalformedBody as error:
        raise RequestRefused(error.code, error.pointer) from error


def _read_default(
    source: Source, incoming: IncomingRequest, routed_types: Callable[[int], frozenset[str]]
) -> ParsedWebhook:
    webhook_format = source.parsed_format
    try:
        parsed = parse_webhook(incoming.body or b"", extra_id_characters=source.extra_id_characters)
    except InvalidWebhook as invalid:
        name, event_name, words = invalid.entity_type, invalid.event_name, webhook_format.entity_types
        is_known = _is_handled(source, name, routed_types) if words is None else not name or name in words
        event_type = webhook_format.event_types.get(event_name, event_name)
        if is_known and (not event_name or event_type in EVENT_TYPES):
            raise
        raise RequestIgnored(TYPE_NOT_HANDLED) from invalid
    return _map_type_names(parsed, webhook_format)


def _is_handled(source: Source, entity_type: str, routed_types: Callable[[int], frozenset[str]]) -> bool:
    """True if a source has routes for an entity type that its webhook format does not state, or has no route at all and
    it is a usual one. Without a type, what is wrong is the request.
    """
    return not entity_type or entity_type in (routed_types(source.pk) or _USUAL_TYPES)


def _map_type_names(parsed: ParsedWebhook, webhook_format: WebhookFormat) -> ParsedWebhook:
    """Return a webhook in the default fields, with the sender's type names mapped to the hub's."""
    if parsed.event_name in webhook_format.event_types:
        parsed = replace(parsed, event_name=webhook_format.event_types[parsed.event_name])
    if webhook_format.entity_types is None:
        return parsed
    entity_type = webhook_format.entity_types.get(parsed.entity_type)
    return (
        replace(parsed, ignore_code="ignored")
        if entity_type is None
        else replace(parsed, entity_type=entity_type)
    )


def _read_formatted(
    source: Source, incoming: IncomingRequest, routed_types: Callable[[int], frozenset[str]]
) -> ParsedWebhook | RequestEvents:
    request = read_request(
        source.parsed_format,
        incoming.body or b"",
        headers=_headers_without_secrets(source, incoming.headers),
        query_string=incoming.query_string,
        extra_id_characters=source.extra_id_characters,
    )
    events = [
        replace(event, code=TYPE_NOT_HANDLED, entry="")
        if isinstance(event, UnreadableEvent) and not _is_handled(source, event.entity_type, routed_types)
        else event
        for event in request.events
    ]
    codes = {event.code if isinstance(event, UnreadableEvent) else "" for event in events}
    if codes <= set(IGNORED_CODES):
        raise RequestIgnored(TYPE_NOT_HANDLED if TYPE_NOT_HANDLED in codes else "filtered")
    if len(events) > 1:
        return RequestEvents(events)
    event = events[0]
    if isinstance(event, UnreadableEvent):
        raise RequestRefused(event.code, entry=event.entry)
    return event


def _headers_without_secrets(source: Source, headers: Mapping[str, str]) -> dict[str, str]:
    """Return the headers that expressions of a webhook format may read: all without a secret."""
    secret_header = source.scheme_settings.get("header") if isinstance(source.scheme_settings, dict) else None
    secret_names = _SECRET_HEADERS | (
        {secret_header.lower()} if isinstance(secret_header, str) else frozenset()
    )
    return {name: value for name, value in headers.items() if name not in secret_names}


def choose_answer(source: Source, parsed: ParsedWebhook) -> RequestedAnswer:
    """Return the answer that the webhook asks for, unless the source's settings fix it.

    Settings that ask for the entity give `result` to a source that may not see the entity. Raises RequestRefused if the
    webhook asks for the entity and its source may not see it.
    """
    requested_mode = None if source.mode_is_fixed else parsed.respond.mode
    mode = AnswerMode(requested_mode or source.default_mode)
    if mode == AnswerMode.ENTITY and not (source.is_signed and source.entity_fields):
        if requested_mode is not None:
            raise RequestRefused("not-allowed")
        mode = AnswerMode.RESULT
    if mode == AnswerMode.ACK:
        return RequestedAnswer(mode, 0.0)
    requested_seconds = None if source.mode_is_fixed else parsed.respond.wait_seconds
    return RequestedAnswer(mode, source.wait_seconds if requested_seconds is None else requested_seconds)
