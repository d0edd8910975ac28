"""The end of an attempt, in one short commit: outcome, delivery state, siblings, events, link, calls and audit."""

import json
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import Any

from django.db import IntegrityError
from django.utils import timezone

from audit.committing import commit
from audit.joining import NotAsExpected
from audit.log import Happening, append, appending, following
from audit.statements import Bound, Statement, current
from audit.storing import store, store_after
from sync.attempting import Findings
from sync.claiming import Claim
from sync.clock import database_now_plus
from sync.counting.hours import mark_hours
from sync.linking import Applied, make_link, renewal
from sync.models import SETTLED_STATES, Delivery, Takes
from sync.outcomes import outcome_of_attempt
from sync.planning import Action
from sync.recording import AttemptRecorder, calls_to_write, in_order
from sync.sparing import is_no_news, tell_breakers
from sync.subjects import WAITING, lock_open
from sync.verdict import ACTIONS, Verdict
from sync.waiting import Telling, waiter_of
from sync.webhook import wants_entity
from webhooks.models import Event, Payload, State, SubjectKey, worst

_ENCODER = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"), default=str)
_SETTLED = frozenset(str(state) for state in SETTLED_STATES)

# A replay that was asked for while the attempt ran begins afterwards: back to pending, due at once.
# Why the state is hidden: see `sync.claiming`.
_END_DELIVERY = Statement(
    """UPDATE sync_delivery SET token = NULL, lease_until = NULL, identity_slot = NULL, commercial_slot = NULL,
    deaths = 0, code = %s,
    state = CASE WHEN replay_id IS NULL THEN %s ELSE 'pending' END,
    due_at = CASE WHEN replay_id IS NOT NULL THEN {now} WHEN %s THEN {clock} ELSE NULL END,
    not_before = CASE WHEN %s THEN {clock} ELSE NULL END,
    opened_at = CASE WHEN replay_id IS NOT NULL THEN {now} ELSE opened_at END,
    settled_at = CASE WHEN replay_id IS NULL AND %s THEN {now} ELSE NULL END,
    tries = CASE WHEN replay_id IS NULL THEN %s ELSE 0 END
    WHERE id = %s AND token = %s AND COALESCE(state, '') = 'running' RETURNING state"""
)
_END_ATTEMPT = Statement(
    """UPDATE sync_attempt SET ended_at = %s, outcome = %s, code = %s, is_retryable = %s, action = %s,
    record_id = %s, entity_id = %s, change_id = %s, answer_id = %s, weighed = %s WHERE id = %s"""
)
_END_EVENT = Statement("UPDATE webhooks_event SET state = %s, code = %s WHERE id = %s")


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
    try:
        return _settle(claim, verdict, findings, recorders)
    except IntegrityError:  # somebody appended to one of its streams at this moment
        return _settle(claim, verdict, findings, recorders, waits=True)


def _settle(
    claim: Claim,
    verdict: Verdict,
    findings: Findings,
    recorders: list[AttemptRecorder],
    *,
    waits: bool = False,
) -> Settled | None:
    """`waits` for others that append to the same streams of the audit log; otherwise they make it an IntegrityError."""
    answer = _Answer(claim)
    try:
        settled = None if waits else _end_at_once(claim, verdict, findings, recorders, answer)
        if settled is None:
            settled = commit(partial(_end, claim, verdict, findings, recorders, answer, waits))
    except BaseException:
        answer.let_go()
        raise
    answer.told()
    return settled


class _Answer:
    """What the one request of this process that waits for the event is told, kept in the commit that settles."""

    def __init__(self, claim: Claim) -> None:
        self._claim = claim
        self._waiter = waiter_of(claim.delivery.event_id) if claim.is_only else None
        self.telling: Telling | None = None

    def say(self, verdict: Verdict, findings: Findings) -> None:
        """Put it into words, where somebody waits and there is something to be told."""
        outcome = outcome_of_attempt(self._claim, verdict, findings) if self._waiter is not None else None
        if self._waiter is not None and outcome is not None:
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


def _end(
    claim: Claim,
    verdict: Verdict,
    findings: Findings,
    recorders: list[AttemptRecorder],
    answer: _Answer,
    waits: bool,
) -> Settled | None:
    """In a transaction, which may be the second: what the one that failed would have told may not be so any more."""
    answer.let_go()
    if claim.covered:
        lock_open(claim.delivery)
    verdict = tell_breakers(claim, verdict)
    state = _end_delivery(claim, verdict)
    if state is None:
        return None
    if state == verdict.state:
        answer.say(verdict, findings)
    events = _write(claim, verdict, findings, recorders, state, answer.telling, waits)
    return Settled(events, verdict, goes_on=state == State.PENDING)


