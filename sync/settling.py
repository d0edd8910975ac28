"""The end of an attempt, in one short commit: outcome, delivery state, siblings, events, link, calls and audit."""

import json
from collections.abc import Iterable
from typing import Any

from django.db import transaction
from django.db.models import Case, CharField, DateTimeField, F, Field, IntegerField, Value, When
from django.utils import timezone

from audit.log import Happening, append
from sync.attempting import Findings
from sync.claiming import WAITING, Claim, lock_subject
from sync.clock import database_now_plus
from sync.models import SETTLED_STATES, Delivery, Link
from sync.planning import Action
from sync.recording import AttemptRecorder, save_calls
from sync.verdict import ACTIONS, Verdict
from webhooks.models import Event, Payload, State, worst


def settle(
    claim: Claim, verdict: Verdict, findings: Findings, recorders: list[AttemptRecorder]
) -> tuple[int, ...]:
    """Finish an attempt if its delivery is still ours. Returns the events that it settled, none where it was not."""
    with transaction.atomic():
        if claim.covered:
            lock_subject(claim.delivery)
        if not claim.held.update(**_delivery_values(verdict)):
            return ()
        _end_attempt(claim, verdict, findings)
        save_calls(recorders)
        is_applied = verdict.state in (State.SUCCEEDED, State.UNCHANGED)
        if is_applied and (findings.record_id or claim.delivery.is_relayed):
            _link(claim, findings)
        events = _settle_siblings(claim, verdict)
        refresh_events(events)
        append(_happening(claim, verdict, findings, covered=len(events) - 1), at=claim.attempt.ended_at)
    return events


def _delivery_values(verdict: Verdict) -> dict[str, Any]:
    """A replay that was asked for while this attempt ran begins afterwards: back to pending, due at once."""
    settled_at: Case | None = None  # PostgreSQL would take a CASE of nulls alone for text
    if verdict.state in SETTLED_STATES:
        settled_at = _unless_asked_again(Value(None), Value(timezone.now()), DateTimeField())
    due_at = None if verdict.delay is None else database_now_plus(verdict.delay)
    return {
        "state": _unless_asked_again(Value(State.PENDING), Value(verdict.state), CharField()),
        "code": verdict.code,
        "token": None,
        "lease_until": None,
        "due_at": _unless_asked_again(database_now_plus(0), due_at, DateTimeField()),
        "settled_at": settled_at,
        "tries": _unless_asked_again(Value(0), F("tries"), IntegerField()),
    }


def _unless_asked_again(replayed: Any, otherwise: Any, output_field: "Field[Any, Any]") -> Case:
    """`otherwise`, or `replayed` where a replay was asked for while the attempt ran."""
    return Case(When(replay__isnull=False, then=replayed), default=otherwise, output_field=output_field)


def _end_attempt(claim: Claim, verdict: Verdict, findings: Findings) -> None:
    """The attempt's second and last writing."""
    attempt = claim.attempt
    attempt.ended_at = timezone.now()
    attempt.outcome = verdict.outcome
    attempt.code = verdict.code
    attempt.is_retryable = verdict.is_retryable
    attempt.action = ACTIONS[findings.change.action] if findings.change else ""
    attempt.record_id = findings.record_id
    attempt.entity = _sealed(Payload.Kind.ENTITY, findings.entity.attributes if findings.entity else None)
    attempt.change = _sealed(Payload.Kind.CHANGE, findings.change.as_document() if findings.change else None)
    attempt.answer = _sealed(Payload.Kind.RESPONSE, _answer(verdict))
    payloads = [each for each in (attempt.entity, attempt.change, attempt.answer) if each is not None]
    Payload.objects.bulk_create(payloads)
    attempt.save()


def _answer(verdict: Verdict) -> dict[str, Any] | None:
    """What the remote system said, where it said something: for the source's answer and for support."""
    if verdict.sentence is None and not verdict.errors:
        return None
    errors = [{"field": each.field, "code": each.code, "detail": each.detail} for each in verdict.errors]
    return {"sentence": verdict.sentence, "errors": errors}


def _sealed(kind: str, document: Any) -> Payload | None:
    if document is None:
        return None
    return Payload.of(
        kind, json.dumps(document, ensure_ascii=False, separators=(",", ":"), default=str).encode()
    )


def _link(claim: Claim, findings: Findings) -> None:
    """Remember which record belongs to the subject, or forget one that was deleted.

    Of a relayed delivery also how new it was, even where there is no record: an older one must not undo a deletion.
    """
    delivery = claim.delivery
    subject = {
        "identity_id": delivery.identity_id,
        "commercial_id": delivery.commercial_id,
        "entity_type": delivery.entity_type,
        "entity_id": delivery.entity_id,
    }
    values: dict[str, Any] = {"applied_at": claim.attempt.ended_at}
    is_deleted = findings.change is not None and findings.change.action is Action.DELETE
    if is_deleted or findings.record_id:
        values["record_id"] = "" if is_deleted else findings.record_id
    if findings.entity is not None:
        values["version"] = (findings.entity.version or "")[:128]
    if delivery.is_relayed and delivery.event.occurred_at:
        values["occurred_at"] = delivery.event.occurred_at
    if not Link.objects.filter(**subject).update(**values):
        Link.objects.create(**subject, **values)


def _settle_siblings(claim: Claim, verdict: Verdict) -> tuple[int, ...]:
    """Covered siblings end as the attempt ended, failures included. Returns all events concerned."""
    events = {claim.delivery.event_id}
    if claim.covered:
        covered = Delivery.objects.filter(covered_by=claim.attempt, state__in=WAITING, replay__isnull=True)
        events.update(covered.values_list("event_id", flat=True))
        values = _delivery_values(verdict)
        covered.update(
            **{name: values[name] for name in ("code", "settled_at", "due_at")}, state=verdict.state
        )
    return tuple(sorted(events))


def refresh_events(event_ids: Iterable[int]) -> None:
    """Set each event's state to the worst of its deliveries. The lock makes concurrent settlers take turns."""
    locked = (
        Event.objects.select_for_update(of=("self",)).filter(pk__in=list(event_ids)).order_by("pk").only("pk")
    )
    events = list(locked)
    found: dict[int, list[tuple[str, str]]] = {event.pk: [] for event in events}
    rows = Delivery.objects.filter(event_id__in=found).values_list("event_id", "state", "code")
    for event_id, state, code in rows:
        found[event_id].append((state, code))
    for event_id, states in found.items():
        state = worst([state for state, _ in states])
        code = next((code for each, code in states if each == state), "")
        Event.objects.filter(pk=event_id).update(state=state, code=code)


def _happening(claim: Claim, verdict: Verdict, findings: Findings, covered: int) -> Happening:
    fields = [each.name for each in findings.change.fields] if findings.change else []
    return Happening(
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


def is_older_than_applied(claim: Claim, link: Link | None) -> bool:
    """Whether a relayed delivery is older than what was applied; a fetched one never is."""
    occurred_at = claim.delivery.event.occurred_at
    if not claim.delivery.is_relayed or link is None or link.occurred_at is None or occurred_at is None:
        return False
    return occurred_at < link.occurred_at
