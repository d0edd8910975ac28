"""Answer the handshakes of a source. They are not verified, so their number is limited."""

import logging

from config_schema.errors import SettingsInvalid
from webhooks.models import HANDSHAKE_CODE, Source
from webhooks.models.rate_limit import RateLimit, RateLimitExceeded, reserve_turn
from webhooks.protocol.handshake import HANDSHAKE
from webhooks.receiving.answers import Answer
from webhooks.receiving.incoming_request import IncomingRequest
from webhooks.receiving.refusals import record_handshake
from webhooks.receiving.request_limit import TooManyRequests

logger = logging.getLogger("hub.receive")

# Of one source, whoever sends them.
HANDSHAKE_LIMIT = RateLimit(per_second=0.5, burst=10)


def answer_handshake(source: Source, incoming: IncomingRequest) -> Answer | None:
    """Return the answer to a handshake, or None if the request is none. Raises TooManyRequests above the limit.

    It is counted for *Requests*, and nothing else is stored: a handshake is no webhook. It has a limit of its own,
    because anyone can send one.
    """
    if not source.is_enabled:
        return None
    try:
        handshake = HANDSHAKE.read(source.handshake, ())
    except SettingsInvalid:
        return None
    challenge = handshake.find_challenge(incoming.method, incoming.headers, incoming.query_string)
    if challenge is None:
        return None
    try:
        reserve_turn(f"handshake:{source.pk}", HANDSHAKE_LIMIT, max_wait=0.0)
    except RateLimitExceeded as refusal:
        raise TooManyRequests(refusal.seconds) from refusal
    logger.info("answered a handshake of %s from %s", source.slug, incoming.address)
    answer = Answer(200, handshake.write_answer(challenge), HANDSHAKE_CODE, media_type=handshake.media_type)
    record_handshake(incoming, source, answer.status)
    return answer
