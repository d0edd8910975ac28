"""Step 5 of a delivery: fetch the entity, find its record, map, compare. Sends reads only, and writes nothing."""

import logging
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import timedelta
from functools import partial
from typing import Any

from django.conf import settings
from django.utils import timezone

from connectors.contracts.types import Entity, IdentityConnector, Record, TargetConnector
from connectors.values.secret_scrubber import SecretScrubber
from sync.attempts.absence import (
    RecordOwnerUnproven,
    prove_entity_absence,
    prove_record_absence,
    prove_record_owner,
    reported_deletion,
)
from sync.attempts.scope import decide_scope
from sync.attempts.unlinked_records import is_creation_chosen, match_unlinked_record
from sync.deliveries.claims import Claim
from sync.deliveries.record_links import has_linked_entity, other_owners
from sync.deliveries.stored_webhook import webhook_data, webhook_fields
from sync.models import Attempt, AttemptCause, Delivery, Route
from sync.planning.change import (
    Change,
    ChangeAction,
    ScopeMove,
    UnreadFields,
    add_unchanged_field,
    plan_candidates,
    plan_deleted_entity,
)
from sync.planning.first_values import NOTHING_UNSEEN, UnseenPaths, look_up_unseen
from sync.planning.mapping import EntityNotMappable, ParsedMapping
from sync.planning.record_matching import (
    NO_RECORD,
    FoundRecord,
    MatchUndecided,
    RecordQuery,
    ValueMatch,
    find_record,
    require_own_external_id,
)
from sync.planning.reference_resolution import MappedFields, map_with_references
from sync.planning.references import Reference
from sync.planning.scope import plan_returned_entity
from sync.planning.unkept_fields import (
    DigestDifference,
    WriteCount,
    WriteCounts,
    count_writes,
    is_last_write,
    leave_out_unkept,
)
from sync.references.linked_records import record_finder_of
from sync.references.missing_references import is_wait_over
from webhooks.models import EventOrigin, keyed_digest

logger = logging.getLogger("hub.deliver")

# Seconds, while a replica of the identity service may lag. Short, because a source may wait for the answer.
FETCH_RETRY_PAUSES = (0.2, 0.5, 1.0)
# An event that arrived longer ago is not a sign of a lag.
MAX_LAG = timedelta(seconds=60)
# Services cut their times to whole seconds.
TIMESTAMP_RESOLUTION = timedelta(seconds=1)
_KEEPS_RECORD = (Route.LeavingPolicy.LEAVE, Route.LeavingPolicy.UNLINK)


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


@dataclass(frozen=True, slots=True)
class Plan:
    """The change of the target that an attempt plans, and the record that it is for.

    If `is_matched`, the record was found by a value, and must be linked to the subject before it is changed.
    `write_counts` are the counts of the record after the change is applied. `left_out` has the entities that the record
    should refer to but that have no record, `linked` the record ids of the other entities. If `is_record_absent`, the
    entity was deleted or left the scope of the route, and it has no record. `found`: how the record was found.
    `unseen`: what the entity says of fields that had no value yet. If `had_record`, the subject was linked to a record
    when this was planned. `match`: what the searches by values found, None if no record was found by a value.
    """

    change: Change
    record: Record | None = None
    is_matched: bool = False
    write_counts: Mapping[str, WriteCount] = field(default_factory=dict)
    left_out: frozenset[Reference] = frozenset()
    linked: Mapping[Reference, str] = field(default_factory=dict)
    is_record_absent: bool = False
    found: FoundRecord = NO_RECORD
    unseen: UnseenPaths = NOTHING_UNSEEN
    had_record: bool = False
    match: ValueMatch | None = None


@dataclass(slots=True)
class AttemptFindings:
    """The findings of an attempt: the entity, then the plan, then the record as it was written. After a failure, those
    up to it are stored.

    `record_id` is empty if no record is known, and `written` None unless one was created or updated. If `is_outdated`,
    the identity service returned a state of the entity from before the event. `deletion_proof`: what proves that the
    entity was deleted, as `prove_entity_absence` returns it. `scrubber` removes the secrets of both
    connections from the findings before they are stored or shown.
    """

    entity: Entity | None = None
    is_outdated: bool = False
    deletion_proof: Mapping[str, str] = field(default_factory=dict)
    plan: Plan | None = None
    record_id: str = ""
    written: Record | None = None
    scrubber: SecretScrubber = field(default_factory=SecretScrubber)

    @property
    def change(self) -> Change | None:
        """Return the planned change; None if none was planned."""
        return self.plan.change if self.plan is not None else None