def _end_at_once(
    claim: Claim, verdict: Verdict, findings: Findings, recorders: list[AttemptRecorder], answer: _Answer
) -> Settled | None:
    """The same by one statement, on PostgreSQL, of what ends as most do: nobody covered, no breaker told, no stream or
    link begun. None where something of that is not so, and then nothing was written.
    """
    is_alone = claim.is_only and not claim.covered and is_no_news(claim, verdict)
    if not is_alone or current().vendor != "postgresql" or current().in_atomic_block:
        return None
    if claim.link is None and _is_applied(claim, verdict, findings):
        return None
    answer.say(verdict, findings)
    payloads, writes = _written(claim, verdict, findings, recorders, answer.telling)
    writes.append(_END_EVENT.bound(str(verdict.state), verdict.code, claim.delivery.event_id))
    happenings = _happenings(claim, verdict, findings, answer.telling)
    if any(each.stream not in claim.ends for each in happenings):
        return None
    writes += following(*happenings, at=_ended_at(claim), ends=claim.ends).writes
    applied = _applied(claim, verdict, findings)
    if applied is not None:
        writes.append(renewal(claim.delivery, applied))
    try:
        store_after(_delivery_ended(claim, verdict), str(verdict.state), *payloads, also=writes)
    except NotAsExpected:  # it is not ours any more, or a replay was asked for, or the link is gone
        return None
    return Settled((claim.delivery.event_id,), verdict, goes_on=verdict.state == State.PENDING)


def _write(
    claim: Claim,
    verdict: Verdict,
    findings: Findings,
    recorders: list[AttemptRecorder],
    state: str,
    telling: Telling | None,
    waits: bool,
) -> tuple[int, ...]:
    payloads, writes = _written(claim, verdict, findings, recorders, telling)
    is_alone = claim.is_only and not claim.covered
    if is_alone:
        writes.append(_END_EVENT.bound(state, verdict.code, claim.delivery.event_id))
    events = (claim.delivery.event_id,) if is_alone else _end_events(claim, verdict)
    happenings = _happenings(claim, verdict, findings, telling, covered=len(events) - 1)
    if waits:
        append(*happenings, at=_ended_at(claim))
    else:
        writes += appending(*happenings, at=_ended_at(claim), ends=claim.ends).writes
    _run_with_link(claim, verdict, findings, payloads, writes)
    return events


def _written(
    claim: Claim,
    verdict: Verdict,
    findings: Findings,
    recorders: list[AttemptRecorder],
    telling: Telling | None,
) -> tuple[list[Payload], list[Bound]]:
    """Of the attempt, its calls and the answer: what is to be stored, and what is to be written with that."""
    kept = in_order(recorders)
    payloads = [*_end_attempt(claim, verdict, findings), *(each.payload for each in kept if each.payload)]
    writes = [_attempt_ended(claim), *calls_to_write(kept)]
    if telling is not None:
        payloads.append(telling.payload)
        writes.append(telling.joining())
    return payloads, writes


def _run_with_link(
    claim: Claim, verdict: Verdict, findings: Findings, payloads: list[Payload], writes: list[Bound]
) -> None:
    """Store and run these, and keep the subject's link with them where something was applied."""
    applied = _applied(claim, verdict, findings)
    if applied is None:
        store(*payloads, also=writes)
        return
    *_, is_renewed = store(*payloads, also=[*writes, renewal(claim.delivery, applied)])
    if not is_renewed:
        make_link(claim.delivery, applied)


def _applied(claim: Claim, verdict: Verdict, findings: Findings) -> Applied | None:
    """None where nothing was. Of a relayed delivery also how new it was, even without a record: an older one must not
    undo a deletion.
    """
    if not _is_applied(claim, verdict, findings):
        return None
    is_deleted = findings.change is not None and findings.change.action is Action.DELETE
    return Applied(
        at=_ended_at(claim),
        record_id="" if is_deleted else findings.record_id or None,
        version=None if findings.entity is None else (findings.entity.version or "")[:128],
        occurred_at=_how_new(claim.delivery),
    )


def _is_applied(claim: Claim, verdict: Verdict, findings: Findings) -> bool:
    is_well = verdict.state in (State.SUCCEEDED, State.UNCHANGED)
    return is_well and bool(findings.record_id or claim.delivery.is_relayed)


def _how_new(delivery: Delivery) -> datetime | None:
    """What was put over newer data by a person leaves what comes next to be compared with the newest of all."""
    is_in_order = delivery.is_relayed and delivery.takes != Takes.ANYWAY
    return delivery.event.occurred_at if is_in_order else None


