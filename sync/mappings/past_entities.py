"""Reconstruct the inputs of mappings for past events from stored data, without fetching.

Events are read newest first, through an index of each source, up to a limit.
"""

import heapq
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from itertools import islice
from typing import Any

from django.db.models import Q

from config_schema.errors import SettingsInvalid
from connectors.stored_responses import read_stored_entity, says_absent
from database.encryption.at_rest import CannotDecrypt
from sync.deliveries.stored_webhook import webhook_data, webhook_fields
from sync.models import Attempt, Call, Delivery, Finding, Route
from sync.planning.mapping_comparison import MappingInput
from webhooks.models import Event, is_erased

MAX_EVENTS_READ = 20_000
CHUNK_SIZE = 50
_PAGE_SIZE = 200
_MAX_ATTEMPTS = 20 * CHUNK_SIZE


class UntestableReason(StrEnum):
    """Reason why an event cannot be tested."""

    ERASED = "erased"
    DELETED = "deleted"
    COVERED = "covered"
    NOT_FETCHED = "not-fetched"
    NOT_STORED = "not-stored"


@dataclass(frozen=True, slots=True)
class PastEvent:
    """One event with the input of its mapping, or the reason why that is unknown. `attempt` is the one that
    fetched it.
    """

    event: Event
    attempt: Attempt | None = None
    mapping_input: MappingInput | None = None
    reason: UntestableReason | None = None


@dataclass(frozen=True, slots=True)
class _EventPosition:
    received_at: datetime
    pk: int
    entity_type: str


def past_event_chunks(
    routes: Sequence[Route], max_events: int = MAX_EVENTS_READ
) -> Iterator[list[PastEvent]]:
    """Iterate over the events of these routes, newest first, in chunks of 50. Reads at most `max_events`
    events.
    """
    sources_and_types = {(route.source_id, route.entity_type) for route in routes}
    sources = sorted({source for source, _ in sources_and_types})
    walks = [_iterate_source(source) for source in sources]
    # Merged lazily: no source is read further than needed.
    merged = heapq.merge(*walks, key=lambda item: (item[1].received_at, item[1].pk), reverse=True)
    places = (
        place.pk
        for source, place in islice(merged, max_events)
        if (source, place.entity_type) in sources_and_types
    )
    while keys := list(islice(places, CHUNK_SIZE)):
        yield read_past_events(keys, routes)


def _iterate_source(source: int) -> Iterator[tuple[int, _EventPosition]]:
    """Iterate over the positions of one source's events, newest first, by pages of an index."""
    rows = Event.objects.filter(source=source).order_by("-received_at", "-id")
    after: _EventPosition | None = None
    while True:
        further = rows
        if after is not None:
            # The condition on the time alone lets the index find the start of the page; the other one leaves out what
            # was read of that moment.
            earlier = Q(received_at__lt=after.received_at) | Q(id__lt=after.pk)
            further = rows.filter(earlier, received_at__lte=after.received_at)
        page = [
            _EventPosition(*row)
            for row in further.values_list("received_at", "id", "entity_type")[:_PAGE_SIZE]
        ]
        yield from ((source, place) for place in page)
        if len(page) < _PAGE_SIZE:
            return
        after = page[-1]


def read_past_events(events: Sequence[int], routes: Sequence[Route]) -> list[PastEvent]:
    """Read these events in this order, without those that have no delivery on these routes. Four statements."""
    events_by_key = Event.objects.select_related("payload__subject", "source").in_bulk(events)
    deliveries = _one_delivery_per_event(events_by_key, routes)
    attempts = _attempts_by_delivery(deliveries.values())
    calls = _last_fetch_by_attempt(
        attempt.pk for rows in attempts.values() for attempt in rows if not _has_entity(attempt)
    )
    return [
        _read_past_event(events_by_key[pk], deliveries[pk], attempts.get(deliveries[pk].pk, []), calls)
        for pk in events
        if pk in events_by_key and pk in deliveries
    ]


def _one_delivery_per_event(events: Iterable[int], routes: Sequence[Route]) -> dict[int, Delivery]:
    """Return one delivery of each event: all routes of a mapping give it the same input."""
    rows = Delivery.objects.filter(event__in=list(events), route__in=[route.pk for route in routes])
    delivery_by_event: dict[int, Delivery] = {}
    for row in rows.select_related("identity", "route").order_by("pk"):
        delivery_by_event.setdefault(row.event_id, row)
    return delivery_by_event


def _attempts_by_delivery(deliveries: Iterable[Delivery]) -> dict[int, list[Attempt]]:
    """Return the attempts of each delivery, newest first."""
    rows = Attempt.objects.filter(delivery__in=[delivery.pk for delivery in deliveries])
    attempts: dict[int, list[Attempt]] = {}
    for row in rows.select_related("findings__subject").order_by("-id")[:_MAX_ATTEMPTS]:
        attempts.setdefault(row.delivery_id, []).append(row)
    return attempts


