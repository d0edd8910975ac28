"""Events that no webhook reported: a comparison, or a catch-up, made them.

Such an event belongs to the source of a route. It has no receipt, no body and no time of its own, and it is not signed.
"""

import hashlib
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime

from audit.entries.append import SYSTEM, NewEntry
from audit.format.canonical_json import JSONValue
from database.model_rows import new_row
from webhooks.delivery_port import OpenedRows
from webhooks.models import Event, EventOrigin, Source, SubjectKey, is_erased, lock_or_create_keys
from webhooks.receiving.row_facts import event_facts

MADE_ACTION = "event.made"
# As the column of events.
MAX_ENTITY_ID = 128
EMPTY_BODY_DIGEST = hashlib.sha256(b"").digest()


@dataclass(frozen=True, slots=True)
class EventMaker:
    """What makes events, and at whose request.

    `requested_by`: the key of a person's request, None for a schedule or a catch-up. `actor` and `details` are those of
    the audit entries.
    """

    origin: EventOrigin
    requested_by: int | None = None
    actor: str = SYSTEM
    details: Mapping[str, JSONValue] | None = None


def is_entity_id(entity_id: str) -> bool:
    """Return True if an event can have this id: a system may list others, and a person may type them."""
    return 0 < len(entity_id) <= MAX_ENTITY_ID and entity_id.isprintable() and not is_erased(entity_id)


def lock_subjects(source: Source, entity_type: str, entity_ids: Collection[str]) -> dict[str, SubjectKey]:
    """Return the keys of entities of a source, created if missing, and locked against an erasure until the transaction
    ends.
    """
    keys = lock_or_create_keys([(source.pk, entity_type, entity_id) for entity_id in entity_ids])
    return {entity_id: key for (_, _, entity_id), key in keys.items()}


def make_event(
    source: Source, entity_type: str, entity_id: str, event_type: str, maker: EventMaker, at: datetime
) -> Event:
    """Return a new event that is no webhook. The caller stores it, after `lock_subjects` in the same transaction."""
    return new_row(
        Event,
        source=source,
        entity_type=entity_type,
        entity_id=entity_id,
        event_type=event_type,
        is_signed=False,
        digest=EMPTY_BODY_DIGEST,
        origin=maker.origin,
        requested_by=maker.requested_by,
        received_at=at,
    )


def made_entries(made: Iterable[tuple[Event, OpenedRows]], maker: EventMaker) -> list[NewEntry]:
    """Return the audit entries of new events, each with its deliveries. The caller appends them."""
    requested = {} if maker.requested_by is None else {"requested_by": maker.requested_by}
    return [
        NewEntry(
            event.stream,
            MADE_ACTION,
            maker.actor,
            {
                "origin": str(event.origin),
                **requested,
                "state": str(event.state),
                **event_facts(event),
                "deliveries": opened.deliveries,
                **(maker.details or {}),
            },
            at=event.received_at,
        )
        for event, opened in made
    ]
