"""Receive one webhook, from its bytes to its answer.

It is stored before work on it begins, and its answer is stored before it is sent (promises I1 and I23).
"""

import logging
from contextlib import closing
from dataclasses import replace
from functools import partial

from config_schema.codes.codes import Language
from config_schema.codes.outcome import EventOutcome
from config_schema.codes.trace_context import TRACE_ID, read_traceparent, stored_trace
from webhooks.delivery_port import DeliveryPort, DeliverySession
from webhooks.models import AnswerMode, Event, Source
from webhooks.protocol.formats.event_reader import RequestEvents
from webhooks.protocol.webhook_parser import ParsedWebhook
from webhooks.receiving.answer_storage import ReceiptAnswer
from webhooks.receiving.answers import (
    Answer,
    format_answer,
    ignored_answer,
    outcome_answer,
    problem_answer,
    stored_media_type,
)
from webhooks.receiving.batches import receive_batch
from webhooks.receiving.capture import capture_refused, capture_verified
from webhooks.receiving.handshakes import answer_handshake
from webhooks.receiving.incoming_request import IncomingRequest
from webhooks.receiving.outcome_links import outcome_path
from webhooks.receiving.refusals import record_refusal
from webhooks.receiving.request_limit import check_request_limit, retry_headers
from webhooks.receiving.request_storage import (
    BuildAnswer,
    StoredWebhook,
    record_unusable_request,
    record_webhook,
)
from webhooks.receiving.request_verification import (
    ReceivedRequest,
    RequestedAnswer,
    RequestIgnored,
    RequestRefused,
    choose_answer,
    parse_request,
    verify_request,
)
from webhooks.receiving.source_cache import find_source

logger = logging.getLogger("hub.receive")

_REPLAYED_HEADER = {"Webhook-Replayed": "true"}


class VerifiedRequestFailed(Exception):
    """A verified request of a source with a response format could not be answered. Its cause is the error."""

    def __init__(self, source: Source) -> None:
        super().__init__()
        self.source = source


def receive_webhook(incoming: IncomingRequest, language: Language, delivery_port: DeliveryPort) -> Answer:
    """Receive one request and return its answer.

    1. Find the source, verify the request and count it against the source's request limit. A refusal is counted.
    2. Parse the body. Store the webhook, a repeat of one, or a request that is not a webhook.
    3. Deliver the event and wait as long as the source wants, then store the answer.

    Raises DatabaseError if nothing could be stored; the caller answers `storage-unavailable`. For a source with a
    response format, raises VerifiedRequestFailed from what was raised.
    """
    source, verified = find_source(incoming.slug), None
    try:
        if source is None:
            raise RequestRefused("unknown-source")
        if source.handshake and (answer := answer_handshake(source, incoming)) is not None:
            return answer
        verified = verify_request(source, incoming)
        if source.handshake and (answer := answer_handshake(source, incoming, verified)) is not None:
            return answer
        # After the verification: requests of others must not use up the source's limit.
        check_request_limit(source)
    except RequestRefused as refusal:
        logger.info(
            "refused %s from %s: %s %s", incoming.slug[:64], incoming.address, refusal.code, refusal.text
        )
        answer = problem_answer(refusal.code, language, headers=retry_headers(refusal))
        # A sender that is not verified gets the standard answer, whatever response format the source has.
        if source is not None and verified is not None:
            answer = format_answer(source, answer)
        record_refusal(refusal.code, incoming, source, answer.status, refusal.reason)
        if source is not None and source.open_window is not None:
            capture_refused(source, incoming, verified, refusal)
        return answer
    if verified.body is not None:
        incoming = replace(incoming, body=verified.body)
    if source.open_window is not None:
        capture_verified(source, incoming)
    trace = read_traceparent(incoming.headers.get("traceparent"))
    try:
        return _answer_verified(ReceivedRequest(source, incoming, verified, language, trace), delivery_port)
    except Exception as error:
        if source.response_format:
            raise VerifiedRequestFailed(source) from error
        raise


def receive_handshake(incoming: IncomingRequest, language: Language) -> Answer | None:
    """Return the answer to a request by another method than POST if it is a handshake of a source, otherwise None."""
    source = find_source(incoming.slug)
    if source is None or not source.handshake:
        return None
    try:
        return answer_handshake(source, incoming)
    except RequestRefused as refusal:
        answer = problem_answer(refusal.code, language, headers=retry_headers(refusal))
        record_refusal(refusal.code, incoming, source, answer.status, refusal.reason)
        return answer


