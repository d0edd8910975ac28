"""Fields of the stored webhook, and the previous values that it carries."""

import json
from collections.abc import Iterable
from typing import Any

from database.encryption.at_rest import CannotDecrypt
from webhooks.models import AnswerMode, Event

# Anyone may have sent an unsigned webhook: nothing else in it may influence a delivery.
_UNSIGNED_FIELDS = ("id", "entityType", "eventType", "timestamp")
# No set: `respond` may hold what cannot be hashed.
_MODES = tuple(AnswerMode)


def webhook_fields(event: Event) -> dict[str, Any]:
    """Return the webhook's fields; of an unsigned webhook only those that identify the entity and the event."""
    # Decrypted once for each event object: several steps of an attempt read the fields.
    known = getattr(event, "_members", None)
    if known is None:
        known = event._members = _read_fields(event)  # type: ignore[attr-defined]
    return dict(known)


def _read_fields(event: Event) -> dict[str, Any]:
    # Retention has deleted the payload; the columns of the event remain.
    if event.payload is None:
        return {"id": event.entity_id, "entityType": event.entity_type, "eventType": event.event_type}
    document = json.loads(event.payload.decrypt())
    return (
        document
        if event.is_signed
        else {name: document[name] for name in _UNSIGNED_FIELDS if name in document}
    )


def previous_values(events: Iterable[Event]) -> list[dict[str, Any]]:
    """Return the `previous` field of each event that has one, newest event first."""
    ordered = sorted(events, key=lambda event: event.pk, reverse=True)
    candidates = [webhook_fields(event).get("previous") for event in ordered]
    return [previous for previous in candidates if isinstance(previous, dict)]


def webhook_data(event: Event) -> dict[str, Any] | None:
    """Return the entity in the webhook's field `data`; None if it has none."""
    data = webhook_fields(event).get("data")
    return data if isinstance(data, dict) else None


def has_webhook_data(event: Event) -> bool:
    """True if the webhook has an entity in `data`. False if its key was destroyed."""
    try:
        return webhook_data(event) is not None
    except CannotDecrypt:
        # An erasure has destroyed the key.
        return False


def wants_entity(event: Event) -> bool:
    """True if the source asked for the entity in the answer, or gets it by default; then the entity is stored."""
    respond = webhook_fields(event).get("respond")
    mode = respond.get("mode") if isinstance(respond, dict) else respond
    # A source with a fixed mode ignores the webhook's `respond`.
    if event.source.mode_is_fixed or mode not in _MODES:
        mode = event.source.default_mode
    return event.is_signed and mode == AnswerMode.ENTITY