def _delivery_ended(claim: Claim, verdict: Verdict) -> Bound:
    return _END_DELIVERY.bound(*_end_of_delivery(claim, verdict))


def _end_delivery(claim: Claim, verdict: Verdict) -> str | None:
    found = _END_DELIVERY.row(*_end_of_delivery(claim, verdict))
    return None if found is None else str(found[0])


def _end_of_delivery(claim: Claim, verdict: Verdict) -> tuple[Any, ...]:
    delivery = claim.delivery
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
        claim.token,
    )


def _ended_at(claim: Claim) -> datetime:
    assert claim.attempt.ended_at is not None, "it has just ended"
    return claim.attempt.ended_at


def _end_attempt(claim: Claim, verdict: Verdict, findings: Findings) -> list[Payload]:
    """The attempt's second and last writing, as far as it can be prepared; its payloads are to be stored."""
    attempt, change = claim.attempt, findings.change
    attempt.ended_at = timezone.now()
    attempt.outcome = verdict.outcome
    attempt.code = verdict.code
    attempt.is_retryable = verdict.is_retryable
    attempt.action = ACTIONS[change.action] if change else ""
    attempt.record_id = findings.record_id
    shown = findings.entity is not None and any(wants_entity(each) for each in claim.events)
    entity = findings.entity.attributes if shown and findings.entity else None
    key = claim.delivery.event.key
    attempt.entity = _sealed(Payload.Kind.ENTITY, entity, key)
    attempt.change = _sealed(Payload.Kind.CHANGE, change.as_document() if change else None, key)
    attempt.answer = _sealed(Payload.Kind.RESPONSE, _answer(verdict), key)
    return [each for each in (attempt.entity, attempt.change, attempt.answer) if each is not None]


def _attempt_ended(claim: Claim) -> Bound:
    attempt = claim.attempt
    return _END_ATTEMPT.bound(
        attempt.ended_at,
        str(attempt.outcome),
        attempt.code,
        attempt.is_retryable,
        attempt.action,
        attempt.record_id,
        attempt.entity,
        attempt.change,
        attempt.answer,
        str(attempt.weighed),
        attempt.pk,
    )


def _answer(verdict: Verdict) -> dict[str, Any] | None:
    """What the remote system said, where it said something: for the source's answer and for support."""
    if verdict.sentence is None and not verdict.errors:
        return None
    errors = [{"field": each.field, "code": each.code, "detail": each.detail} for each in verdict.errors]
    return {"sentence": verdict.sentence, "errors": errors}


def _sealed(kind: str, document: Any, key: SubjectKey) -> Payload | None:
    if document is None:
        return None
    return Payload.of(kind, _ENCODER.encode(document).encode(), key)


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
            due_at=None if verdict.delay is None else database_now_plus(verdict.delay),
            not_before=database_now_plus(verdict.rest) if verdict.rest else None,
        )
    refresh_events(events)
    return tuple(sorted(events))


def refresh_events(event_ids: Iterable[int]) -> None:
    """Set each event's state to the worst of its deliveries. The lock makes concurrent settlers take turns.

    Whoever changes deliveries of an event that had ended comes through here: its hour is counted again.
    """
    rows = Event.objects.select_for_update(of=("self",)).filter(pk__in=list(event_ids)).order_by("pk")
    events = list(rows.only("pk", "state", "received_at"))
    # What still goes on is counted again anyway: no statement more for a webhook.
    mark_hours(event.received_at for event in events if event.state in _SETTLED)
    found: dict[int, list[tuple[str, str]]] = {event.pk: [] for event in events}
    kept = Delivery.objects.filter(event_id__in=found).values_list("event_id", "state", "code")
    for event_id, state, code in kept:
        found[event_id].append((state, code))
    for event_id, states in found.items():
        state = worst([state for state, _ in states])
        code = next((code for each, code in states if each == state), "")
        _END_EVENT.run(state, code, event_id)


def _happenings(
    claim: Claim, verdict: Verdict, findings: Findings, telling: Telling | None, covered: int = 0
) -> list[Happening]:
    fields = [each.name for each in findings.change.fields] if findings.change else []
    ended = Happening(
        claim.delivery.stream,
        f"attempt.{verdict.outcome}",
        details={
            "attempt": str(claim.attempt.key),
            "event": claim.delivery.event.reference,
            "state": str(verdict.state),
            "code": verdict.code,
            "action": claim.attempt.action,
            "fields": fields,
            "covered": covered,
        },
    )
    return [ended] if telling is None else [ended, telling.happening]
