"""Settle an attempt in one short commit: result, delivery, covered siblings, events, link, calls, audit entries, and
the digests by which the person is found.
"""

from dataclasses import dataclass, replace
from typing import Any

from django.db import IntegrityError, transaction

from audit.entries.append import NewEntry, append_entries, prepare_append
from config_schema.codes.outcome import EventOutcome
from database.clock import database_now
from database.statement import Statement
from database.write_batch import GuardFailed, WriteBatch
from sync.attempts.attempt_record import FinishedAttempt
from sync.attempts.attempt_result import AttemptResult
from sync.attempts.breaker_feedback import leaves_breakers_unchanged, update_breakers
from sync.attempts.call_log import AttemptRecorder, collect_calls, renew_rechecks
from sync.attempts.event_outcome import outcome_of_attempt
from sync.attempts.plan import AttemptFindings
from sync.attempts.search_index import find_new_digests
from sync.attempts.waiters import find_only_waiter
from sync.deliveries.claims import Claim
from sync.deliveries.event_state import END_EVENT, refresh_event_states
from sync.deliveries.ordering import lock_open_siblings
from sync.deliveries.predicates import STILL_CLAIMED
from sync.deliveries.record_links import AppliedRecord, link_update, new_link, release_record_id
from sync.models import (
    SETTLED_STATES,
    SUCCESS_STATES,
    WAITING_STATES,
    Attempt,
    AwaitedRecord,
    Delivery,
    delivery_stream,
)
from sync.planning.change import ChangeAction, ScopeMove
from sync.references.missing_references import store_missing
from sync.references.record_references import ReferenceChanges, find_changes
from sync.references.value_holders import NONE_TAKEN, store_holders
from sync.search.search_digests import add_digests, store_digests
from webhooks.delivery_port import PendingAnswer
from webhooks.models import State

# A replay that was requested while the attempt ran begins afterwards: back to pending, due at once. No deaths are
# left, because this process survived the attempt.
_END_DELIVERY = Statement(
    f"""UPDATE sync_delivery SET token = NULL, lease_until = NULL, identity_slot = NULL, target_slot = NULL,
    deaths = 0, state_before_recheck = '', code = %s, failure_key = %s,
    state = CASE WHEN person_request_id IS NULL THEN %s ELSE 'pending' END,
    due_at = CASE WHEN person_request_id IS NOT NULL THEN {{now}} WHEN %s THEN {{clock}} ELSE NULL END,
    not_before = CASE WHEN %s THEN {{clock}} ELSE NULL END,
    opened_at = CASE WHEN person_request_id IS NOT NULL THEN {{now}} ELSE opened_at END,
    settled_at = CASE WHEN person_request_id IS NULL AND %s THEN %s ELSE NULL END,
    attempts_used = CASE WHEN person_request_id IS NULL THEN %s ELSE 0 END
    WHERE {STILL_CLAIMED} RETURNING state"""  # noqa: S608
)


@dataclass(frozen=True, slots=True)
class SettledAttempt:
    """The result of an attempt, and the events that its settling commit ended.

    If `is_due_again`, a replay made the delivery due at once. `outcome` is the outcome of the delivery's event; None if
    it is not known here.
    """

    events: tuple[int, ...]
    result: AttemptResult
    is_due_again: bool = False
    outcome: EventOutcome | None = None


