"""Step 5 of a delivery: fetch the entity, find its record, map, compare. Sends reads only, and writes nothing."""

import logging
import time
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from typing import Any

from django.utils import timezone
from django.utils.translation import gettext_noop

from sync.connectors.contracts.types import Entity, IdentityConnector, Record, TargetConnector
from sync.deliveries.claims import Claim
from sync.deliveries.record_links import is_linked_to_other_entity
from sync.deliveries.stored_webhook import carried_data, previous_values, webhook_fields
from sync.models import Route
from sync.planning.change import Change, ChangeAction, plan_deleted_entity, plan_existing_entity
from sync.planning.mapping import EntityNotMappable, ParsedMapping
from sync.planning.record_matching import RecordQuery, find_record, find_record_by_new_value

logger = logging.getLogger("hub.deliver")

# Seconds, while a replica of the identity service may lag. Short, because a source may wait for the answer.
FETCH_RETRY_PAUSES = (0.2, 0.5, 1.0)
# An event that arrived longer ago is no sign of a lag.
MAX_LAG = timedelta(seconds=60)
# Services cut their times to whole seconds.
TIMESTAMP_RESOLUTION = timedelta(seconds=1)


class NoMatchingRecord(Exception):
    """An update has no record in the target, and its route does not create records for updates."""


class EntityNotYetVisible(Exception):
    """The identity service cannot find an entity that it reported as created; it may not have committed it yet."""


class ConnectionDisabled(Exception):
    """One of the two connections is switched off."""


class NoRelayedData(Exception):
    """A webhook without `data` arrived on a route that relays it."""


@dataclass(frozen=True, slots=True)
class Connectors:
    """The connectors of an attempt to both systems."""

    identity: IdentityConnector
    target: TargetConnector


@dataclass(slots=True)
class AttemptFindings:
    """The findings of an attempt, filled in step by step: those from before a failure are stored too."""

    entity: Entity | None = None
    record: Record | None = None
    change: Change | None = None
    record_id: str = ""


def plan_change(claim: Claim, connectors: Connectors, findings: AttemptFindings) -> Change:
    """Find out what must change in the target. Sends reads only; a preview runs exactly this."""
    mapping = claim.route.mapping
    if mapping is None:
        raise EntityNotMappable("mapping", gettext_noop("it has no version yet"))
    if not (claim.delivery.identity.is_enabled and claim.delivery.commercial.is_enabled):
        raise ConnectionDisabled
    findings.entity = entity = _load_entity(claim, connectors.identity)
    findings.record, findings.change = _find_record_and_plan(claim, connectors.target, mapping, entity)
    findings.record_id = findings.change.record_id or ""
    if _is_not_yet_visible(claim, findings):
        raise EntityNotYetVisible
    return findings.change


def _is_not_yet_visible(claim: Claim, findings: AttemptFindings) -> bool:
    """True if nothing but its creation is known of an entity.

    Ending such a delivery as unchanged would lose it: a source that sends its webhook before its own commit, and waits
    for our answer, has nothing for us to read however long we wait.
    """
    is_nowhere = findings.entity is None and findings.record is None and claim.link is None
    return is_nowhere and claim.delivery.is_fetched and _is_older_than_event(None, claim)


def _load_entity(claim: Claim, identity: IdentityConnector) -> Entity | None:
    delivery = claim.delivery
    if delivery.is_fetched:
        return _fetch_current_entity(claim, identity)
    if delivery.event.event_type == "DELETE":
        return None
    data = carried_data(delivery.event)
    if data is None:
        raise NoRelayedData
    return Entity(delivery.entity_type, delivery.entity_id, data, delivery.event.occurred_text or None)


def _fetch_current_entity(claim: Claim, identity: IdentityConnector) -> Entity | None:
    """Fetch the entity, again after a short pause while the answer is older than the event."""
    delivery = claim.delivery
    for pause in FETCH_RETRY_PAUSES:
        entity = identity.fetch_entity(delivery.entity_type, delivery.entity_id)
        if not _is_older_than_event(entity, claim):
            return entity
        time.sleep(pause)
    # After the last pause the answer is used, however old it is.
    return identity.fetch_entity(delivery.entity_type, delivery.entity_id)


def _is_older_than_event(entity: Entity | None, claim: Claim) -> bool:
    """True if the fetched state precedes the event: the entity is missing after its creation, or was modified before
    it.
    """
    if entity is None:
        # With an update or a deletion among the events, the entity may have been deleted since.
        return {event.event_type for event in claim.events} == {"CREATE"}
    if entity.modified_at is None:
        return False
    fresh = timezone.now() - MAX_LAG
    timestamps = [
        event.occurred_at
        for event in claim.events
        if event.occurred_at and event.received_at > fresh and event.event_type != "DELETE"
    ]
    return any(entity.modified_at < occurred_at - TIMESTAMP_RESOLUTION for occurred_at in timestamps)


def _find_record_and_plan(
    claim: Claim,
    target: TargetConnector,
    mapping: ParsedMapping,
    entity: Entity | None,
) -> tuple[Record | None, Change]:
    route = claim.delivery.route
    # Decided before any request to the target.
    if entity is None and route.when_gone == Route.DeletionPolicy.IGNORE:
        return None, Change(ChangeAction.NOTHING)
    target_fields = None if entity is None else _map_entity(claim, mapping, entity)
    sought = _build_record_search(claim, mapping)
    record = find_record(target, mapping, sought)
    if target_fields is None:
        return record, plan_deleted_entity(
            record, route.deactivation, deletes=route.when_gone == Route.DeletionPolicy.DELETE
        )
    if record is None:
        record = _find_before_creating(claim, target, mapping, sought, target_fields)
    # Partial data may have too few fields for a new record: mapped as a whole, they raise if a required one is
    # missing.
    if record is None and entity is not None:
        target_fields = mapping.map_entity(entity.attributes, webhook_fields(claim.delivery.event))
    return record, plan_existing_entity(target_fields, record, mapping.caseless_fields)


def _build_record_search(claim: Claim, mapping: ParsedMapping) -> RecordQuery:
    """Collect what the record can be found by: link, ids, and each previous value once, however many events name it."""
    previous_pairs = (
        pair for previous in previous_values(claim.events) for pair in mapping.previous_values(previous)
    )
    delivery = claim.delivery
    return RecordQuery(
        entity_type=delivery.entity_type,
        entity_id=delivery.entity_id,
        linked_record_id=claim.link.record_id if claim.link else None,
        # Without duplicates, in order: the newest event's values come first.
        previous_values=tuple(dict.fromkeys(previous_pairs)),
        is_linked_to_other=partial(is_linked_to_other_entity, delivery),
    )


def _map_entity(claim: Claim, mapping: ParsedMapping, entity: Entity) -> dict[str, Any]:
    """Return the record's fields: all of them for a fetched entity, only those present for relayed data."""
    apply_mapping = mapping.map_entity if claim.delivery.is_fetched else mapping.map_partial_entity
    return apply_mapping(entity.attributes, webhook_fields(claim.delivery.event))


def _find_before_creating(
    claim: Claim,
    target: TargetConnector,
    mapping: ParsedMapping,
    sought: RecordQuery,
    wanted: dict[str, Any],
) -> Record | None:
    """Find a record that has the new values already; None if one may be created.

    Raises NoMatchingRecord if the route does not create records for updates.
    """
    record = find_record_by_new_value(target, mapping, sought, wanted)
    creates = {"CREATE"} & {event.event_type for event in claim.events}
    if record is None and not creates and claim.delivery.route.without_match == Route.NoMatchPolicy.REFUSE:
        raise NoMatchingRecord
    return record