def _has_entity(attempt: Attempt) -> bool:
    """Return True if the entity is stored with the attempt, or if the stored findings cannot be decrypted any more."""
    try:
        return attempt.stored_finding(Finding.ENTITY) is not None
    except CannotDecrypt:
        return True


def _last_fetch_by_attempt(attempts: Iterable[int]) -> dict[int, Call]:
    """Return the last response of the identity service about the entity of each attempt."""
    rows = Call.objects.filter(attempt__in=list(attempts), purpose="fetch").order_by("id")
    calls: dict[int, Call] = {}
    for row in rows.select_related("response__subject"):
        # An attempt reads other entities last, to prove that it may, and stores nothing of them.
        if row.response is not None or row.attempt_id not in calls:
            calls[row.attempt_id] = row
    return calls


def _read_past_event(
    event: Event, delivery: Delivery, attempts: list[Attempt], calls: Mapping[int, Call]
) -> PastEvent:
    if is_erased(event.entity_id):
        return PastEvent(event, reason=UntestableReason.ERASED)
    try:
        if delivery.is_relayed:
            return _read_relayed(event, attempts)
        return _read_fetched(event, delivery, attempts, calls)
    except CannotDecrypt:
        return PastEvent(event, reason=_unreadable_reason(event, attempts, calls))


def _read_relayed(event: Event, attempts: list[Attempt]) -> PastEvent:
    if event.event_type == "DELETE":
        return PastEvent(event, reason=UntestableReason.DELETED)
    data = webhook_data(event) if event.payload else None
    if data is None or not attempts:
        return PastEvent(event, reason=UntestableReason.NOT_STORED)
    # Only for a new record is relayed data mapped as a whole.
    is_part = attempts[0].action != "created"
    return PastEvent(event, attempts[0], MappingInput(data, webhook_fields(event), is_part))


def _read_fetched(
    event: Event, delivery: Delivery, attempts: list[Attempt], calls: Mapping[int, Call]
) -> PastEvent:
    """Use the newest attempt that received a response about the entity."""
    for attempt in attempts:
        known = attempt.stored_finding(Finding.ENTITY)
        if known is not None:
            return PastEvent(event, attempt, MappingInput(known, webhook_fields(event)))
        call = calls.get(attempt.pk)
        if call is not None and _is_absent(delivery, call):
            return PastEvent(event, attempt, reason=UntestableReason.DELETED)
        if call is not None and call.status is not None and call.status < 300:
            entity = _parse_stored_response(delivery, call)
            if entity is None:
                return PastEvent(event, attempt, reason=UntestableReason.NOT_STORED)
            return PastEvent(event, attempt, MappingInput(entity, webhook_fields(event)))
        # The attempt knew the entity, but its calls are not stored any more.
        if attempt.action:
            return PastEvent(event, attempt, reason=UntestableReason.NOT_STORED)
    covered = not attempts and delivery.covered_by_id is not None
    return PastEvent(event, reason=UntestableReason.COVERED if covered else UntestableReason.NOT_FETCHED)


def _is_absent(delivery: Delivery, call: Call) -> bool:
    """Return True if a fetch found that there is no such entity, by its status or by a rule of the settings."""
    if call.status is None or call.error:
        return False
    if call.status >= 300:
        # Any other error has a code: only a rule gives such a response another meaning.
        return True
    stored = call.stored_response()
    if stored is None:
        return False
    try:
        return says_absent(
            delivery.identity.settings,
            delivery.route.identity_type,
            call.status,
            stored.get("headers") or {},
            stored.get("body") or "",
        )
    except SettingsInvalid:
        return False


def _parse_stored_response(delivery: Delivery, call: Call) -> Mapping[str, Any] | None:
    """Parse the entity from a stored response. Returns None if it is absent or cut, or if the settings no
    longer find it.
    """
    stored = call.stored_response()
    body = None if stored is None else stored.get("body")
    if not isinstance(body, str):
        return None
    try:
        return read_stored_entity(
            delivery.identity.settings, delivery.route.identity_type, delivery.entity_id, body
        )
    except SettingsInvalid:
        return None


def _unreadable_reason(event: Event, attempts: list[Attempt], calls: Mapping[int, Call]) -> UntestableReason:
    """Return ERASED if a payload that cannot be decrypted belongs to an erased person, else NOT_KEPT."""
    fetched = [calls[attempt.pk].response for attempt in attempts if attempt.pk in calls]
    payloads = [event.payload, *(attempt.findings for attempt in attempts), *fetched]
    keys = [payload.subject for payload in payloads if payload is not None and payload.subject is not None]
    return (
        UntestableReason.ERASED if any(key.wrapped is None for key in keys) else UntestableReason.NOT_STORED
    )