def plan_change(claim: Claim, connectors: Connectors, findings: AttemptFindings) -> Plan:
    """Find out what must change in the target. Sends reads only; a preview runs exactly this.

    Raises EntityAbsenceUnproven or RecordAbsenceUnproven if nothing proves that a missing entity or record was deleted,
    RecordOwnerUnproven if the record of an entity that was deleted, or left the scope of the route, may be that of
    another person, and OutOfScope for an entity that the route is not for.
    """
    mapping = claim.route.mapping
    if mapping is None:
        raise EntityNotMappable("mapping", "it has no version yet")
    if not (claim.delivery.identity.is_enabled and claim.delivery.target.is_enabled):
        raise ConnectionDisabled
    entity, is_outdated = _read_entity(claim, connectors.identity)
    findings.entity, findings.is_outdated = entity, is_outdated
    unread = _unread_names(claim, connectors.target, mapping)
    try:
        move = decide_scope(claim, entity, is_outdated=is_outdated)
        plan = _find_record_and_plan(claim, connectors.target, mapping, entity, unread, move)
    except MatchUndecided as undecided:
        # A person decides; until then the plan has the candidates.
        candidates = plan_candidates(tuple(mapping.fields), undecided.fields, undecided.candidates)
        found = FoundRecord(None, has_failed_proof=undecided.has_failed_proof)
        findings.plan = Plan(candidates, found=found, match=undecided.match)
        raise
    removes = entity is None or plan.change.scope is ScopeMove.LEFT
    is_partial = removes or not claim.delivery.is_fetched
    findings.plan = plan = _leave_out_unkept(claim, plan, is_partial=is_partial, unread=unread)
    findings.record_id = plan.change.record_id or ""
    if entity is None:
        findings.deletion_proof = _prove_deletion(claim, connectors.identity, plan)
    if plan.found.has_lost_external_id or (removes and plan.found.has_unknown_external_id):
        _require_owner(claim, mapping, findings, plan)
    return plan


def _read_entity(claim: Claim, identity: IdentityConnector) -> tuple[Entity | None, bool]:
    """Return the entity, None if it is deleted, and whether it seems to be as it was before the event: it precedes the
    event, or its deletion was reported last.
    """
    if not claim.delivery.is_fetched:
        return _entity_from_webhook(claim.delivery), False
    entity, is_older = _fetch_current_entity(claim, identity)
    # A replica may lag, and a source may send its webhook before its own commit.
    is_outdated = entity is not None and (is_older or reported_deletion(claim) is not None)
    return entity, is_outdated


def _prove_deletion(claim: Claim, identity: IdentityConnector, plan: Plan) -> Mapping[str, str]:
    """Return what proves that the entity was deleted. Raises EntityNotYetVisible or EntityAbsenceUnproven if nothing
    does.
    """
    if not claim.delivery.is_fetched:
        return {"event": claim.delivery.event.reference}
    if _is_not_yet_visible(claim, plan.record):
        raise EntityNotYetVisible
    return prove_entity_absence(claim, identity)


def _require_owner(claim: Claim, mapping: ParsedMapping, findings: AttemptFindings, plan: Plan) -> None:
    """Raise RecordOwnerUnproven, with the record's external id in the plan, unless a person approved the change.

    An update corrects an external id that was mistyped. A deletion cannot be undone, and neither is sent to a record
    that has lost the external id which proved that it is the entity's.
    """
    name = mapping.match.external_id
    assert name is not None, "only a record with an external id has an unknown one"
    try:
        prove_record_owner(claim, plan.change, name, has_lost_external_id=plan.found.has_lost_external_id)
    except RecordOwnerUnproven:
        if plan.record is not None:
            change = add_unchanged_field(plan.change, name, plan.record.fields.get(name))
            findings.plan = replace(plan, change=change)
        raise


