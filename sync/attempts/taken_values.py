"""What follows if the target refuses a value because another record has it: that may be the record of an entity whose
change is still to come.

Two people exchange an address, or one passes it on: in one order of their webhooks, or in each, the first write is
refused. The hub then remembers whose record holds the value, and checks again (`sync.references.value_holders`). If all
wait for each other, one record gives its own value up for a moment. Such a record is checked again until it has a
regular value.
"""

import re
import secrets
from collections.abc import Iterator
from dataclasses import replace

from connectors.contracts.errors import ConnectorError, RequestRejected, ValueMissing
from connectors.contracts.types import Record, TargetConnector
from connectors.values.json_responses import as_text
from sync.attempts.apply import apply_change
from sync.attempts.call_log import without_stored_content
from sync.attempts.plan import AttemptFindings
from sync.deliveries.claims import Claim
from sync.deliveries.record_links import linked_entities
from sync.planning.change import Change, ChangeAction, FieldChange
from sync.references.value_holders import (
    NONE_TAKEN,
    TakenValues,
    closes_circle,
    find_changing,
    known_holders,
    store_given_up,
)

# Of one refusal.
_MAX_SEARCHES = 3
_MARK = re.compile(r"[+-]changing-[0-9a-f]{8}(@|$)")


def resolve_taken_values(
    error: ConnectorError, claim: Claim, target: TargetConnector, findings: AttemptFindings
) -> TakenValues:
    """Return the holders of the values that the target refused, found by at most three searches; none for any other
    error.

    If a holder waits for a value of this record, this one gives it up: its field gets another value until the next
    check, at most some seconds later. Sends a write then.
    """
    change = findings.change
    is_refused = isinstance(error, RequestRejected) and not isinstance(error, ValueMissing)
    if not is_refused or error.side != "target" or change is None or claim.observes:
        return NONE_TAKEN
    values = _values_to_search(error, claim, change)
    if not values:
        return NONE_TAKEN
    try:
        with without_stored_content():
            found = dict(_find_taken(claim, target, change, values))
    except ConnectorError as failure:
        is_unclear = failure.retryable
        return TakenValues(known_holders(claim.delivery), is_unclear=True) if is_unclear else NONE_TAKEN
    if not found:
        # The record that had it was written after the refusal, or something else was wrong.
        known = known_holders(claim.delivery)
        changing = known or find_changing(claim.delivery, claim.attempt)
        return TakenValues(changing, is_unclear=bool(known))
    records = {record.id for hits in found.values() for record in hits}
    holders = {
        entity: record_id for record_id in records for entity in linked_entities(claim.delivery, record_id)
    }
    if not holders:
        return NONE_TAKEN
    is_released = closes_circle(claim.delivery, holders) and _release_values(
        claim, target, findings, list(found)
    )
    return TakenValues(holders, is_released)


def _find_taken(
    claim: Claim, target: TargetConnector, change: Change, values: list[tuple[str, str]]
) -> Iterator[tuple[str, list[Record]]]:
    """Yield each field whose new value other records have, with these."""
    for name, text in values[:_MAX_SEARCHES]:
        hits = target.search_records(claim.route.target_type, name, text)
        others = [record for record in hits if record.id != change.record_id]
        if others:
            yield name, others


def _values_to_search(error: ConnectorError, claim: Claim, change: Change) -> list[tuple[str, str]]:
    """Return the fields that the target names and their new values; those of the mapping's search if it names none."""
    mapping = claim.route.mapping
    named = [field.field for field in error.fields if field.field in change.values_to_send]
    names = named or (list(mapping.match.new) if mapping is not None else [])
    values = change.values_to_send
    texts = ((name, as_text(values.get(name))) for name in dict.fromkeys(names))
    return [(name, text) for name, text in texts if text]


def _release_values(
    claim: Claim, target: TargetConnector, findings: AttemptFindings, names: list[str]
) -> bool:
    """Give the record other values in these fields, unless an earlier attempt has. Returns False if it has no text
    there, or the target refuses.
    """
    plan, change = findings.plan, findings.change
    if plan is None or plan.record is None or change is None or change.action is not ChangeAction.UPDATE:
        return False
    taken = [field for field in change.fields if field.name in names]
    released = tuple(
        FieldChange(field.name, field.before, _other_text(field.before))
        for field in taken
        if _can_release(field.before)
    )
    is_given_up = any(_is_given_up(field.before) for field in taken)
    if released or is_given_up:
        store_given_up(claim.delivery, plan.record.id)
    if not released:
        return is_given_up
    kept = tuple((field.name, field.before) for field in change.fields if field.name not in names)
    step = replace(change, fields=released, unchanged_fields=(*change.unchanged_fields, *kept))
    try:
        apply_change(target, claim, step, plan.record, findings.entity)
    except ConnectorError as failure:
        return failure.maybe_applied
    return True


def _can_release(value: object) -> bool:
    """True for a text that is not given up already."""
    return isinstance(value, str) and value != "" and not _is_given_up(value)


def _is_given_up(value: object) -> bool:
    return isinstance(value, str) and _MARK.search(value) is not None


def _other_text(text: str) -> str:
    """Return a text that no record has. That of an e-mail address is one of the same mailbox."""
    local, at, domain = text.rpartition("@")
    mark = f"changing-{secrets.token_hex(4)}"
    return f"{local}+{mark}{at}{domain}" if at else f"{text}-{mark}"
