"""Signed links under which a source can ask for the outcome of its request later, and the answers to them.

Each link is valid for a day.
"""

import json
from collections.abc import Sequence
from datetime import timedelta

from django.core import signing

from config_schema.codes.codes import Language
from config_schema.codes.reference import from_reference
from webhooks.batch_events import events_of_batch
from webhooks.delivery_port import DeliveryPort
from webhooks.models import Event, Receipt
from webhooks.receiving.answers import (
    Answer,
    BatchResult,
    batch_answer,
    format_answer,
    outcome_answer,
    problem_answer,
)

LINK_LIFETIME = timedelta(days=1)
_SALT = "outcome"


def outcome_path(reference: str) -> str:
    """Return the signed path of the outcome of an event, or of a request with several, for a `Location` header."""
    return f"/outcomes/{signing.TimestampSigner(salt=_SALT).sign(reference)}"


def find_by_token(token: str) -> Event | Receipt | None:
    """Return the event, or the receipt of a request with several, of a token that was signed less than a day ago; None
    for any other text.
    """
    try:
        uuid = from_reference(signing.TimestampSigner(salt=_SALT).unsign(token, max_age=LINK_LIFETIME))
    except (signing.BadSignature, ValueError):
        return None
    event = Event.objects.select_related("source").filter(uuid=uuid).first()
    if event is not None:
        return event
    batches = Receipt.objects.filter(event_count__isnull=False).select_related("source", "payload")
    return batches.filter(uuid=uuid).first()


def answer_current_outcome(
    event_or_batch: Event | Receipt, language: Language, delivery_port: DeliveryPort
) -> Answer:
    """Return the answer that mode `result` would give now, without the entity: for an event, or for a request with
    several.
    """
    if isinstance(event_or_batch, Receipt):
        return _answer_current_batch(event_or_batch, language, delivery_port)
    answer = outcome_answer(
        delivery_port.load_outcomes([event_or_batch])[event_or_batch.pk],
        language,
        reference=event_or_batch.reference,
        location_of=outcome_path,
        is_signed=event_or_batch.is_signed,
    )
    return format_answer(event_or_batch.source, answer)


def build_batch_answer(
    receipt: Receipt,
    results: Sequence[BatchResult],
    language: Language,
    *,
    is_acknowledgement: bool = False,
) -> Answer:
    """Return the answer to a request with several events, in the response format of its source."""
    reference = receipt.own_reference
    answer = batch_answer(
        results,
        language,
        reference,
        location=outcome_path(reference),
        is_acknowledgement=is_acknowledgement,
    )
    return format_answer(receipt.source, answer)


def _answer_current_batch(receipt: Receipt, language: Language, delivery_port: DeliveryPort) -> Answer:
    """Return the answer to a request with several events, as it would be now.

    Its results are in the order of the request, and list an event once that came twice in it. An event that could not
    be read is left out once retention or an erasure has deleted what is stored of it.
    """
    events = [batch_event.event for batch_event in events_of_batch(receipt)]
    if not events:
        return format_answer(receipt.source, problem_answer("unknown-outcome", language))
    outcomes = delivery_port.load_outcomes(events)
    codes, remaining_events = _unreadable_codes(receipt), iter(events)
    results: list[BatchResult] = []
    for position in range(receipt.event_count or 0):
        if position in codes:
            results.append(BatchResult(codes[position]))
        elif (event := next(remaining_events, None)) is not None:
            event.source = receipt.source
            results.append(BatchResult("", event.reference, outcomes[event.pk]))
    return build_batch_answer(receipt, results, language)


def _unreadable_codes(receipt: Receipt) -> dict[int, str]:
    """Return the codes of the events of a request that could not be read, by position."""
    stored_events = json.loads(receipt.payload.decrypt()) if receipt.payload else []
    return {stored_event["position"]: stored_event["code"] for stored_event in stored_events}
