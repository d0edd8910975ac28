"""Step 6 of a delivery: send the change to the target system, and run a whole attempt."""

import hashlib
import json
from collections.abc import Mapping

from audit.format.canonical_json import JSONValue
from sync.attempts.mass_change_guard import check_mass_change
from sync.attempts.plan import AttemptFindings, Connectors, plan_change
from sync.connectors.contracts.types import Record, TargetConnector
from sync.deliveries.claims import Claim
from sync.planning.change import Change, ChangeAction


def plan_and_apply(claim: Claim, connectors: Connectors, findings: AttemptFindings) -> None:
    """Plan the change, check it against the mass-change guard, and send it to the target. Raises the error that stopped
    it.
    """
    change = plan_change(claim, connectors, findings)
    # Before the first write, because the guard may hold the change.
    check_mass_change(claim, change, is_deleted=findings.entity is None)
    findings.record_id = apply_change(connectors.target, claim, change, findings.record)


def apply_change(target: TargetConnector, claim: Claim, change: Change, record: Record | None) -> str:
    """Send a change to the target; an empty change sends nothing. Returns the record's id, or an empty text."""
    entity_type, key = claim.delivery.entity_type, idempotency_key(claim, change)
    if change.action is ChangeAction.NOTHING:
        return change.record_id or ""
    if change.action is ChangeAction.CREATE:
        return target.create_record(entity_type, change.values_to_send, key).id
    assert change.record_id is not None, "only a creation has no record"
    if change.action is ChangeAction.DELETE:
        target.delete_record(entity_type, change.record_id, key)
    else:
        current = record.fields if record else None
        target.update_record(entity_type, change.record_id, change.values_to_send, key, current=current)
    return change.record_id


def idempotency_key(claim: Claim, change: Change) -> str:
    """Return the key of an attempt and a change: the target applies a request that is sent twice only once."""
    document: Mapping[str, JSONValue] = change.to_document()
    # Sorted, so that the same change gives the same key whatever the order of its fields.
    digest = hashlib.sha256(json.dumps(document, sort_keys=True, default=str).encode()).hexdigest()
    return f"{claim.attempt.key}-{digest[:16]}"
