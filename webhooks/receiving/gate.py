"""Hop 2: size, content type, signature over the raw bytes, strict parse; a typed `Notice` or a refusal with a code."""

import re
from dataclasses import dataclass

from webhooks.models import Mode, Source
from webhooks.protocol.notice import Notice, parse_notice
from webhooks.protocol.signatures import BadSignature, Secret, verify
from webhooks.protocol.strict_json import Malformed
from webhooks.receiving.incoming_request import Arrival

_JSON_TYPE = re.compile(r'\s*application/json\s*(;\s*charset\s*=\s*"?utf-?8"?\s*)?', re.ASCII | re.IGNORECASE)
_WEBHOOK_ID = re.compile(r"[!-~]{1,255}")


class Refused(Exception):
    """The request goes no further. `pointer` names the member, where one is at fault."""

    def __init__(self, code: str, pointer: str = "", reason: str = "") -> None:
        super().__init__(code, pointer)
        self.code = code
        self.pointer = pointer
        self.reason = reason


@dataclass(frozen=True, slots=True)
class Verified:
    """The request is the source's. `event_id` is the one in its header, where it has one."""

    verified_by: str
    event_id: str | None


def verify_sender(source: Source, arrival: Arrival) -> Verified:
    """Everything that comes before the parse, in the contract's order. `Refused` at the first that does not hold."""
    if not source.is_enabled:
        raise Refused("source-disabled")
    if arrival.body is None:
        raise Refused("too-large")
    if not _JSON_TYPE.fullmatch(arrival.headers.get("content-type", "")) or _is_encoded(arrival):
        raise Refused("wrong-content-type")
    try:
        verdict = verify(
            source.scheme,
            settings=source.scheme_settings,
            secrets=_live_secrets(source, arrival),
            headers=arrival.headers,
            body=arrival.body,
            now=arrival.received_at,
        )
    except BadSignature as error:
        raise Refused("bad-signature", reason=error.reason) from error
    by = source.scheme if verdict.secret_id is None else f"{source.scheme}:{verdict.secret_id}"
    return Verified(by, verdict.webhook_id or arrival.headers.get("webhook-id"))


def _is_encoded(arrival: Arrival) -> bool:
    return bool(arrival.headers.get("content-encoding"))


def _live_secrets(source: Source, arrival: Arrival) -> list[Secret]:
    if not source.is_signed:
        return []
    live = (each for each in source.secrets.all() if each.is_live(arrival.received_at))
    return [Secret(each.pk, each.value) for each in live if each.fits]


def read_notice(source: Source, arrival: Arrival, verified: Verified) -> Notice:
    """The parse. `Refused` with the code and the member."""
    if verified.event_id is not None and not _WEBHOOK_ID.fullmatch(verified.event_id):
        raise Refused("wrong-event-id")
    try:
        return parse_notice(arrival.body or b"", extra_id_characters=source.extra_id_characters)
    except Malformed as error:
        raise Refused(error.code, error.pointer) from error


def refuse_more_than_allowed(source: Source, notice: Notice) -> None:
    """`Refused` where the sender asks for more than it may have; what its settings say too much is left out."""
    if wanted_mode(source, notice) == Mode.ENTITY and not may_see_entity(source):
        raise Refused("not-allowed")


def wanted_mode(source: Source, notice: Notice) -> Mode:
    """How the sender is answered: as it asks, unless the source's settings fix it. They give no entity that the source
    may not see."""
    if notice.respond.mode is not None and not source.mode_is_fixed:
        return Mode(notice.respond.mode)
    mode = Mode(source.default_mode)
    return Mode.RESULT if mode == Mode.ENTITY and not may_see_entity(source) else mode


def wanted_wait(source: Source, notice: Notice) -> float:
    """Seconds that the answer may wait for the outcome."""
    if wanted_mode(source, notice) == Mode.ACK:
        return 0.0
    if source.mode_is_fixed or notice.respond.wait is None:
        return source.wait_seconds
    return notice.respond.wait


def may_see_entity(source: Source) -> bool:
    """Only a signed source that is allowed some members is ever told an entity."""
    return source.is_signed and bool(source.entity_fields)