def _leave_out_unkept(claim: Claim, plan: Plan, *, is_partial: bool, unread: frozenset[str]) -> Plan:
    """Return the plan without fields that were written several times and that the target did not store, with the counts
    of the writes. `unread`: the fields that the target does not return.

    A replay sends these fields again.
    """
    change = plan.change
    counts, digest = _write_counts_of(claim, change.record_id), _difference_digest(claim)
    reduced = leave_out_unkept(change, counts, digest, settings.UNKEPT_WRITES)
    if reduced.left_out_fields and not _is_requested_by_person(claim):
        change = reduced
    return replace(
        plan,
        change=change,
        write_counts=count_writes(change, counts, digest, is_partial=is_partial, unread=unread),
    )


def _write_counts_of(claim: Claim, record_id: str | None) -> WriteCounts:
    """Return the counts of a record. The writes of another record say nothing about it."""
    link = claim.link
    return link.write_counts if link is not None and link.record_id == record_id else {}


def _difference_digest(claim: Claim) -> DigestDifference:
    return partial(keyed_digest, "unkept", claim.delivery.entity_type, claim.delivery.entity_id)


def _unread_names(claim: Claim, target: TargetConnector, mapping: ParsedMapping) -> frozenset[str]:
    """Return the fields that the hub compares and that the target does not return."""
    route = claim.delivery.route
    names = mapping.compared_fields.union(route.deactivation or {}, route.reactivation or {})
    return target.unread_fields(claim.route.target_type, names)


def _unread_fields(claim: Claim, names: frozenset[str]) -> UnreadFields | None:
    """Return the fields that the target does not return, None if there is none. A replay sends them again."""
    if not names:
        return None
    digest, is_requested = _difference_digest(claim), _is_requested_by_person(claim)

    def was_written(record_id: str, name: str, value: Any) -> bool:
        return not is_requested and is_last_write(_write_counts_of(claim, record_id), digest, name, value)

    return UnreadFields(names, was_written)


def _is_requested_by_person(claim: Claim) -> bool:
    """True if a person asked for this attempt, or for the one that it retries. Reads earlier attempts for a retry."""
    cause = claim.attempt.cause
    if cause == AttemptCause.RETRY:
        earlier = Attempt.objects.filter(delivery=claim.delivery.pk).exclude(cause=AttemptCause.RETRY)
        cause = earlier.order_by("-number").values_list("cause", flat=True).first() or cause
    return cause == AttemptCause.REPLAY


def _is_not_yet_visible(claim: Claim, record: Record | None) -> bool:
    """True if the identity service reported the creation of an entity, and cannot find it yet.

    Ending such a delivery as unchanged would lose it. A source may send its webhook before its own commit and wait for
    our answer: then the entity is not visible, however long we wait.
    """
    has_record = record is not None or claim.link is not None
    return not has_record and _is_older_than_event(None, claim)


def _entity_from_webhook(delivery: Delivery) -> Entity | None:
    """Return the entity in the webhook's data; None for a deletion. Raises NoRelayedData if it has no data."""
    if delivery.event.event_type == "DELETE":
        return None
    data = webhook_data(delivery.event)
    if data is None:
        raise NoRelayedData
    return Entity(delivery.entity_type, delivery.entity_id, data, delivery.event.occurred_text or None)


def _fetch_current_entity(claim: Claim, identity: IdentityConnector) -> tuple[Entity | None, bool]:
    """Fetch the entity, again after a short pause while the answer is older than the event. Returns also whether the
    last answer is: it is used, however old it is.
    """
    for pause in FETCH_RETRY_PAUSES:
        entity = _fetch_entity(claim, identity)
        if not _is_older_than_event(entity, claim):
            return entity, False
        time.sleep(pause)
    entity = _fetch_entity(claim, identity)
    return entity, _is_older_than_event(entity, claim)


def _fetch_entity(claim: Claim, identity: IdentityConnector) -> Entity | None:
    """Fetch the entity by the name that the connection has for its type. It keeps the type of its event."""
    delivery = claim.delivery
    entity = identity.fetch_entity(claim.route.identity_type, delivery.entity_id)
    if entity is None or entity.entity_type == delivery.entity_type:
        return entity
    return replace(entity, entity_type=delivery.entity_type)


