"""Plan one subject with both sides fetched now, by the engine of a delivery, and send nothing but reads.

The subject may have no stored event: it is planned as an UPDATE of a comparison, which is unsigned and has no payload.
So `trusted` matching becomes `verified`, and fields whose value depends on the webhook stay as they are. Fields that
the target does not keep, or does not return and that were written, make no difference.
"""

import hashlib
import time
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from enum import StrEnum

from django.utils import timezone

from connectors.exchange import Recorder
from database.clock import read_clock
from sync.attempts.attempt_result import AttemptResult
from sync.attempts.plan import AttemptFindings, Connectors, Plan
from sync.attempts.scope import OUT_OF_SCOPE_CODE
from sync.deliveries.claims import Claim, attach_route
from sync.deliveries.record_links import RecordLink, read_link
from sync.deliveries.routes import ResolvedRoute
from sync.models import Attempt, AttemptCause, Delivery
from sync.planning.change import Change, ScopeMove, redact_change
from sync.planning.record_matching import ValueMatch
from sync.previews.attempt_preview import PreviewedAttempt, PreviewRecorder, preview_attempt, read_live
from webhooks.models import Event, EventOrigin

DEADLINE_SECONDS = 8.0
_DIGEST_OF_NOTHING = hashlib.sha256(b"").digest()


class FoundBy(StrEnum):
    """How the record of a subject was found."""

    NOTHING = ""
    LINK = "link"
    EXTERNAL_ID = "external-id"
    VALUE = "value"


@dataclass(frozen=True, slots=True)
class PlannedSubject:
    """What would make a subject equal, and what was found of it. `delivery` is not stored.

    Without a `change`, `code` gives the reason. With both, the change waits for a decision or a proof: `code` is that
    of a delivery that would be held, or `identity-missing-unproven`. `has_entity`: False if the identity service does
    not find it, None if that is not known. `record_id`: of the record that was found, or to which the subject is
    linked. `candidates`: ids of the records of which a person has to choose one. `has_unproven_owner`: the record has
    lost the external id of the subject, or has that of an unknown one. `match`: what the searches by values found; its
    records have values as the target gave them.
    """

    entity_id: str
    delivery: Delivery
    change: Change | None = None
    code: str = ""
    result: AttemptResult | None = None
    has_entity: bool | None = None
    is_linked: bool = False
    record_id: str = ""
    found_by: FoundBy = FoundBy.NOTHING
    candidates: tuple[str, ...] = ()
    has_unproven_owner: bool = False
    match: ValueMatch | None = None

    @property
    def differing_fields(self) -> list[str]:
        """Return the names of the fields that cause the change."""
        return [one.name for one in self.change.fields if one.is_compared] if self.change else []

    @property
    def is_in_step(self) -> bool:
        """True if the record is as the mapping says, or as the route says for an entity that left its scope, and
        nothing has to be decided.
        """
        return not self.code and self.change is not None and self.change.is_empty

    @property
    def is_outside(self) -> bool:
        """True if the entity is outside the scope of the route, with a record or without one."""
        has_left = self.change is not None and self.change.scope is ScopeMove.LEFT
        return has_left or self.code == OUT_OF_SCOPE_CODE


@dataclass(frozen=True, slots=True)
class LiveReads:
    """How a subject is read. `recorders`: of the identity service, then of the target. `raises`: what they may raise
    that is no result of the subject. `adapt` may replace the connectors. `is_waited_for`: a person waits.
    """

    recorders: Sequence[Recorder]
    is_waited_for: bool = False
    adapt: Callable[[Connectors], Connectors] | None = None
    raises: tuple[type[Exception], ...] = field(default=())


