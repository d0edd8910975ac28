"""The end of an attempt, in one short commit: outcome, delivery state, siblings, events, link, calls and audit."""

from dataclasses import dataclass, replace
from typing import Any

from django.db import IntegrityError, transaction

from audit.entries.append import append_entries, prepare_append
from database.clock import database_now
from database.statement import Statement
from database.write_batch import GuardFailed, WriteBatch
from sync.attempts.attempt_record import Ending
from sync.attempts.attempt_result import Verdict
from sync.attempts.breaker_feedback import is_no_news, tell_breakers
from sync.attempts.call_log import AttemptRecorder
from sync.attempts.event_outcome import outcome_of_attempt
from sync.attempts.plan import Findings
from sync.attempts.waiters import waiter_of
from sync.deliveries.claims import Claim
from sync.deliveries.event_state import _END_EVENT, _SETTLED, refresh_events
from sync.deliveries.ordering import lock_open
from sync.deliveries.predicates import STILL_CLAIMED
from sync.deliveries.record_links import new_link, renewal
from sync.models import WAITING, Delivery
from webhooks.delivery_port import PendingAnswer
from webhooks.models import State

# A replay that was asked for while the attempt ran begins afterwards: back to pending, due at once.
_END_DELIVERY = Statement(
    f"""UPDATE sync_delivery SET token = NULL, lease_until = NULL, identity_slot = NULL, commercial_slot = NULL,
    deaths = 0, code = %s,
    state = CASE WHEN replay_id IS NULL THEN %s ELSE 'pending' END,
    due_at = CASE WHEN replay_id IS NOT NULL THEN {{now}} WHEN %s THEN {{clock}} ELSE NULL END,
    not_before = CASE WHEN %s THEN {{clock}} ELSE NULL END,
    opened_at = CASE WHEN replay_id IS NOT NULL THEN {{now}} ELSE opened_at END,
    settled_at = CASE WHEN replay_id IS NULL AND %s THEN {{now}} ELSE NULL END,
    tries = CASE WHEN replay_id IS NULL THEN %s ELSE 0 END
    WHERE {STILL_CLAIMED} RETURNING state"""  # noqa: S608
)


@dataclass(frozen=True, slots=True)
class Settled:
    """What a settling commit ended, and how. `goes_on`: the same delivery is due again at once."""

    events: tuple[int, ...]
    verdict: Verdict
    goes_on: bool = False


def settle(
    claim: Claim, verdict: Verdict, findings: Findings, recorders: list[AttemptRecorder]
) -> Settled | None:
    """Finish an attempt if its delivery is still ours; returns None, having written nothing, if it is not.

    1. If the request that waits for this event is one of this process, put its answer into words.
    2. If nothing but this delivery changes, write everything by one batch, which fails if the delivery is not ours any
       more, a replay was asked for, or its link or a stream of the audit log was changed meanwhile.
    3. Otherwise, or if that failed, lock what changes, and decide and write in a transaction.
    4. Once it is committed, let the request answer.
    """
    ending = Ending(claim, verdict, findings, recorders)
    answer = _Answer(claim)
    try:
        settled = _settle_alone(ending, answer)
        if settled is None:
            with transaction.atomic():
                settled = _settle_with_locks(ending, answer)
    except BaseException:
        answer.let_go()
        raise
    answer.told()
    return settled


class _Answer:
    """What the one request of this process that waits for the event is told, kept in the commit that settles."""

    def __init__(self, claim: Claim) -> None:
        self._waiter = waiter_of(claim.delivery.event_id) if claim.is_only else None
        self.pending_answer: PendingAnswer | None = None

    def say(self, ending: Ending) -> None:
        """Put it into words, where somebody waits and there is something to be told."""
        if self._waiter is None:
            return
        outcome = outcome_of_attempt(ending.claim, ending.verdict, ending.findings)
        if outcome is not None:
            self.pending_answer = self._waiter.take(outcome)

    def told(self) -> None:
        """It is committed, if there is one."""
        if self._waiter is not None and self.pending_answer is not None:
            self._waiter.told(self.pending_answer)

    def let_go(self) -> None:
        """It is not kept after all, if there is one."""
        if self._waiter is not None and self.pending_answer is not None:
            self.pending_answer = None
            self._waiter.let_go()


