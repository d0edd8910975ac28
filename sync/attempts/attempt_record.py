"""Rows that the end of an attempt writes: attempt, calls, answer, audit entries, link."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from django.utils import timezone

from audit.entries.append import NewEntry
from audit.format.canonical_json import JSONValue
from config_schema.codes.codes import CATALOGUE
from connectors.contracts.types import Entity
from connectors.values.json_responses import as_text
from database.statement import BoundStatement, Statement
from database.write_batch import WriteBatch
from sync.attempts.attempt_result import ACTION_CODES, AttemptResult
from sync.attempts.call_log import AttemptRecorder, SettledCalls
from sync.attempts.plan import AttemptFindings, Plan
from sync.attempts.scope import OUT_OF_SCOPE_CODE
from sync.deliveries.claims import Claim
from sync.deliveries.record_links import AppliedRecord
from sync.deliveries.stored_webhook import wants_entity
from sync.evidence.row_facts import attempt_facts, call_facts, change_facts
from sync.limits.circuit_breaker import is_system_failure
from sync.models import SUCCESS_STATES, AttemptCause, Delivery, Finding, PayloadChoice, new_recheck
from sync.models.failure import digest_failure_reason
from sync.planning.change import ChangeAction, FieldChange, ScopeMove
from sync.planning.failure_reasons import reason_of_failure
from sync.planning.references import Reference
from sync.planning.scope import digest_condition
from sync.references.missing_references import delete_missing
from sync.references.record_references import ReferenceChanges
from sync.search.search_digests import DigestSet
from webhooks.delivery_port import PendingAnswer
from webhooks.models import Payload, State

# How far after its arrival a webhook may say that it happened: senders write local times as UTC. No change has a later
# time, which would make every webhook of the entity until then an older one.
MAX_AHEAD = timedelta(days=1)
_ENCODER = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"), default=str)
_END_ATTEMPT = Statement(
    """UPDATE sync_attempt SET ended_at = %s, outcome = %s, code = %s, is_retryable = %s, action = %s,
    record_id = %s, findings_id = %s, counted_as = %s WHERE id = %s"""
)

# Once for each new failure: most replays of a group find nothing to write, and lock no row that others need.
_GROUP_RECOVERED = Statement(
    """UPDATE sync_failuregroup SET recovered_at = %s WHERE connection_id = %s AND code = %s AND failure_key = %s
    AND (recovered_at IS NULL OR recovered_at < last_at)"""
)


@dataclass(frozen=True, slots=True)
class FinishedAttempt:
    """An attempt that has ended, with its result, its findings, the recorders of its calls, these as stored, and what
    changes in the references of its record. `digests`: of the entity, unless they are stored already.
    """

    claim: Claim
    result: AttemptResult
    findings: AttemptFindings
    recorders: list[AttemptRecorder]
    calls: SettledCalls
    reference_changes: ReferenceChanges | None = None
    digests: DigestSet | None = None
    ended_at: datetime = field(default_factory=timezone.now)

    def add_to(self, batch: WriteBatch, pending_answer: PendingAnswer | None) -> None:
        """Add all writes of the end of the attempt to a batch.

        They are the attempt's own update, its calls, re-checks if a write may still arrive, the deletion of the missing
        references of earlier attempts, and the pending answer if there is one.
        """
        self._complete_attempt()
        # The update below refers to the key of this payload.
        if self.claim.attempt.findings is not None:
            batch.insert(self.claim.attempt.findings)
        batch.execute(self._attempt_update())
        if self._needs_rechecks():
            batch.insert(new_recheck(self.claim.attempt))
        if self._may_have_missing():
            has_succeeded = self.result.state in SUCCESS_STATES
            batch.execute(delete_missing(self.claim.delivery, has_succeeded=has_succeeded))
        self.calls.add_to(batch)
        if self._overcomes_failure():
            delivery = self.claim.delivery
            connection = delivery.connection_of_code(delivery.code)
            batch.execute(
                _GROUP_RECOVERED.bind(self.ended_at, connection.pk, delivery.code, delivery.failure_key)
            )
        if pending_answer is not None:
            pending_answer.add_to(batch)

    @property
    def failure_key(self) -> str:
        """Return the key of the group of a failure that a retry does not help, empty for any other result."""
        result = self.result
        if result.state != State.DEAD or result.is_retryable:
            return ""
        change = self.findings.change
        fields = change.fields if change else ()
        values = (self.claim.delivery.entity_id, self.findings.record_id, *_texts_of(fields))
        names = {field.name for field in fields} | {error.field for error in result.errors}
        return digest_failure_reason(reason_of_failure(result.sentence, result.errors, values, names))

    def _overcomes_failure(self) -> bool:
        """True if a person's replay of a failed delivery succeeded: the cause of its group has passed."""
        entry = CATALOGUE.get(self.claim.delivery.code)
        has_failed = entry is not None and entry.status >= 400
        is_replay = self.claim.attempt.cause == AttemptCause.REPLAY
        return is_replay and has_failed and self.result.state in SUCCESS_STATES

    def audit_entries(
        self, pending_answer: PendingAnswer | None, state_after: str, covered: int = 0
    ) -> list[NewEntry]:
        """Return the audit entries of this end. `covered`: number of other events that end with it.

        `state_after`: the state of the delivery, which differs from the result if a replay was requested meanwhile.
        """
        claim, result, change = self.claim, self.result, self.findings.change
        left_out = (
            [*(field.name for field in change.left_out_fields), *change.withheld_fields] if change else []
        )
        ended = NewEntry(
            claim.delivery.stream,
            f"attempt.{result.outcome}",
            details={
                "attempt": str(claim.attempt.key),
                "event": claim.delivery.event.reference,
                "state": str(result.state),
                "code": result.code,
                "action": claim.attempt.action,
                "fields": [field.name for field in change.fields] if change else [],
                "covered": covered,
                **call_facts(self.calls.rows),
                **attempt_facts(claim.attempt, claim.delivery.event),
                **({"failure": result.found_code} if result.found_code != result.code else {}),
                **self._change_facts(),
                **({"left_out": left_out} if left_out else {}),
                **({"became": state_after} if state_after != result.state else {}),
            },
        )
        entries = [ended] if pending_answer is None else [ended, pending_answer.audit_entry]
        return [*entries, *self._unlinked_entries()]

    def _unlinked_entries(self) -> list[NewEntry]:
        """Return the entry of a link that ends because its entity left the scope, in the stream of the event."""
        plan, delivery = self.findings.plan, self.claim.delivery
        if plan is None or not plan.change.ends_link or self.result.state not in SUCCESS_STATES:
            return []
        details = {
            "connection": delivery.target.slug,
            "attempt": str(self.claim.attempt.key),
            "reason": OUT_OF_SCOPE_CODE,
        }
        return [NewEntry(delivery.event.stream, "link.removed", details=details)]

    @property
    def awaited_records(self) -> Mapping[Reference, str]:
        """Return the entities whose record the delivery lacks, each with the record id with which the target refused
        the delivery for good; "" if it has none. A new record of such an entity makes the delivery due.
        """
        missing, plan = dict.fromkeys(self.result.missing, ""), self.findings.plan
        is_refused = self.result.state == State.DEAD and not is_system_failure(self.result.code)
        return {**plan.linked, **missing} if is_refused and plan is not None else missing

    def _change_facts(self) -> dict[str, JSONValue]:
        """Return what made a deletion or a second creation right; nothing for any other change."""
        plan = self.findings.plan
        if plan is None or self.result.state not in SUCCESS_STATES:
            return {}
        proof = self._deletion_proof(plan) if plan.change.action is ChangeAction.DELETE else {}
        return change_facts(
            proof, replaces_record=plan.had_record and plan.change.action is ChangeAction.CREATE
        )

    def _deletion_proof(self, plan: Plan) -> Mapping[str, str]:
        """Return what proves that a record was to be deleted: a condition that its entity does not fulfil, or that the
        entity was deleted.
        """
        if plan.change.scope is not ScopeMove.LEFT:
            return self.findings.deletion_proof
        return {"condition": digest_condition(self.claim.delivery.route.condition)}

    def applied_record(self) -> AppliedRecord | None:
        """Return the values that the subject's link takes; None if it is not written.

        A relayed delivery writes its timestamp even without a record: an older one must not undo a deletion. A link to
        a record that was not found is marked as deleted.
        """
        findings, plan = self.findings, self.findings.plan
        if plan is None or self.result.state not in SUCCESS_STATES or plan.change.scope is ScopeMove.UNKNOWN:
            return None
        is_stale_link = plan.is_record_absent and self.claim.link is not None
        if not (findings.record_id or self.claim.delivery.is_relayed or is_stale_link):
            return None
        ends_link = plan.change.ends_link or plan.change.action is ChangeAction.DELETE
        is_deleted = plan.is_record_absent or ends_link
        return AppliedRecord(
            applied_at=self.ended_at,
            # Empty marks the record as deleted; None leaves the stored id unchanged.
            record_id="" if is_deleted else findings.record_id or None,
            version=None if findings.entity is None else (findings.entity.version or "")[:128],
            occurred_at=_relayed_timestamp(self.claim.delivery),
            write_counts={} if plan.change.ends_link else plan.write_counts,
            external_id_field="" if plan.change.ends_link else self._proving_field(plan),
            withheld_fields=self._withheld_fields(plan),
            left_scope_at=self._left_scope_at(plan),
            keeps_left_scope=plan.change.scope not in (ScopeMove.LEFT, ScopeMove.RETURNED),
        )

    def _left_scope_at(self, plan: Plan) -> datetime | None:
        """Return when an entity outside the scope of its route left it: the first time counts."""
        link = self.claim.link
        before = None if link is None else link.left_scope_at
        return (before or self.ended_at) if plan.change.scope is ScopeMove.LEFT else None

    def _withheld_fields(self, plan: Plan) -> tuple[str, ...] | None:
        """Return the fields that were left out because they had no value in any entity; None if only a part of the
        entity was known.
        """
        is_partial = not self.claim.delivery.is_fetched and plan.change.action is not ChangeAction.CREATE
        if plan.change.scope is ScopeMove.LEFT:
            is_partial = not plan.change.ends_link
        return None if is_partial and self.findings.entity is not None else plan.change.withheld_fields

    def _proving_field(self, plan: Plan) -> str | None:
        """Return the field in which the record bears the entity's id, empty if it bears another one, None if that is
        not known. The answer to a write comes first, then what was sent, then what was read.
        """
        mapping, findings = self.claim.route.mapping, self.findings
        name = None if mapping is None else mapping.match.external_id
        if mapping is None or name is None or name not in mapping.fields:
            return None
        answered = findings.written.fields if findings.written else {}
        read = plan.record.fields if plan.record else {}
        texts = [as_text(fields.get(name)) for fields in (answered, plan.change.values_to_send, read)]
        text = next(filter(None, texts), None)
        if text is None:
            return None
        if text.casefold() != self.claim.delivery.entity_id.casefold():
            return ""
        # A value that was only sent proves nothing: the target may drop it.
        return name if texts[0] or texts[2] else None

    def _may_have_missing(self) -> bool:
        """True if earlier attempts of the delivery may have stored entities that it waits for."""
        mapping = self.claim.route.mapping
        has_references = mapping is not None and bool(mapping.reference_types)
        return has_references or self.claim.attempt.cause in (AttemptCause.RECHECK, AttemptCause.REPLAY)

    def _needs_rechecks(self) -> bool:
        """True if a write of this attempt may still arrive, or it delivered a state from before the event.

        A re-check that finds that state again adds none: the attempt that it checks has its own.
        """
        is_recheck = self.claim.attempt.cause == AttemptCause.RECHECK
        has_delivered = self.result.state in SUCCESS_STATES or self.result.code == OUT_OF_SCOPE_CODE
        is_outdated = has_delivered and self.findings.is_outdated and not is_recheck
        return is_outdated or (self.result.may_still_arrive and self.claim.delivery.gets_rechecks)

    def _complete_attempt(self) -> None:
        """Set the attempt's final values, with its findings in a payload that is not stored yet."""
        attempt, result, findings = self.claim.attempt, self.result, self.findings
        change = findings.change
        attempt.ended_at = self.ended_at
        attempt.outcome = result.outcome
        attempt.code = result.found_code
        attempt.is_retryable = result.is_retryable
        # With candidates nothing is planned yet: a person decides what is done.
        attempt.action = ACTION_CODES[change.action] if change and not change.candidates else ""
        attempt.record_id = findings.record_id
        attempt.findings = self._findings_payload()

    def _findings_payload(self) -> Payload | None:
        """Return the encrypted entity, change and answer, as far as they exist; None if there is nothing."""
        entity, change = self._stored_entity(), self.findings.change
        findings_by_name = {
            Finding.ENTITY: entity.attributes if entity else None,
            Finding.CHANGE: change.to_document() if change else None,
            Finding.ANSWER: _answer_document(self.result),
        }
        document = {part: value for part, value in findings_by_name.items() if value is not None}
        if not document:
            return None
        plain = _ENCODER.encode(document).encode()
        scrubber = self.findings.scrubber
        if scrubber.contains_secret(plain):
            # The answer has been scrubbed already: it is shown to the source too.
            unscrubbed = {part: value for part, value in document.items() if part != Finding.ANSWER}
            scrubbed = {part: scrubber.scrub_document(value) for part, value in unscrubbed.items()}
            plain = _ENCODER.encode(document | scrubbed).encode()
        return Payload.new(Payload.Kind.FINDINGS, plain, self.claim.delivery.event.key)

    def _stored_entity(self) -> Entity | None:
        """Return the fetched entity if an answer may contain it: it is personal data. None if it is not stored."""
        is_wanted = self.findings.entity is not None and any(map(wants_entity, self.claim.events))
        return self.findings.entity if is_wanted else None

    def _attempt_update(self) -> BoundStatement:
        attempt = self.claim.attempt
        return _END_ATTEMPT.bind(
            attempt.ended_at,
            str(attempt.outcome),
            attempt.code,
            attempt.is_retryable,
            attempt.action,
            attempt.record_id,
            attempt.findings,
            str(attempt.counted_as),
            attempt.pk,
        )