def _is_older_than_event(entity: Entity | None, claim: Claim) -> bool:
    """True if the fetched state precedes the event: the entity is missing after its creation, or was modified before
    it.
    """
    if entity is None:
        # With an update or a deletion among the events, the entity may have been deleted since.
        return {event.event_type for event in claim.events} == {"CREATE"}
    if entity.modified_at is None:
        return False
    earliest = timezone.now() - MAX_LAG
    timestamps = [
        event.occurred_at for event in claim.events if event.occurred_at and event.received_at > earliest
    ]
    return any(entity.modified_at < occurred_at - TIMESTAMP_RESOLUTION for occurred_at in timestamps)


def _find_record_and_plan(
    claim: Claim,
    target: TargetConnector,
    mapping: ParsedMapping,
    entity: Entity | None,
    unread_names: frozenset[str],
    move: ScopeMove,
) -> Plan:
    """Find the record of the entity, and plan its change. Raises MatchUndecided if a person has to decide.

    `unread_names`: the fields that the target does not return.
    """
    route, is_partial = claim.delivery.route, not claim.delivery.is_fetched
    # Decided before any request to the target.
    if change := _plan_without_record(claim, entity, move):
        return Plan(change)
    # Without a webhook nothing is known of the fields that depend on one: those of a record stay as they are.
    known = mapping if claim.delivery.event.origin == EventOrigin.WEBHOOK else mapping.of_entity
    removes = entity is None or move is ScopeMove.LEFT
    mapped = None if entity is None or removes else _map_entity(claim, known, entity, is_partial=is_partial)
    query = _build_record_query(claim, target)
    found = find_record(target, mapping, query)
    record, match = found.record, None
    if record is None and move is not ScopeMove.LEFT:
        match = match_unlinked_record(claim, target, mapping, query, entity, mapped and mapped.fields)
        record = match.records[0] if match is not None else None
    is_matched = found.is_taken_over or match is not None
    if entity is None or mapped is None:
        plan_deletion = partial(_plan_removal, route, move, unread=_unread_fields(claim, unread_names))
        current, change = _plan_with_version(claim, target, record, plan_deletion)
        return Plan(change, current, is_matched, is_record_absent=record is None, found=found)
    if record is None:
        mapped = _map_new_record(claim, mapping, entity)
    fields = mapped.fields
    require_own_external_id(mapping, fields, claim.delivery.entity_id, is_creation=record is None)
    plan_record = partial(_plan_fields, claim, mapping, fields, move, _unread_fields(claim, unread_names))
    current, change = _plan_with_version(claim, target, record, plan_record)
    if mapped.unseen.absent:
        change = replace(change, withheld_fields=tuple(sorted(mapped.unseen.absent)))
    return Plan(
        change,
        current,
        is_matched,
        left_out=mapped.left_out,
        linked=mapped.linked,
        found=found,
        unseen=mapped.unseen,
        had_record=claim.link is not None and claim.link.record_id is not None,
        match=match,
    )


def _map_new_record(claim: Claim, mapping: ParsedMapping, entity: Entity) -> MappedFields:
    """Map the entity of a record that is to be created. Raises NoMatchingRecord if the route creates none."""
    _require_creation(claim)
    # Partial data, or what is known without a webhook, may have too few fields for a new record: mapped as a whole,
    # they raise if a required one is missing.
    return _map_entity(claim, mapping, entity, is_partial=False)


def _plan_with_version(
    claim: Claim, target: TargetConnector, record: Record | None, plan: Callable[[Record | None], Change]
) -> tuple[Record | None, Change]:
    """Plan the change of a record, and make sure that the record has the version that a write must name.

    Sends one more request only if there is something to write and the search returned no version.
    """
    change = plan(record)
    if record is None or change.action is ChangeAction.NOTHING:
        return record, change
    current = target.load_version(claim.route.target_type, record)
    # The record may have been changed since the search: the version belongs to what was read with it.
    return current, change if current is record else plan(current)


def _plan_without_record(claim: Claim, entity: Entity | None, move: ScopeMove) -> Change | None:
    """Return a change that sends nothing, whatever the record is; None for any other."""
    route, link = claim.delivery.route, claim.link
    if move is ScopeMove.UNKNOWN or (entity is None and route.when_deleted == Route.DeletionPolicy.IGNORE):
        return Change(ChangeAction.NOTHING, link.record_id if link and move else None, scope=move)
    if move is not ScopeMove.LEFT or link is None or route.on_leaving not in _KEEPS_RECORD:
        return None
    ends_link = route.on_leaving == Route.LeavingPolicy.UNLINK
    return Change(ChangeAction.NOTHING, link.record_id, scope=move, ends_link=ends_link)