def plan_subject(
    resolved: ResolvedRoute, entity_id: str, *, event_type: str = "UPDATE", reads: LiveReads | None = None
) -> PlannedSubject:
    """Plan a subject of a route. Without `reads`, a person waits: it takes DEADLINE_SECONDS at most. Failures of the
    systems are codes of the result.
    """
    claim = make_claim(resolved, entity_id, event_type)
    reads = reads or _reads_for_person(claim.delivery)
    previewed = preview_attempt(
        claim, reads.recorders, is_waited_for=reads.is_waited_for, adapt=reads.adapt, raises=reads.raises
    )
    return _describe(claim, previewed)


def find_entity(resolved: ResolvedRoute, entity_id: str, reads: LiveReads) -> tuple[bool, str]:
    """Return whether the identity service finds an entity, and the code of the failure if it could not be asked."""
    claim = make_claim(resolved, entity_id)
    found: list[bool] = []

    def look(connectors: Connectors, _: AttemptFindings) -> None:
        entity = connectors.identity.fetch_entity(resolved.identity_type, entity_id)
        found.append(entity is not None)

    read = read_live(
        claim,
        reads.recorders,
        look,
        is_waited_for=reads.is_waited_for,
        adapt=reads.adapt,
        raises=reads.raises,
    )
    return any(found), read.code


def make_claim(resolved: ResolvedRoute, entity_id: str, event_type: str = "UPDATE") -> Claim:
    """Return a claim of a delivery that is not stored, of an event of a comparison that is not stored."""
    route = resolved.route
    event = Event(
        source=route.source,
        origin=EventOrigin.COMPARISON,
        entity_type=route.entity_type,
        entity_id=entity_id,
        event_type=event_type,
        is_signed=False,
        digest=_DIGEST_OF_NOTHING,
        received_at=timezone.now(),
    )
    delivery = Delivery(
        event=event,
        route_id=route.pk,
        identity_id=route.identity_id,
        target_id=route.target_id,
        entity_type=route.entity_type,
        entity_id=entity_id,
        # The wait for the records that the record refers to is over: what may be left out is left out.
        opened_at=read_clock() - timedelta(hours=route.gives_up_after_hours),
    )
    attach_route(delivery, resolved)
    # No replay: that would send again what the target does not keep.
    attempt = Attempt(delivery=delivery, key=uuid.uuid4(), cause=AttemptCause.WEBHOOK)
    return Claim(delivery, attempt, uuid.uuid4(), resolved, read_link(delivery))


def _reads_for_person(delivery: Delivery) -> LiveReads:
    deadline = time.monotonic() + DEADLINE_SECONDS
    connections = (delivery.identity, delivery.target)
    return LiveReads([PreviewRecorder(one, deadline) for one in connections], is_waited_for=True)


def _describe(claim: Claim, previewed: PreviewedAttempt) -> PlannedSubject:
    findings, link = previewed.findings, claim.link
    linked_id = (link.record_id if link else None) or ""
    plan = findings.plan
    if plan is None:
        return PlannedSubject(
            claim.delivery.entity_id,
            claim.delivery,
            code=previewed.code,
            result=previewed.result,
            has_entity=True if findings.entity is not None else None,
            is_linked=bool(linked_id),
            record_id=linked_id,
        )
    return PlannedSubject(
        claim.delivery.entity_id,
        claim.delivery,
        redact_change(plan.change, findings.scrubber.scrub_document),
        previewed.code,
        previewed.result,
        findings.entity is not None,
        bool(linked_id),
        plan.change.record_id or linked_id,
        _found_by(plan, link),
        tuple(candidate.id for candidate in plan.change.candidates),
        plan.found.has_lost_external_id or plan.found.has_unknown_external_id,
        plan.match,
    )


def _found_by(plan: Plan, link: RecordLink | None) -> FoundBy:
    if plan.record is None:
        return FoundBy.NOTHING
    if plan.found.record is None:
        return FoundBy.VALUE
    is_linked = link is not None and link.record_id == plan.record.id
    return FoundBy.LINK if is_linked else FoundBy.EXTERNAL_ID
