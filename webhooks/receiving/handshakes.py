"""Answer the handshakes of a source. Most are not verified, so their number is limited."""

import logging

from config_schema.errors import SettingsInvalid
from webhooks.models import HANDSHAKE_CODE, Source
from webhooks.models.rate_limit import RateLimit, RateLimitExceeded, reserve_turn
from webhooks.protocol.handshake import CACHED_HANDSHAKES, AnyHandshake, BodyHandshake, OriginHandshake
from webhooks.protocol.schemes import hmac_key
from webhooks.receiving.answers import Answer
from webhooks.receiving.incoming_request import IncomingRequest
from webhooks.receiving.refusals import record_handshake
from webhooks.receiving.request_limit import TooManyRequests
from webhooks.receiving.request_verification import RequestRefused, VerifiedRequest, check_size_and_type

logger = logging.getLogger("hub.receive")

# Of one source, whoever sends them.
HANDSHAKE_LIMIT = RateLimit(per_second=0.5, burst=10)


def answer_handshake(
    source: Source, incoming: IncomingRequest, verified: VerifiedRequest | None = None
) -> Answer | None:
    """Return the answer to a handshake, or None if the request is not one. Raises TooManyRequests above the limit.

    Called before the verification of a request and, with its result, after it: each handshake is answered at one of
    the two. It is counted for *Requests*, and nothing else is stored: it is not a webhook. It has a limit of its
    own, because anyone can send one.
    """
    if not source.is_enabled:
        return None
    try:
        handshake = CACHED_HANDSHAKES.read(source.handshake)
    except SettingsInvalid:
        return None
    answer = _build_answer(handshake, source, incoming, verified)
    if answer is None:
        return None
    try:
        reserve_turn(f"handshake:{source.pk}", HANDSHAKE_LIMIT, max_wait=0.0)
    except RateLimitExceeded as refusal:
        raise TooManyRequests(refusal.seconds) from refusal
    logger.info("answered a handshake of %s from %s", source.slug, incoming.address)
    record_handshake(incoming, source, answer.status)
    return answer


def _build_answer(
    handshake: AnyHandshake,
    source: Source,
    incoming: IncomingRequest,
    verified: VerifiedRequest | None,
) -> Answer | None:
    if isinstance(handshake, BodyHandshake):
        if handshake.is_verified != (verified is not None):
            return None
        challenge = handshake.find_challenge(_read_body(source, incoming, verified))
    elif verified is not None:
        return None
    elif isinstance(handshake, OriginHandshake):
        return _allow_origin(handshake, source, incoming)
    else:
        challenge = handshake.find_challenge(incoming.method, incoming.headers, incoming.query_string)
    if challenge is None:
        return None
    key = b""
    if handshake.hmac is not None and not (key := _find_key(source, incoming, verified)):
        return None
    return Answer(
        200, handshake.write_answer(challenge, key), HANDSHAKE_CODE, media_type=handshake.media_type
    )


def _find_key(source: Source, incoming: IncomingRequest, verified: VerifiedRequest | None) -> bytes:
    """Return the key for the HMAC of a challenge: of the secret that verified the request, else of the newest one. b""
    if the source has none.
    """
    for secret in reversed(source.live_secrets(incoming.received_at)):
        if verified is None or verified.secret_id == secret.pk:
            return hmac_key(source.scheme, source.scheme_settings, secret.as_live_secret.value)
    return b""


def _read_body(source: Source, incoming: IncomingRequest, verified: VerifiedRequest | None) -> bytes:
    """Return the body of a request that may contain a challenge, b"" if it may not."""
    if verified is not None:
        return verified.body or incoming.body or b""
    if incoming.method != "POST":
        return b""
    try:
        return check_size_and_type(source, incoming)
    except RequestRefused:
        return b""


def _allow_origin(handshake: OriginHandshake, source: Source, incoming: IncomingRequest) -> Answer | None:
    origin = handshake.find_origin(incoming.method, incoming.headers)
    if origin is None:
        return None
    headers = handshake.answer_headers(origin, source.requests_per_minute)
    return Answer(200, b"", HANDSHAKE_CODE, headers, media_type="text/plain; charset=utf-8")
