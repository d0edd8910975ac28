"""Decide which record a held entity belongs to: link one of those found, create one, or reject the change."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any
from uuid import UUID

from django.contrib.auth.models import AbstractBaseUser
from django.utils.translation import gettext as _

from database.clock import database_now
from database.encryption.at_rest import CannotDecrypt
from sync.deliveries.predicates import subject_filter
from sync.deliveries.record_links import bind_record
from sync.execution.executor import defer_to_workers
from sync.models import MATCH_HELD_CODE, Attempt, Delivery, Finding, PersonRequest, PersonRequestKind
from sync.operations.held_deliveries import (
    DecisionRefused,
    DecisionResult,
    close_held,
    decide_once,
    lock_held,
    new_decision_request,
    record_decision,
)
from webhooks.models import State


class MatchDecision(StrEnum):
    """A decision about the record of a held entity."""

    BIND = "bind"
    CREATE = "create"
    REFUSE = "refuse"


_ACTIONS = {
    MatchDecision.BIND: "delivery.record-linked",
    MatchDecision.CREATE: "delivery.record-approved",
    MatchDecision.REFUSE: "delivery.closed",
}


@dataclass(frozen=True, slots=True)
class Candidate:
    """A record that may belong to the entity, with the mapped fields that it had when the delivery was held."""

    record_id: str
    fields: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class HeldMatch:
    """The records found for a held entity. `mapped_fields` are empty if the entity was deleted."""

    mapped_fields: Mapping[str, Any]
    candidates: tuple[Candidate, ...] = ()


def load_match(delivery: Delivery) -> HeldMatch:
    """Return the records that the newest attempt of a held delivery found; none if they are no longer stored."""
    attempts = (
        Attempt.objects.filter(delivery=delivery.pk).order_by("-number").select_related("findings__subject")
    )
    own, covering = attempts.first(), delivery.covered_by
    newest = max(filter(None, (own, covering)), key=lambda attempt: attempt.pk, default=None)
    try:
        document = (newest.stored_finding(Finding.CHANGE) if newest else None) or {}
    except CannotDecrypt:
        document = {}
    return HeldMatch(
        {field["name"]: field["after"] for field in document.get("fields", [])},
        tuple(
            Candidate(candidate["record"], candidate["fields"])
            for candidate in document.get("candidates", [])
        ),
    )


def decide_match(
    delivery: Delivery,
    decision: MatchDecision,
    *,
    by: AbstractBaseUser,
    reason: str,
    key: UUID,
    record_id: str = "",
    address: str = "",
) -> DecisionResult:
    """Carry out a decision for all deliveries of the subject that are held for it, in one commit; then run them.

    1. Store person, time and reason as a `PersonRequest` that the deliveries name. `key` identifies the request: the
       database accepts it once.
    2. Lock the held deliveries of the subject at the target connection.
    3. Bind `record_id`, which must be one of the records found; or note that a record is to be created; or close them.
    4. Release the deliveries: each is planned again, and the mass-change guard counts it as any other.

    Raises DecisionRefused without a reason, if nothing is held any more, or if the record cannot be bound: it was not
    found for this entity, or is linked to another one by now.
    """
    kind = PersonRequestKind.CLOSING if decision is MatchDecision.REFUSE else PersonRequestKind.APPROVAL
    request = new_decision_request(kind, by, reason, key)
    with decide_once(request):
        held = _decide_locked(delivery, decision, record_id, request, address)
    if decision is not MatchDecision.REFUSE:
        defer_to_workers(held)
    return DecisionResult(held, skipped_count=0)


def _decide_locked(
    delivery: Delivery, decision: MatchDecision, record_id: str, request: PersonRequest, address: str
) -> tuple[int, ...]:
    # `open()`: the index of open deliveries begins with the entity.
    rows = lock_held(Delivery.objects.open().filter(code=MATCH_HELD_CODE, **subject_filter(delivery)))
    held = tuple(row.pk for row in rows)
    if delivery.pk not in held:
        raise DecisionRefused(_("This delivery is no longer held."))
    match = load_match(delivery)
    if decision is MatchDecision.BIND:
        _bind_candidate(delivery, match, record_id)
    if decision is MatchDecision.CREATE and not match.mapped_fields:
        raise DecisionRefused(_("The entity was deleted. No record can be created for it."))
    if decision is MatchDecision.REFUSE:
        close_held(held, request)
    else:
        _release(held, request, creates_record=decision is MatchDecision.CREATE)
    record_decision(rows, _ACTIONS[decision], request, address)
    return held


def _bind_candidate(delivery: Delivery, match: HeldMatch, record_id: str) -> None:
    if record_id not in {candidate.record_id for candidate in match.candidates}:
        raise DecisionRefused(_("This record was not found for the entity. Reload the page."))
    if not bind_record(delivery, record_id):
        raise DecisionRefused(
            _("Record %(record)s is now linked to another entity. Choose again.") % {"record": record_id}
        )


def _release(held: tuple[int, ...], request: PersonRequest, *, creates_record: bool) -> None:
    Delivery.objects.filter(pk__in=held).update(
        state=State.PENDING,
        creates_record=creates_record,
        person_request=request,
        attempts_used=0,
        deaths=0,
        opened_at=database_now(),
        due_at=database_now(),
        covered_by=None,
    )
