"""What follows if the target refuses a value because another record has it: that may be the record of an entity whose
change is still to come.

Two people exchange an address, or one passes it on: in one order of their webhooks, or in each, the first write is
refused. The hub then remembers whose record holds the value, and checks again (`sync.references.value_holders`). If all
wait for each other, one record gives its own value up for a moment. Such a record is checked again until it has a
regular value.
"""

import re
import secrets
from collections.abc import Collection, Iterator, Mapping
from dataclasses import replace

from connectors.contracts.errors import ConnectorError, RequestRejected, ValueMissing
from connectors.contracts.types import Record, TargetConnector
from connectors.values.json_responses import as_text
from database.encryption.at_rest import CannotDecrypt
from sync.attempts.apply import apply_change
from sync.attempts.call_log import without_stored_content
from sync.attempts.plan import AttemptFindings
from sync.deliveries.claims import Claim
from sync.deliveries.record_links import linked_entities
from sync.models import Attempt, AttemptOutcome, Finding
from sync.planning.change import Change, ChangeAction, FieldChange
from sync.planning.references import LinkedEntity
from sync.references.value_holders import (
    NONE_TAKEN,
    TakenValues,
    find_changing,
    find_waiters,
    known_holders,
    remove_given_up,
    store_given_up,
)

# Of one refusal.
_MAX_SEARCHES = 3
_MAX_WAITERS = 10
_MARK = re.compile(r"[+-]changing-[0-9a-f]{8}(@|$)")


def resolve_taken_values(
    error: ConnectorError, claim: Claim, target: TargetConnector, findings: AttemptFindings
) -> TakenValues:
    """Return the holders of the values that the target refused, found by at most three searches; none for any other
    error.

    If a holder waits for a value of this record, maybe in another field, this one gives it up: its field gets another
    value until the next check, at most some seconds later. Sends a write then.
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
    waiters = find_waiters(claim.delivery, holders)
    is_released = bool(waiters) and _release_values(
        claim, target, findings, _wanted_fields(claim, change, waiters)
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


def _wanted_fields(claim: Claim, change: Change, waiters: frozenset[LinkedEntity]) -> frozenset[str]:
    """Return the fields of the change whose values the target refused to the waiters while this record has them, or
    has given them up already. What a waiter wanted is no longer known if its findings were deleted.
    """
    before = {field.name: field.before for field in change.fields}
    names = set()
    for entity in sorted(waiters)[:_MAX_WAITERS]:
        attempt = _newest_refusal(claim, entity)
        wanted = {} if attempt is None else _refused_values(claim, attempt)
        names |= {
            name
            for name in before.keys() & wanted.keys()
            if _is_given_up(before[name]) or _is_same(before[name], wanted[name])
        }
    return frozenset(names)


def _newest_refusal(claim: Claim, entity: LinkedEntity) -> Attempt | None:
    """Return the newest failed attempt of an entity at the target of the claim that has stored findings."""
    attempts = Attempt.objects.filter(
        delivery__event__entity_id=entity.entity_id,
        delivery__entity_type=entity.entity_type,
        delivery__identity=entity.identity_id,
        delivery__target=claim.delivery.target_id,
        outcome=AttemptOutcome.FAILED,
        findings__isnull=False,
    )
    # Not by the key: PostgreSQL would read all attempts in its order.
    return attempts.select_related("findings__subject").order_by("-started_at", "-pk").first()


def _refused_values(claim: Claim, attempt: Attempt) -> Mapping[str, object]:
    """Return the new values of the fields that the target named when it refused an attempt; those of the mapping's
    search if it named none. Empty if they are not stored any more.
    """
    try:
        change = attempt.stored_finding(Finding.CHANGE) or {}
        answer = attempt.stored_finding(Finding.ANSWER) or {}
    except CannotDecrypt:
        return {}
    values = {field["name"]: field["after"] for field in change.get("fields", [])}
    named = [error["field"] for error in answer.get("errors", []) if error["field"] in values]
    mapping = claim.route.mapping
    names = named or (list(mapping.match.new) if mapping is not None else [])
    return {name: values[name] for name in names if name in values}


def _is_same(one: object, other: object) -> bool:
    """True if a target whose values are unique would take both for the same: upper and lower case may differ."""
    left, right = as_text(one), as_text(other)
    return left is not None and right is not None and left.casefold() == right.casefold()


def _release_values(
    claim: Claim, target: TargetConnector, findings: AttemptFindings, names: Collection[str]
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
    is_stored_now = bool(released or is_given_up) and store_given_up(claim.delivery, plan.record.id)
    if not released:
        return is_given_up
    kept = tuple((field.name, field.before) for field in change.fields if field.name not in names)
    step = replace(change, fields=released, unchanged_fields=(*change.unchanged_fields, *kept))
    try:
        apply_change(target, claim, step, plan.record, findings.entity)
    except ConnectorError as failure:
        if is_stored_now and not is_given_up and not failure.maybe_applied:
            remove_given_up(claim.delivery)
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