def settle_attempt(
    claim: Claim, result: AttemptResult, findings: AttemptFindings, recorders: list[AttemptRecorder]
) -> SettledAttempt | None:
    """Finish an attempt if its delivery is still ours; returns None, having written nothing, if it is not.

    An attempt that was taken over by another process after it sent a write gets re-checks: its write may have arrived
    after that of the other process. If an earlier call wrote the end of the attempt and never learned that it did, its
    rows say so.

    1. If a request of this process waits for the event, prepare its answer.
    2. If nothing but this delivery changes, write everything by one batch, which fails if the delivery is not ours any
       more, a replay was requested, or its link, a stream of the audit log or the digests of the entity were changed
       meanwhile.
    3. Otherwise, or if that failed, lock what changes, and decide and write in a transaction.
    4. Once it is committed, let the request answer.
    """
    _release_new_record_id(claim, result, findings)
    # Here, because nothing should be encrypted while rows are locked.
    calls = collect_calls(recorders, claim.delivery.event.key)
    finished = FinishedAttempt(
        claim,
        result,
        findings,
        recorders,
        calls,
        _find_reference_changes(claim, result, findings),
        find_new_digests(claim, findings),
    )
    answer = _WaitingAnswer(claim)
    try:
        settled = _settle_in_one_batch(finished, answer)
        if settled is None:
            with transaction.atomic():
                settled = _settle_with_locks(finished, answer)
        if settled is None:
            settled = _find_own_end(finished)
        if settled is None:
            renew_rechecks(claim, recorders)
    except BaseException:
        # BaseException, because the request must not wait for an answer that never comes.
        answer.release_answer()
        raise
    answer.confirm_answer()
    if settled is not None and finished.digests is not None:
        # Other deliveries of the event, in this process, have the same row.
        claim.delivery.event.key.search_state = finished.digests.state
    return settled


def _find_own_end(finished: FinishedAttempt) -> SettledAttempt | None:
    """Return the end that this process wrote in a commit whose answer was lost; None if another process has taken the
    attempt over. Reads the rows.
    """
    claim = finished.claim
    # Another process ends it as unknown or interrupted, and nothing else.
    if not Attempt.objects.filter(pk=claim.attempt.pk, outcome=finished.result.outcome).exists():
        return None
    is_due_again = Delivery.objects.filter(pk=claim.delivery.pk, state=State.PENDING).exists()
    events = tuple(event.pk for event in claim.events)
    return SettledAttempt(events, finished.result, is_due_again=is_due_again)


def _release_new_record_id(claim: Claim, result: AttemptResult, findings: AttemptFindings) -> None:
    """Take the id of a record that the attempt has created from other subjects whose record once had it."""
    change = findings.change
    is_new = change is not None and findings.record_id != (change.record_id or "")
    if is_new and result.state in SUCCESS_STATES:
        release_record_id(claim.delivery, findings.record_id)


def _find_reference_changes(
    claim: Claim, result: AttemptResult, findings: AttemptFindings
) -> ReferenceChanges | None:
    """Return what changes in the stored references of the record, None if nothing does. Reads them if the mapping has
    references.
    """
    mapping, plan = claim.route.mapping, findings.plan
    if mapping is None or not mapping.reference_types or plan is None or result.state not in SUCCESS_STATES:
        return None
    # The record of an entity that left the scope keeps its references, as long as it is linked.
    ends_link = plan.change.ends_link or plan.change.action is ChangeAction.DELETE
    keeps_record = plan.change.scope is ScopeMove.LEFT and not ends_link
    is_partial = claim.delivery.is_relayed or not claim.delivery.is_fetched or keeps_record
    return find_changes(claim.delivery, plan.linked, is_partial=is_partial)


class _WaitingAnswer:
    """The outcome of the event, and the answer to the one request of this process that waits for it, stored in the
    settling commit.
    """

    def __init__(self, claim: Claim) -> None:
        self._waiter = find_only_waiter(claim.delivery.event_id) if claim.decides_event else None
        self.outcome: EventOutcome | None = None
        self.pending_answer: PendingAnswer | None = None

    def claim_answer(self, finished: FinishedAttempt) -> None:
        """Find the outcome of the event, and prepare the answer if a request waits and the outcome is known."""
        if finished.claim.decides_event:
            self.outcome = outcome_of_attempt(finished.claim, finished.result, finished.findings)
        if self._waiter is not None and self.outcome is not None:
            self.pending_answer = self._waiter.claim_answer(self.outcome)

    def confirm_answer(self) -> None:
        """Hand the answer to the request, once it is committed."""
        if self._waiter is not None and self.pending_answer is not None:
            self._waiter.confirm_answer(self.pending_answer)

    def release_answer(self) -> None:
        """Discard outcome and answer, which were not committed, and let the request make its own."""
        self.outcome = None
        if self._waiter is not None and self.pending_answer is not None:
            unconfirmed, self.pending_answer = self.pending_answer, None
            self._waiter.release_answer(unconfirmed)


