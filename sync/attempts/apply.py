"""Step 6 of a delivery: send the change to the target system, and run a whole attempt."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from audit.format.canonical_json import JSONValue
from connectors.contracts.errors import RecordExists, RecordStale
from connectors.contracts.types import Entity, Record, RecordVersion, TargetConnector, WriteContext
from sync.attempts.call_log import unanswered_creation_key
from sync.attempts.mass_change_guard import check_mass_change
from sync.attempts.plan import AttemptFindings, Connectors, Plan, plan_change
from sync.deliveries.claims import Claim
from sync.deliveries.record_links import bind_record, read_link
from sync.planning.change import Change, ChangeAction

_MAX_BINDINGS = 3
_MAX_STALE_WRITES = 3


class RecordTaken(Exception):
    """Each record that was found was linked to another subject before it could be bound."""


def plan_and_apply(claim: Claim, connectors: Connectors, findings: AttemptFindings) -> Plan:
    """Plan the change, check it against the mass-change guard, and send it to the target. Returns the plan, of which
    nothing is sent if the route observes.

    Raises the error of the step that failed. If the target refuses the write because the record was changed since our
    read (RecordStale), or created since our search (RecordExists), everything is read and planned again, until the
    third refusal.
    """
    refusals_left, has_refused_creation = _MAX_STALE_WRITES, False
    if claim.observes:
        return plan_change(claim, connectors, findings)
    while True:
        plan = _plan_and_bind(claim, connectors, findings)
        change, refusals_left = plan.change, refusals_left - 1
        # Before the first write, because the guard may hold the change.
        check_mass_change(claim, change, is_deleted=findings.entity is None)
        try:
            findings.written = apply_change(connectors.target, claim, change, plan.record, findings.entity)
            if findings.written is not None:
                findings.record_id = findings.written.id
            return plan
        except RecordStale:
            if not refusals_left:
                raise
        except RecordExists:
            # A second creation, or an update, is refused because another record has one of the values.
            if has_refused_creation or not refusals_left or change.action is not ChangeAction.CREATE:
                raise
            has_refused_creation = True
        # A link may have been stored for this attempt: the record is not searched for again.
        claim = replace(claim, link=read_link(claim.delivery))


def _plan_and_bind(claim: Claim, connectors: Connectors, findings: AttemptFindings) -> Plan:
    """Plan the change; bind the record to the subject if it was found by a value. Raises RecordTaken after three
    records that other subjects were linked to meanwhile.
    """
    for _ in range(_MAX_BINDINGS):
        plan = plan_change(claim, connectors, findings)
        # Two subjects may find one record at the same time. The link of the first is stored before anything is
        # written; the other one plans again, and the search then leaves that record out.
        if not plan.is_matched or bind_record(
            claim.delivery, findings.record_id, _proving_field(claim, plan)
        ):
            return plan
    raise RecordTaken


def _proving_field(claim: Claim, plan: Plan) -> str:
    """Return the field in which a record that is taken over bears the entity's external id; "" for any other."""
    mapping = claim.route.mapping
    return (mapping.match.external_id or "") if mapping is not None and plan.found.is_taken_over else ""


def apply_change(
    target: TargetConnector, claim: Claim, change: Change, record: Record | None, entity: Entity | None = None
) -> Record | None:
    """Send a change to the target; an empty change sends nothing. Returns the record that was created or updated.

    `record`: the record that the change was planned for; `entity`: the one that it was planned from, None if it is
    deleted. Raises RecordStale if the record was changed since it was read, and RecordExists if it was created.
    """
    version = None if record is None else record.version
    entity_type, key = claim.route.target_type, idempotency_key(claim, change, version)
    values = change.values_to_send
    context = _write_context(claim, change, values, record, entity)
    if change.action is ChangeAction.NOTHING:
        return None
    if change.action is ChangeAction.CREATE:
        return target.create_record(entity_type, values, key, context)
    assert change.record_id is not None, "only a creation has no record"
    if change.action is ChangeAction.DELETE:
        target.delete_record(entity_type, change.record_id, key, version, context)
        return None
    return target.update_record(entity_type, change.record_id, values, key, version, context)


def _write_context(
    claim: Claim, change: Change, values: Mapping[str, Any], record: Record | None, entity: Entity | None
) -> WriteContext:
    """Return what a request of the change may name. A field that is left out has the target's value."""
    left_out = {field.name: field.before for field in change.left_out_fields}
    if record is not None:
        left_out |= {name: record.fields.get(name) for name in change.withheld_fields}
    return WriteContext(
        key=claim.delivery.entity_id,
        fields={**left_out, **dict(change.unchanged_fields), **values},
        current=None if record is None else record.fields,
        entity=None if entity is None else entity.attributes,
    )


def idempotency_key(claim: Claim, change: Change, version: RecordVersion | None = None) -> str:
    """Return the key of an attempt and a change: the target applies a request that is sent twice only once.

    A creation that is sent again because the first one got no answer keeps its key. Reads the earlier calls for a
    creation that may be such a one.
    """
    document: Mapping[str, JSONValue] = change.to_document()
    if version is not None:
        # A target may repeat its answer to a key, and it has refused this change of an outdated version.
        document = {**document, "version": version}
    # Sorted, so that the same change gives the same key whatever the order of its fields.
    digest = hashlib.sha256(json.dumps(document, sort_keys=True, default=str).encode()).hexdigest()
    suffix = f"-{digest[:16]}"
    if change.action is ChangeAction.CREATE and (claim.attempt.number > 1 or claim.covered):
        last_key = unanswered_creation_key(claim.delivery)
        if last_key.endswith(suffix):
            return last_key
    return f"{claim.attempt.key}{suffix}"