def _settle_alone(ending: Ending, answer: _Answer) -> Settled | None:
    """Settle the only delivery of its event, where no sibling is covered and no breaker has to know.

    Returns None, having written nothing, if that does not hold.
    """
    claim, verdict = ending.claim, ending.verdict
    if not (claim.is_only and not claim.covered and is_no_news(claim, verdict)):
        return None
    if (
        claim.link is None and ending.is_applied and claim.delivery.is_relayed
    ):  # it was not read when it was claimed
        return None
    answer.say(ending)
    batch = WriteBatch()
    batch.require(_END_DELIVERY.bind(*_end_of(ending)), str(verdict.state))
    ending.add_to(batch, answer.pending_answer)
    batch.execute(_END_EVENT.bind(str(verdict.state), verdict.code, claim.delivery.event_id))
    if ending.is_applied and claim.link is None:
        batch.insert(new_link(claim.delivery, ending.applied()))
    elif ending.is_applied:
        batch.require(renewal(claim.delivery, ending.applied()))
    entries = prepare_append(*ending.happenings(answer.pending_answer), at=ending.at, heads=claim.heads)
    batch.execute(*entries.writes)
    try:
        batch.run()
    except (GuardFailed, IntegrityError):
        return None
    return Settled((claim.delivery.event_id,), verdict)


def _settle_with_locks(ending: Ending, answer: _Answer) -> Settled | None:
    """Settle a delivery with its covered siblings and breakers, in a transaction."""
    answer.let_go()  # the answer of the batch that failed may not be true any more
    claim = ending.claim
    if claim.covered:
        lock_open(claim.delivery)
    ending = replace(ending, verdict=tell_breakers(claim, ending.verdict))
    state = _end_delivery(ending)
    if state is None:
        return None
    if state == ending.verdict.state:
        answer.say(ending)
    batch = WriteBatch()
    ending.add_to(batch, answer.pending_answer)
    batch.run()
    if ending.is_applied and not renewal(claim.delivery, ending.applied()).execute():
        _insert_link(ending)
    events = _end_events(claim, ending.verdict)
    append_entries(*ending.happenings(answer.pending_answer, covered=len(events) - 1), at=ending.at)
    return Settled(events, ending.verdict, goes_on=state == State.PENDING)


def _insert_link(ending: Ending) -> None:
    batch = WriteBatch()
    batch.insert(new_link(ending.claim.delivery, ending.applied()))
    batch.run()


def _end_delivery(ending: Ending) -> str | None:
    found = _END_DELIVERY.fetch_one(*_end_of(ending))
    return None if found is None else str(found[0])


def _end_of(ending: Ending) -> tuple[Any, ...]:
    """The values of `_END_DELIVERY`."""
    verdict, delivery = ending.verdict, ending.claim.delivery
    return (
        verdict.code,
        str(verdict.state),
        verdict.delay is not None,
        verdict.delay or 0.0,
        verdict.rest > 0,
        verdict.rest,
        verdict.state in _SETTLED,
        delivery.tries if verdict.spends_try else delivery.tries - 1,
        delivery.pk,
        ending.claim.token,
    )


def _end_events(claim: Claim, verdict: Verdict) -> tuple[int, ...]:
    """Covered siblings end as the attempt ended, failures included. Returns all events concerned."""
    events = {claim.delivery.event_id}
    if claim.covered:
        covered = Delivery.objects.filter(covered_by=claim.attempt, state__in=WAITING, replay__isnull=True)
        events.update(covered.values_list("event_id", flat=True))
        covered.update(
            state=verdict.state,
            code=verdict.code,
            settled_at=claim.attempt.ended_at if verdict.state in _SETTLED else None,
            due_at=None if verdict.delay is None else database_now(plus_seconds=verdict.delay),
            not_before=database_now(plus_seconds=verdict.rest) if verdict.rest else None,
        )
    refresh_events(events)
    return tuple(sorted(events))
