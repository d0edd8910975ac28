"""Step 2 of a webhook: check size, content type and signature, then parse. Returns a `ParsedWebhook` or raises
`RequestRefused` with a code of the catalogue.
"""

import re
from dataclasses import dataclass

from webhooks.models import AnswerMode, Source
from webhooks.protocol.signatures import BadSignature, LiveSecret, verify_signature
from webhooks.protocol.strict_json import MalformedBody
from webhooks.protocol.webhook_parser import ParsedWebhook, parse_webhook
from webhooks.receiving.incoming_request import IncomingRequest

_JSON_TYPE = re.compile(r'\s*application/json\s*(;\s*charset\s*=\s*"?utf-?8"?\s*)?', re.ASCII | re.IGNORECASE)
_WEBHOOK_ID = re.compile(r"[!-~]{1,255}")


class RequestRefused(Exception):
    """A request that is not accepted. `pointer` is the JSON pointer of the field at fault, "" if no single one is."""

    def __init__(self, code: str, pointer: str = "", reason: str = "") -> None:
        super().__init__(code, pointer)
        self.code = code
        self.pointer = pointer
        self.reason = reason


@dataclass(frozen=True, slots=True)
class VerifiedRequest:
    """The result of a successful verification. `event_id` comes from the request's header, None if it has none."""

    verified_by: str
    event_id: str | None


def verify_request(source: Source, incoming: IncomingRequest) -> VerifiedRequest:
    """Check everything that does not need the parsed body. Raises RequestRefused at the first check that fails."""
    if not source.is_enabled:
        raise RequestRefused("source-disabled")
    # Size before type, and type before signature: the cheap checks come first.
    if incoming.body is None:
        raise RequestRefused("too-large")
    if not _JSON_TYPE.fullmatch(incoming.headers.get("content-type", "")) or _is_encoded(incoming):
        raise RequestRefused("wrong-content-type")
    try:
        signature = verify_signature(
            source.scheme,
            settings=source.scheme_settings,
            secrets=_live_secrets(source, incoming),
            headers=incoming.headers,
            body=incoming.body,
            now=incoming.received_at,
        )
    except BadSignature as error:
        raise RequestRefused("bad-signature", reason=error.reason) from error
    verified_by = source.scheme if signature.secret_id is None else f"{source.scheme}:{signature.secret_id}"
    return VerifiedRequest(verified_by, signature.webhook_id or incoming.headers.get("webhook-id"))


def _is_encoded(incoming: IncomingRequest) -> bool:
    return bool(incoming.headers.get("content-encoding"))


def _live_secrets(source: Source, incoming: IncomingRequest) -> list[LiveSecret]:
    if not source.is_signed:
        return []
    live = (secret for secret in source.secrets.all() if secret.is_live(incoming.received_at))
    # A secret of an earlier scheme proves nothing: a public key must not count as a password.
    return [LiveSecret(secret.pk, secret.value) for secret in live if secret.fits_scheme]


def parse_request(source: Source, incoming: IncomingRequest, verified: VerifiedRequest) -> ParsedWebhook:
    """Parse a verified request's body. Raises RequestRefused with the code and the pointer of the first fault."""
    if verified.event_id is not None and not _WEBHOOK_ID.fullmatch(verified.event_id):
        raise RequestRefused("wrong-event-id")
    try:
        return parse_webhook(incoming.body or b"", extra_id_characters=source.extra_id_characters)
    except MalformedBody as error:
        raise RequestRefused(error.code, error.pointer) from error


def check_requested_mode(source: Source, parsed: ParsedWebhook) -> None:
    """Raise RequestRefused if the webhook asks for the entity and its source may not see it."""
    if answer_mode(source, parsed) == AnswerMode.ENTITY and not may_see_entity(source):
        raise RequestRefused("not-allowed")


def answer_mode(source: Source, parsed: ParsedWebhook) -> AnswerMode:
    """Return the mode of the answer: the one that the webhook asks for, unless the source's settings fix it.

    Settings that ask for the entity give `result` to a source that may not see the entity.
    """
    if parsed.respond.mode is not None and not source.mode_is_fixed:
        return AnswerMode(parsed.respond.mode)
    mode = AnswerMode(source.default_mode)
    return AnswerMode.RESULT if mode == AnswerMode.ENTITY and not may_see_entity(source) else mode


def answer_wait_seconds(source: Source, parsed: ParsedWebhook) -> float:
    """Return the seconds that the answer may wait for the outcome: 0 to 30."""
    if answer_mode(source, parsed) == AnswerMode.ACK:
        return 0.0
    if source.mode_is_fixed or parsed.respond.wait_seconds is None:
        return source.wait_seconds
    return parsed.respond.wait_seconds


def may_see_entity(source: Source) -> bool:
    """True if answers to this source may contain the entity: it is signed and some fields are allowed."""
    return source.is_signed and bool(source.entity_fields)
