"""Decide which events of a replay are skipped, and why: on selection, and again when they are sent.

A few statements for any number of events.
"""

from collections import defaultdict
from collections.abc import Collection, Mapping
from typing import Any

from django.db.models import Q

from sync.deliveries.creation import EVENT_TYPES, enabled_routes
from sync.deliveries.superseded import annotate_newer, is_outdated
from sync.models import (
    OPEN_STATES,
    SUCCESS_STATES,
    Delivery,
    Erasure,
    ErasureState,
    MemberState,
    PersonRequest,
    PersonRequestMember,
    PersonRequestState,
    Route,
    SkipReason,
)
from webhooks.models import Event, EventOrigin, is_erased

_LOADED_FIELDS = (
    *("event_id", "state", "person_request_id", "is_relayed", "settled_at", "occurred_at"),
    *("newer", "newer_type", "linked_record", "applied_until", "route__mode"),
)
_STARTED = (PersonRequestState.AWAITING, PersonRequestState.RUNNING, PersonRequestState.PAUSED)


def find_skipped(events: Collection[Event], replay: PersonRequest) -> dict[int, SkipReason]:
    """Return the reason for each event of this replay that is skipped, by key.

    An event with several targets is sent if one of them still needs it. Routes that observe take none.
    """
    keys = [event.pk for event in events]
    deliveries: dict[int, list[Any]] = defaultdict(list)
    for row in annotate_newer(Delivery.objects.filter(event__in=keys)).values_list(
        *_LOADED_FIELDS, named=True
    ):
        deliveries[row.event_id].append(row)
    routed, erased, elsewhere = (
        _routed_entity_types(events),
        _confirmed_erasures(events),
        _taken_by_other_replays(keys, replay),
    )
    reasons = {
        event.pk: SkipReason.ERASED
        if _is_erased(event, erased)
        else SkipReason.OTHER_REPLAY
        if event.pk in elsewhere
        else _skip_reason(event, deliveries[event.pk], replay, routed)
        for event in events
    }
    return {key: reason for key, reason in reasons.items() if reason is not None}


def _skip_reason(
    event: Event, rows: list[Any], replay: PersonRequest, routed: Collection[tuple[int, str, str]]
) -> SkipReason | None:
    if not rows:
        return _reason_without_delivery(event, routed)
    rows = [row for row in rows if row.route__mode == Route.Mode.LIVE]
    if not rows:
        return SkipReason.OBSERVES
    # Only an open delivery waits for its replay: a closed one names the request that closed it.
    if any(row.person_request_id and row.state in OPEN_STATES for row in rows):
        return SkipReason.OTHER_REPLAY
    if _succeeded_since_frozen(rows, replay):
        return SkipReason.SUCCEEDED
    if not all(map(is_outdated, rows)):
        return None
    return SkipReason.DELETED if all(map(_entity_was_deleted, rows)) else SkipReason.NEWER


def _reason_without_delivery(event: Event, routed: Collection[tuple[int, str, str]]) -> SkipReason | None:
    # Only a webhook is for all routes of its source.
    if event.origin != EventOrigin.WEBHOOK or event.event_type not in EVENT_TYPES:
        return SkipReason.UNROUTED
    modes = [mode for mode in Route.Mode if (event.source_id, event.entity_type, mode) in routed]
    if Route.Mode.LIVE in modes:
        return None
    return SkipReason.OBSERVES if modes else SkipReason.UNROUTED


def _succeeded_since_frozen(rows: list[Any], replay: PersonRequest) -> bool:
    """Return True if all deliveries succeeded after the selection was frozen. Earlier successes were selected
    deliberately.
    """
    frozen_at = replay.frozen_at
    return frozen_at is not None and all(
        row.state in SUCCESS_STATES and row.settled_at and row.settled_at > frozen_at for row in rows
    )


def _entity_was_deleted(row: Any) -> bool:
    """Return True if a later delivery deleted the entity's record, or was its deletion."""
    return bool(row.newer_type == "DELETE" or row.linked_record == "")


def _routed_entity_types(events: Collection[Event]) -> set[tuple[int, str, str]]:
    """Return sources and entity types of the enabled routes, with their modes."""
    sources = {event.source_id for event in events}
    routes = enabled_routes().filter(source__in=sources)
    return set(routes.values_list("source_id", "entity_type", "mode"))


def _confirmed_erasures(events: Collection[Event]) -> Mapping[tuple[str, str], set[int]]:
    """Return the sources with a confirmed erasure, by entity type and id."""
    confirmed = Erasure.objects.filter(
        state=ErasureState.CONFIRMED, entity_id__in={event.entity_id for event in events}
    )
    sources_by_entity: dict[tuple[str, str], set[int]] = defaultdict(set)
    for entity_type, entity_id, sources in confirmed.values_list("entity_type", "entity_id", "sources"):
        sources_by_entity[entity_type, entity_id] |= set(sources)
    return sources_by_entity


def _is_erased(event: Event, erased: Mapping[tuple[str, str], set[int]]) -> bool:
    return is_erased(event.entity_id) or event.source_id in erased.get(
        (event.entity_type, event.entity_id), ()
    )


def _taken_by_other_replays(keys: list[int], replay: PersonRequest) -> set[int]:
    """Return the events that another replay has sent or will send. Of two started replays, the older one sends an
    event. One that only waits for a retry may be sent earlier by another replay.
    """
    others = PersonRequestMember.objects.filter(event__in=keys).exclude(person_request=replay)
    if replay.started_at is not None:
        others = others.filter(person_request__lt=replay.pk)
    is_taken = Q(state=MemberState.SENT) | Q(state=MemberState.WAITING, person_request__state__in=_STARTED)
    return set(others.filter(is_taken).values_list("event_id", flat=True))