def _settle_in_one_batch(finished: FinishedAttempt, answer: _WaitingAnswer) -> SettledAttempt | None:
    """Settle the only delivery of its event, if it covers no sibling and changes no breaker.

    Returns None, having written nothing, if that does not hold.
    """
    claim, result = finished.claim, finished.result
    # After a re-check the event has ended already: its hour must be counted again if its state changes.
    if not (claim.decides_event and not claim.covered and leaves_breakers_unchanged(claim, result)):
        return None
    # A batch cannot replace what is stored as missing or as references: its writes do not see each other.
    if finished.awaited_records or result.taken != NONE_TAKEN or finished.reference_changes:
        return None
    # The rows of its calls are read once they cannot change any more.
    if any(recorder.has_unrecorded_write for recorder in finished.recorders):
        return None
    # The link of a relayed delivery was not read at the claim, and that of a record which was found by a value was
    # written since: None does not mean that there is none.
    plan = finished.findings.plan
    is_link_unknown = claim.delivery.is_relayed or (plan is not None and plan.is_matched)
    applied = finished.applied_record()
    if claim.link is None and applied is not None and is_link_unknown:
        return None
    answer.claim_answer(finished)
    batch = WriteBatch()
    # Any other state means that a replay was requested meanwhile: then the locked path decides.
    batch.require(_END_DELIVERY.bind(*_delivery_values(finished)), str(result.state))
    finished.add_to(batch, answer.pending_answer)
    batch.execute(END_EVENT.bind(str(result.state), result.code, claim.delivery.event_id))
    if applied is not None and claim.link is None:
        batch.insert(new_link(claim.delivery, applied))
    elif applied is not None:
        # Fails if the link was deleted since the claim; the locked path makes it again.
        batch.require(link_update(claim.delivery, applied))
    entries = prepare_append(
        *finished.audit_entries(answer.pending_answer, str(result.state)),
        at=finished.ended_at,
        heads=claim.stream_heads,
    )
    batch.execute(*entries.writes)
    if finished.digests is not None:
        subject = (claim.delivery.event.key, claim.delivery.entity_type, claim.delivery.entity_id)
        add_digests(batch, *subject, finished.digests)
    try:
        batch.run()
    except (GuardFailed, IntegrityError):
        return None
    return SettledAttempt((claim.delivery.event_id,), result, outcome=answer.outcome)


def _settle_with_locks(finished: FinishedAttempt, answer: _WaitingAnswer) -> SettledAttempt | None:
    """Settle a delivery with its covered siblings and breakers, in a transaction."""
    # The answer of the batch that failed may not be true any more.
    answer.release_answer()
    claim = finished.claim
    if claim.covered:
        # Before any row of the subject changes, since two transactions could deadlock otherwise.
        lock_open_siblings(claim.delivery)
    finished = replace(finished, result=update_breakers(claim, finished.result, finished.recorders))
    state = _end_delivery(finished)
    if state is None:
        return None
    if any(recorder.has_unrecorded_write for recorder in finished.recorders):
        # Now that the delivery is locked and has ended, no row of a write can follow.
        finished = replace(finished, calls=finished.calls.with_unrecorded(claim.attempt))
    # The states differ if a replay was requested meanwhile: the event has not ended, and its request waits on.
    if state == finished.result.state:
        answer.claim_answer(finished)
    batch = WriteBatch()
    finished.add_to(batch, answer.pending_answer)
    batch.run()
    if awaited := finished.awaited_records:
        store_missing(claim.delivery, awaited, replaces_earlier=finished.result.state in SETTLED_STATES)
    if finished.result.taken != NONE_TAKEN and finished.result.state == State.DEAD:
        store_holders(claim.delivery, finished.result.taken, claim.attempt.cause)
    applied = finished.applied_record()
    if applied is not None and not link_update(claim.delivery, applied).execute():
        _insert_link(claim.delivery, applied)
    if finished.reference_changes:
        finished.reference_changes.store(claim.delivery)
    events, covered = _end_siblings_and_events(claim, finished.result, finished.failure_key)
    append_entries(
        *finished.audit_entries(answer.pending_answer, state, covered=len(events) - 1),
        *covered,
        at=finished.ended_at,
    )
    if finished.digests is not None:
        # If others are stored meanwhile, three times, the next event of the entity stores them.
        subject = (claim.delivery.event.key, claim.delivery.entity_type, claim.delivery.entity_id)
        store_digests(*subject, finished.digests)
    return SettledAttempt(
        events, finished.result, is_due_again=state == State.PENDING, outcome=answer.outcome
    )