def _answer_verified(request: ReceivedRequest, delivery_port: DeliveryPort) -> Answer:
    source, parsed = request.source, None
    if request.trace is not None:
        TRACE_ID.set(stored_trace(request.trace).trace_id)
    try:
        events = parse_request(source, request.incoming, request.verified, delivery_port.routed_types)
        if isinstance(events, RequestEvents):
            answer = receive_batch(request, events, delivery_port)
            number = len(events.events)
            logger.info("%s events from %s: response %s %s", number, source.slug, answer.status, answer.code)
            return answer
        parsed = events
        requested = choose_answer(source, parsed)
        build_answer = partial(_outcome_answer, request, parsed, requested)
        stored = record_webhook(request, parsed, delivery_port, build_answer, seconds=requested.wait_seconds)
    except (RequestRefused, RequestIgnored) as unusable:
        receipt, answer = record_unusable_request(
            request, parsed, partial(_unusable_answer, request, unusable)
        )
        logger.info(
            "%s from %s is not a usable webhook: response %s %s",
            receipt.reference,
            source.slug,
            answer.status,
            answer.code,
        )
        return answer
    event = stored.event
    TRACE_ID.set(event.own_trace.trace_id)
    with_entity = requested.mode == AnswerMode.ENTITY
    if stored.session is not None:
        return _answer_new(stored, stored.session, build_answer, with_entity=with_entity)
    first = _first_final_answer(event, stored_media_type(source))
    if first is not None:
        return _store_answer(stored, first)
    outcome = delivery_port.retry_and_wait(event, requested.wait_seconds, with_entity=with_entity)
    return _store_answer(stored, build_answer(event, outcome))


def _unusable_answer(
    request: ReceivedRequest, unusable: RequestRefused | RequestIgnored, reference: str
) -> Answer:
    answer = (
        ignored_answer(unusable.code, reference)
        if isinstance(unusable, RequestIgnored)
        else problem_answer(unusable.code, request.language, reference=reference, errors=unusable.errors)
    )
    return format_answer(request.source, answer)


def _answer_new(
    stored: StoredWebhook,
    session: DeliverySession,
    build_answer: BuildAnswer,
    *,
    with_entity: bool,
) -> Answer:
    event = stored.event
    with closing(session):
        if stored.answer is not None:
            session.start_without_waiting()
            return _log_answer(stored, stored.answer)
        pending_answer = session.wait_for_answer(
            event,
            lambda outcome: ReceiptAnswer(stored, build_answer(event, outcome)),
            with_entity=with_entity,
        )
    return _log_answer(stored, pending_answer.answer)


def _outcome_answer(
    request: ReceivedRequest,
    parsed: ParsedWebhook,
    requested: RequestedAnswer,
    event: Event,
    outcome: EventOutcome,
) -> Answer:
    source = request.source
    answer = outcome_answer(
        outcome,
        request.language,
        reference=event.reference,
        location_of=outcome_path,
        is_signed=event.is_signed,
        fields=parsed.respond.fields,
        allowed=source.entity_fields if requested.mode == AnswerMode.ENTITY else None,
    )
    return format_answer(source, answer)


def _first_final_answer(event: Event, media_type: str) -> Answer | None:
    """Return the first final answer to this event's webhook, byte for byte, or None if there is none yet."""
    receipt = (
        event.receipts.filter(is_final=True, answer__isnull=False)
        .select_related("answer__subject")
        .order_by("pk")
        .first()
    )
    if receipt is None or receipt.answer is None or receipt.status is None:
        return None
    body = receipt.answer.decrypt()
    return Answer(receipt.status, body, receipt.code, _REPLAYED_HEADER, is_final=True, media_type=media_type)


def _store_answer(stored: StoredWebhook, answer: Answer) -> Answer:
    ReceiptAnswer(stored, answer).store()
    return _log_answer(stored, answer)


def _log_answer(stored: StoredWebhook, answer: Answer) -> Answer:
    event = stored.event
    logger.info(
        "%s %s %s from %s: response %s %s",
        event.reference,
        event.entity_type,
        event.event_type,
        stored.receipt.source.slug,
        answer.status,
        answer.code,
    )
    return answer
