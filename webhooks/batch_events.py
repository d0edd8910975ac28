"""The events of a request with several: those that it stored, and those that were stored before."""

from typing import NamedTuple

from audit.entries.readable_rows import parse_details
from audit.models import Entry
from config_schema.codes.reference import from_reference
from webhooks.models import Event, Receipt
from webhooks.protocol.formats.webhook_format import MAX_EVENTS


class BatchEvent(NamedTuple):
    """An event of a request with several. `is_repeat`: it was stored before the request."""

    event: Event
    is_repeat: bool


def events_of_batch(receipt: Receipt) -> list[BatchEvent]:
    """Return the events of a request with several, in its order, without those that retention has deleted. Empty for
    any other request.

    An event names the request that it came in first. Which others a request repeated is in its audit entry alone; once
    that is deleted, they are left out.
    """
    if receipt.event_count is None:
        return []
    new = list(receipt.batch_events.order_by("pk")[:MAX_EVENTS])
    references = _read_event_references(receipt)
    new_uuids = {event.uuid for event in new}
    uuids = [uuid for uuid in map(from_reference, references) if uuid not in new_uuids]
    # An event belongs to one source for ever: an entry cannot lead to events of another.
    repeated = Event.objects.filter(uuid__in=uuids, source=receipt.source_id)
    batch_events = [BatchEvent(event, False) for event in new] + [
        BatchEvent(event, True) for event in repeated
    ]
    places = {reference: place for place, reference in enumerate(references)}
    return sorted(batch_events, key=lambda batch_event: places.get(batch_event.event.reference, MAX_EVENTS))


def _read_event_references(receipt: Receipt) -> list[str]:
    """Return the references of the request's events from its audit entry, in their order; empty without an entry."""
    if receipt.answered_at is None:
        return []
    entries = Entry.objects.filter(at=receipt.answered_at, action="webhook.batch")
    for text in entries.values_list("details", flat=True):
        details = parse_details(text)
        if details.get("receipt") == receipt.own_reference:
            references = details.get("events")
            # Someone may have changed the entry.
            return (
                list(filter(_is_reference, references[:MAX_EVENTS])) if isinstance(references, list) else []
            )
    return []


def _is_reference(value: object) -> bool:
    try:
        return isinstance(value, str) and bool(from_reference(value))
    except ValueError:
        return False