def _insert_link(delivery: Delivery, applied: AppliedRecord) -> None:
    batch = WriteBatch()
    batch.insert(new_link(delivery, applied))
    batch.run()


def _end_delivery(finished: FinishedAttempt) -> str | None:
    row = _END_DELIVERY.fetch_one(*_delivery_values(finished))
    return None if row is None else str(row[0])


def _delivery_values(finished: FinishedAttempt) -> tuple[Any, ...]:
    """Return the parameters of `_END_DELIVERY`."""
    result, delivery = finished.result, finished.claim.delivery
    state, code = str(result.state), result.code
    # A re-check that finds nothing to do leaves the success that it confirms.
    if result.state == State.UNCHANGED and delivery.state_before_recheck == State.SUCCEEDED:
        state = code = str(State.SUCCEEDED)
    # A re-check of what failed for good is not an automatic attempt of the route.
    uses_attempt = result.uses_attempt and delivery.state_before_recheck != State.DEAD
    requested_delay = result.requested_delay
    return (
        code,
        finished.failure_key,
        state,
        result.retry_delay is not None,
        result.retry_delay or 0.0,
        requested_delay > 0,
        requested_delay,
        result.state in SETTLED_STATES,
        # The time that the audit entry has too.
        finished.ended_at,
        # The claim has counted this attempt already.
        delivery.attempts_used if uses_attempt else delivery.attempts_used - 1,
        delivery.pk,
        finished.claim.token,
    )


def _end_siblings_and_events(
    claim: Claim, result: AttemptResult, failure_key: str
) -> tuple[tuple[int, ...], list[NewEntry]]:
    """Give covered siblings the attempt's result, failures included.

    Returns the keys of all events concerned, and the audit entries of the siblings.
    """
    events = {claim.delivery.event_id}
    entries: list[NewEntry] = []
    if claim.covered:
        # A sibling that a person replayed meanwhile gets an attempt of its own.
        covered = Delivery.objects.filter(
            covered_by=claim.attempt, state__in=WAITING_STATES, person_request__isnull=True
        )
        rows = list(covered.values_list("pk", "event_id", "event__uuid", "route_id"))
        events.update(event for _, event, _, _ in rows)
        details = {"attempt": str(claim.attempt.key), "state": str(result.state), "code": result.code}
        entries += [
            NewEntry(delivery_stream(uuid, route), "delivery.covered", details=details)
            for _, _, uuid, route in rows
        ]
        if claim.route.mapping is not None and claim.route.mapping.reference_types:
            keys = [key for key, *_ in rows]
            AwaitedRecord.objects.filter(delivery__in=keys, holds_value=False).delete()
        Delivery.objects.filter(pk__in=[key for key, *_ in rows]).update(
            state=result.state,
            code=result.code,
            failure_key=failure_key,
            settled_at=claim.attempt.ended_at if result.state in SETTLED_STATES else None,
            due_at=None if result.retry_delay is None else database_now(plus_seconds=result.retry_delay),
            not_before=database_now(plus_seconds=result.requested_delay) if result.requested_delay else None,
        )
    refresh_event_states(events)
    return tuple(sorted(events)), entries