def _relayed_timestamp(delivery: Delivery) -> datetime | None:
    """Return the event's time if it may raise the link's `occurred_at`; None for fetched deliveries.

    None also if a person delivered the payload over newer data, and if the time is more than MAX_AHEAD after the
    arrival of its webhook.
    """
    event = delivery.event
    # A person may deliver a payload over newer data; later events are still compared with the newest time known.
    if not delivery.is_relayed or delivery.payload_choice == PayloadChoice.ANYWAY:
        return None
    is_ahead = event.occurred_at is not None and event.occurred_at > event.received_at + MAX_AHEAD
    return None if is_ahead else event.occurred_at


def _texts_of(value: Any) -> Iterator[str]:
    """Yield the texts in the values of a change."""
    if isinstance(value, FieldChange):
        yield from _texts_of((value.before, value.after))
    elif isinstance(value, dict | list | tuple):
        for item in value.values() if isinstance(value, dict) else value:
            yield from _texts_of(item)
    elif isinstance(value, str):
        yield value.strip()


def _answer_document(result: AttemptResult) -> dict[str, Any] | None:
    """Return the remote system's sentence and field errors, and the sentence that the settings have in its place, for
    the source's answer and for support; None without any.
    """
    if result.sentence is None and not result.errors and result.says is None:
        return None
    errors = [{"field": error.field, "code": error.code, "detail": error.detail} for error in result.errors]
    stated: dict[str, Any] = {"language": result.language} if result.language else {}
    if result.says is not None:
        stated["says"] = dict(result.says)
    return {"sentence": result.sentence, "errors": errors, **stated}
