"""Facts about the rows of a webhook that audit entries repeat, so that a row that was changed later is found."""

from audit.format.canonical_json import JSONValue
from audit.format.row_digest import keyed_row_digest, row_digest
from audit.format.signed_records import format_time
from webhooks.models import Event, Receipt, subject_row_key


def event_facts(event: Event) -> dict[str, JSONValue]:
    """Return digests of an event's columns: `facts` of those that stay, `subject` of those that an erasure removes, and
    `payload` of its stored body.
    """
    return {
        "facts": row_digest(
            "event",
            event.source_id,
            event.entity_type,
            event.event_type,
            event.occurred_at,
            event.occurred_text,
            event.is_signed,
        ),
        "subject": keyed_row_digest(
            subject_row_key(event.uuid),
            "event",
            event.event_id,
            event.entity_id,
            bytes(event.digest).hex(),
        ),
        **({} if event.payload is None else {"payload": event.payload.entry_digest}),
    }


def answer_facts(receipt: Receipt) -> dict[str, JSONValue]:
    """Return the answer that a receipt was stored with; empty if it has none yet."""
    if receipt.status is None or receipt.answered_at is None:
        return {}
    return {
        "status": receipt.status,
        "code": receipt.code,
        "final": receipt.is_final,
        "answered": format_time(receipt.answered_at),
        **({} if receipt.answer is None else {"answer": receipt.answer.entry_digest}),
    }
