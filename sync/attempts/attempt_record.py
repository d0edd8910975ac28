"""The rows that the end of an attempt writes: attempt, calls, answer, audit entries, link."""

import json
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.utils import timezone

from audit.entries.append import NewEntry
from database.statement import BoundStatement, Statement
from database.write_batch import WriteBatch
from sync.attempts.attempt_result import ACTIONS, Verdict
from sync.attempts.call_log import AttemptRecorder, add_calls, in_order
from sync.attempts.plan import Findings
from sync.deliveries.claims import Claim
from sync.deliveries.record_links import Applied
from sync.deliveries.stored_webhook import wants_entity
from sync.models import Delivery, Takes
from sync.planning.change import ChangeAction
from webhooks.delivery_port import PendingAnswer
from webhooks.models import Payload, State, SubjectKey

_ENCODER = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"), default=str)
_END_ATTEMPT = Statement(
    """UPDATE sync_attempt SET ended_at = %s, outcome = %s, code = %s, is_retryable = %s, action = %s,
    record_id = %s, entity_id = %s, change_id = %s, answer_id = %s, weighed = %s WHERE id = %s"""
)


@dataclass(frozen=True, slots=True)
class Ending:
    """An attempt that has ended, with all that is known of it."""

    claim: Claim
    verdict: Verdict
    findings: Findings
    recorders: list[AttemptRecorder]

    @property
    def at(self) -> datetime:
        """When it ended, as `add_to` has put it down."""
        assert self.claim.attempt.ended_at is not None, "it is written first"
        return self.claim.attempt.ended_at

    def add_to(self, batch: WriteBatch, pending_answer: PendingAnswer | None) -> None:
        """Add the end of the attempt, its calls, and the answer if there is one."""
        batch.insert(*self._end_attempt())
        batch.execute(self._attempt_ended())
        add_calls(in_order(self.recorders), batch)
        if pending_answer is not None:
            pending_answer.add_to(batch)

    def happenings(self, pending_answer: PendingAnswer | None, covered: int = 0) -> list[NewEntry]:
        """For the audit log. `covered`: so many other events end with it."""
        claim, verdict, change = self.claim, self.verdict, self.findings.change
        ended = NewEntry(
            claim.delivery.stream,
            f"attempt.{verdict.outcome}",
            details={
                "attempt": str(claim.attempt.key),
                "event": claim.delivery.event.reference,
                "state": str(verdict.state),
                "code": verdict.code,
                "action": claim.attempt.action,
                "fields": [each.name for each in change.fields] if change else [],
                "covered": covered,
            },
        )
        return [ended] if pending_answer is None else [ended, pending_answer.happening]

    @property
    def is_applied(self) -> bool:
        """Whether the subject's link is to say so."""
        is_well = self.verdict.state in (State.SUCCEEDED, State.UNCHANGED)
        return is_well and bool(self.findings.record_id or self.claim.delivery.is_relayed)

    def applied(self) -> Applied:
        """For the link. Of a relayed delivery also how new it was, even without a record: an older one must not undo a
        deletion.
        """
        findings = self.findings
        is_deleted = findings.change is not None and findings.change.action is ChangeAction.DELETE
        return Applied(
            at=self.at,
            record_id="" if is_deleted else findings.record_id or None,
            version=None if findings.entity is None else (findings.entity.version or "")[:128],
            occurred_at=_how_new(self.claim.delivery),
        )

    def _end_attempt(self) -> list[Payload]:
        """The attempt's second and last writing, as far as it can be prepared; its payloads are to be stored."""
        attempt, verdict, findings = self.claim.attempt, self.verdict, self.findings
        change = findings.change
        attempt.ended_at = timezone.now()
        attempt.outcome = verdict.outcome
        attempt.code = verdict.code
        attempt.is_retryable = verdict.is_retryable
        attempt.action = ACTIONS[change.action] if change else ""
        attempt.record_id = findings.record_id
        shown = findings.entity is not None and any(wants_entity(each) for each in self.claim.events)
        entity = findings.entity.attributes if shown and findings.entity else None
        key = self.claim.delivery.event.key
        attempt.entity = _sealed(Payload.Kind.ENTITY, entity, key)
        attempt.change = _sealed(Payload.Kind.CHANGE, change.to_document() if change else None, key)
        attempt.answer = _sealed(Payload.Kind.RESPONSE, _answer(verdict), key)
        return [each for each in (attempt.entity, attempt.change, attempt.answer) if each is not None]

    def _attempt_ended(self) -> BoundStatement:
        attempt = self.claim.attempt
        return _END_ATTEMPT.bind(
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


def _how_new(delivery: Delivery) -> datetime | None:
    """What was put over newer data by a person leaves what comes next to be compared with the newest of all."""
    is_in_order = delivery.is_relayed and delivery.takes != Takes.ANYWAY
    return delivery.event.occurred_at if is_in_order else None


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
