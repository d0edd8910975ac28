"""The end of an attempt, in one short commit: outcome, delivery state, siblings, events, link, calls and audit."""

from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from django.db import IntegrityError

from audit.entries.append import append, appending, following
from database.bulk_insert import store, store_after
from database.clock import database_now
from database.connection import current
from database.group_commit import commit
from database.statement import Bound, Statement
from database.write_batch import NotAsExpected
from sync.attempts.attempt_record import Ending
from sync.attempts.attempt_result import Verdict
from sync.attempts.breaker_feedback import is_no_news, tell_breakers
from sync.attempts.call_log import AttemptRecorder
from sync.attempts.event_outcome import outcome_of_attempt
from sync.attempts.plan import Findings
from sync.attempts.waiters import Telling, waiter_of
from sync.deliveries.claims import Claim
from sync.deliveries.event_state import _END_EVENT, _SETTLED, refresh_events
from sync.deliveries.ordering import lock_open
from sync.deliveries.predicates import STILL_CLAIMED
from sync.deliveries.record_links import make_link, renewal
from sync.models import WAITING, Delivery
from webhooks.models import Payload, State

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
    """Finish an attempt if its delivery is still ours; None where it is not, and nothing was written.

    Where the one request of this process that waits for the event can be answered now, its answer is kept in the same
    commit.
    """
    ending = Ending(claim, verdict, findings, recorders)
    try:
        return _settle(ending)
    except IntegrityError:  # somebody appended to one of its streams at this moment
        return _settle(ending, waits=True)


def _settle(ending: Ending, *, waits: bool = False) -> Settled | None:
    """`waits` for others that append to the same streams of the audit log; otherwise they make it an IntegrityError."""
    answer = _Answer(ending.claim)
    try:
        settled = None if waits else _end_at_once(ending, answer)
        if settled is None:
            settled = commit(partial(_end, ending, answer, waits))
    except BaseException:
        answer.let_go()
        raise
    answer.told()
    return settled


class _Answer:
    """What the one request of this process that waits for the event is told, kept in the commit that settles."""

    def __init__(self, claim: Claim) -> None:
        self._waiter = waiter_of(claim.delivery.event_id) if claim.is_only else None
        self.telling: Telling | None = None

    def say(self, ending: Ending) -> None:
        """Put it into words, where somebody waits and there is something to be told."""
        if self._waiter is None:
            return
        outcome = outcome_of_attempt(ending.claim, ending.verdict, ending.findings)
        if outcome is not None:
            self.telling = self._waiter.take(outcome)

    def told(self) -> None:
        """It is committed, if there is one."""
        if self._waiter is not None and self.telling is not None:
            self._waiter.told(self.telling)

    def let_go(self) -> None:
        """It is not kept after all, if there is one."""
        if self._waiter is not None and self.telling is not None:
            self.telling = None
            self._waiter.let_go()


def _end(ending: Ending, answer: _Answer, waits: bool) -> Settled | None:
    """In a transaction, which may be the second: what the one that failed would have told may not be so any more."""
    answer.let_go()
    claim = ending.claim
    if claim.covered:
        lock_open(claim.delivery)
    ending = replace(ending, verdict=tell_breakers(claim, ending.verdict))
    state = _end_delivery(ending)
    if state is None:
        return None
    if state == ending.verdict.state:
        answer.say(ending)
    events = _write(ending, state, answer.telling, waits)
    return Settled(events, ending.verdict, goes_on=state == State.PENDING)


def _end_at_once(ending: Ending, answer: _Answer) -> Settled | None:
    """The same by one statement, on PostgreSQL, of what ends as most do: nobody covered, no breaker told, no stream or
    link begun. None where something of that is not so, and then nothing was written.
    """
    claim, verdict = ending.claim, ending.verdict
    is_alone = claim.is_only and not claim.covered and is_no_news(claim, verdict)
    if not is_alone or current().vendor != "postgresql" or current().in_atomic_block:
        return None
    if claim.link is None and ending.is_applied:
        return None
    answer.say(ending)
    payloads, writes = ending.written(answer.telling)
    writes.append(_END_EVENT.bound(str(verdict.state), verdict.code, claim.delivery.event_id))
    happenings = ending.happenings(answer.telling)
    if any(each.stream not in claim.ends for each in happenings):
        return None
    writes += following(*happenings, at=ending.at, ends=claim.ends).writes
    if ending.is_applied:
        writes.append(renewal(claim.delivery, ending.applied()))
    try:
        store_after(_END_DELIVERY.bound(*_end_of(ending)), str(verdict.state), *payloads, also=writes)
    except NotAsExpected:  # it is not ours any more, or a replay was asked for, or the link is gone
        return None
    return Settled((claim.delivery.event_id,), verdict)


def _write(ending: Ending, state: str, telling: Telling | None, waits: bool) -> tuple[int, ...]:
    claim = ending.claim
    payloads, writes = ending.written(telling)
    is_alone = claim.is_only and not claim.covered
    if is_alone:
        writes.append(_END_EVENT.bound(state, ending.verdict.code, claim.delivery.event_id))
    events = (claim.delivery.event_id,) if is_alone else _end_events(claim, ending.verdict)
    happenings = ending.happenings(telling, covered=len(events) - 1)
    if waits:
        append(*happenings, at=ending.at)
    else:
        writes += appending(*happenings, at=ending.at, ends=claim.ends).writes
    _run_with_link(ending, payloads, writes)
    return events


def _run_with_link(ending: Ending, payloads: list[Payload], writes: list[Bound]) -> None:
    """Store and run these, and keep the subject's link with them where something was applied."""
    if not ending.is_applied:
        store(*payloads, also=writes)
        return
    delivery, applied = ending.claim.delivery, ending.applied()
    *_, is_renewed = store(*payloads, also=[*writes, renewal(delivery, applied)])
    if not is_renewed:
        make_link(delivery, applied)


def _end_delivery(ending: Ending) -> str | None:
    found = _END_DELIVERY.row(*_end_of(ending))
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