def _plan_removal(
    route: Route, move: ScopeMove, record: Record | None, *, unread: UnreadFields | None
) -> Change:
    """Plan the change of the record of an entity that was deleted, or left the scope of its route."""
    has_left = move is ScopeMove.LEFT
    deletes = (
        route.on_leaving == Route.LeavingPolicy.DELETE
        if has_left
        else route.when_deleted == Route.DeletionPolicy.DELETE
    )
    change = plan_deleted_entity(record, route.deactivation, deletes=deletes, unread=unread)
    return replace(change, scope=move)


def _plan_fields(
    claim: Claim,
    mapping: ParsedMapping,
    fields: Mapping[str, Any],
    move: ScopeMove,
    unread: UnreadFields | None,
    record: Record | None,
) -> Change:
    """Plan the change of a record that gets the mapped fields."""
    if move is ScopeMove.RETURNED:
        reactivation = claim.delivery.route.reactivation or {}
        return plan_returned_entity(mapping, fields, reactivation, record, unread)
    return mapping.plan_record(fields, record, unread)


def _build_record_query(claim: Claim, target: TargetConnector) -> RecordQuery:
    delivery = claim.delivery
    return RecordQuery(
        entity_type=claim.route.target_type,
        entity_id=delivery.entity_id,
        linked_record_id=claim.link.record_id if claim.link else None,
        proven_field=claim.link.external_id_field if claim.link else "",
        other_owners=partial(other_owners, delivery),
        prove_absence=partial(prove_record_absence, claim, target),
        is_other_entity=partial(has_linked_entity, delivery),
        # A creation whose answer never came may have made a record after another attempt had made one.
        checks_for_duplicates=claim.attempt.cause == AttemptCause.RECHECK,
    )


def _map_entity(claim: Claim, mapping: ParsedMapping, entity: Entity, *, is_partial: bool) -> MappedFields:
    """Return the record's fields: all of them for a fetched entity, only those present for relayed data. Leaves out
    what the entity does not have, if the path has found no value in any entity yet.

    Reads the links of the entities that the record refers to. A re-check does not wait again for references that may be
    left out, and a route that observes waits for none. Raises ReferenceMissing if the record must wait for the record
    of another entity.
    """
    webhook = webhook_fields(claim.delivery.event)
    mapped = _map_fields(claim, mapping, entity, webhook, is_partial=is_partial)
    names = claim.route.unseen_fields & mapping.fields.keys()
    if not names:
        return mapped
    unseen = look_up_unseen(mapping, names, entity.attributes, webhook)
    absent = frozenset(name for name in unseen.absent if mapped.fields.get(name, "") is None)
    fields = {name: value for name, value in mapped.fields.items() if name not in absent}
    return mapped._replace(fields=fields, unseen=unseen._replace(absent=absent))


def _map_fields(
    claim: Claim, mapping: ParsedMapping, entity: Entity, webhook: dict[str, Any], *, is_partial: bool
) -> MappedFields:
    if not mapping.reference_types:
        apply_mapping = mapping.map_partial_entity if is_partial else mapping.map_entity
        return MappedFields(apply_mapping(entity.attributes, webhook))
    return map_with_references(
        mapping,
        entity.attributes,
        webhook,
        record_finder_of(claim.delivery),
        is_partial=is_partial,
        is_wait_over=is_wait_over(claim.delivery, mapping.reference_wait),
        leaves_out_now=claim.delivery.is_rechecked or claim.observes,
    )


def _require_creation(claim: Claim) -> None:
    """Raise NoMatchingRecord if the route does not create records for updates, and no person decided to create one."""
    creations = {"CREATE"} & {event.event_type for event in claim.events}
    is_refused = claim.delivery.route.without_match == Route.NoMatchPolicy.REFUSE
    if not is_refused or creations or claim.delivery.creates_record:
        return
    if not is_creation_chosen(claim.delivery):
        raise NoMatchingRecord
