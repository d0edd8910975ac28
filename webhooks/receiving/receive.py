"""One webhook, from its bytes to its answer: stored first, then worked on, then told. That order is the promise."""

import logging
from contextlib import closing
from functools import partial

from webhooks.catalogue.codes import Language
from webhooks.catalogue.outcome import EventOutcome
from webhooks.delivery_port import Begun, Delivering
from webhooks.models import Event, Mode, Source
from webhooks.protocol.notice import Notice
from webhooks.receiving.answer_record import ReceiptAnswer
from webhooks.receiving.answers import Answer, outcome_answer, problem
from webhooks.receiving.gate import (
    Refused,
    Verified,
    may_see_entity,
    read_notice,
    refuse_more_than_allowed,
    verify_sender,
    wanted_mode,
    wanted_wait,
)
from webhooks.receiving.incoming_request import Arrival
from webhooks.receiving.outcome_links import outcome_path
from webhooks.receiving.record import Recorded, Say, record_unusable, record_webhook
from webhooks.receiving.refusals import record_refusal
from webhooks.receiving.request_limit import admit, retry_headers
from webhooks.receiving.source_cache import source_of

logger = logging.getLogger("hub.receive")

_REPEATED = {"Webhook-Replayed": "true"}


def receive_webhook(arrival: Arrival, language: Language, delivering: Delivering) -> Answer:
    """Verify, store, deliver, answer.

    Raises the database's own errors when nothing could be stored; the caller answers `storage-unavailable`.
    """
    source = source_of(arrival.slug)
    try:
        if source is None:
            raise Refused("unknown-source")
        verified = verify_sender(source, arrival)
        admit(source)
    except Refused as refused:
        logger.info(
            "refused %s from %s: %s %s", arrival.slug[:64], arrival.address, refused.code, refused.reason
        )
        record_refusal(refused.code, arrival, source)
        return problem(refused.code, language, headers=retry_headers(refused))
    return _answer_verified(source, arrival, verified, language, delivering)


def _answer_verified(
    source: Source, arrival: Arrival, verified: Verified, language: Language, delivering: Delivering
) -> Answer:
    notice = None
    try:
        notice = read_notice(source, arrival, verified)
        refuse_more_than_allowed(source, notice)
        say = partial(_outcome_answer, source, notice, language)
        recorded = record_webhook(source, arrival, verified, notice, delivering, say)
    except Refused as refused:
        recorded = record_unusable(source, arrival, verified, notice)
        logger.info("%s unusable: %s", recorded.receipt.reference, refused.code)
        errors = [{"pointer": refused.pointer, "code": refused.code}] if refused.pointer else None
        answer = problem(refused.code, language, reference=recorded.receipt.reference, errors=errors)
        return _told(recorded, answer)
    event = recorded.event
    assert event is not None, "a usable webhook has an event"
    with_entity = wanted_mode(source, notice) == Mode.ENTITY
    if recorded.begun is not None:
        return _answer_new(recorded, event, recorded.begun, say, with_entity=with_entity)
    first = _first_final_answer(event)
    if first is not None:
        return _told(recorded, first)
    seconds = wanted_wait(source, notice)
    return _told(recorded, say(event, delivering.deliver_again(event, seconds, with_entity=with_entity)))


def _answer_new(recorded: Recorded, event: Event, begun: Begun, say: Say, *, with_entity: bool) -> Answer:
    with closing(begun):
        if recorded.answer is not None:
            begun.start()
            return _logged(recorded, recorded.answer)
        pending_answer = begun.wait(
            event, lambda outcome: ReceiptAnswer(recorded, say(event, outcome)), with_entity=with_entity
        )
    return _logged(recorded, pending_answer.answer)


def _outcome_answer(
    source: Source, notice: Notice, language: Language, event: Event, outcome: EventOutcome
) -> Answer:
    shows_entity = wanted_mode(source, notice) == Mode.ENTITY and may_see_entity(source)
    return outcome_answer(
        outcome,
        language,
        reference=event.reference,
        location=outcome_path(event) if outcome.is_open else "",
        is_signed=event.is_signed,
        fields=notice.respond.fields,
        allowed=source.entity_fields if shows_entity else None,
    )


def _first_final_answer(event: Event) -> Answer | None:
    """The answer that an earlier copy of this webhook was told, if that was final: the same bytes again."""
    told = (
        event.receipts.filter(is_final=True, answer__isnull=False)
        .select_related("answer__subject")
        .order_by("pk")
        .first()
    )
    if told is None or told.answer is None or told.status is None:
        return None
    return Answer(told.status, told.answer.open(), told.code, _REPEATED, is_final=True)


def _told(recorded: Recorded, answer: Answer) -> Answer:
    ReceiptAnswer(recorded, answer).keep()
    return _logged(recorded, answer)


def _logged(recorded: Recorded, answer: Answer) -> Answer:
    event, receipt = recorded.event, recorded.receipt
    what = f"{event.entity_type} {event.event_type}" if event is not None else "an unusable webhook"
    logger.info(
        "%s %s from %s: response %s %s",
        receipt.reference,
        what,
        receipt.source.slug,
        answer.status,
        answer.code,
    )
    return answer


def tell_outcome(event: Event, language: Language, outcome: EventOutcome) -> Answer:
    """What `result` would answer now, for the signed address. Never the entity."""
    return outcome_answer(
        outcome,
        language,
        reference=event.reference,
        location=outcome_path(event),
        is_signed=event.is_signed,
    )
