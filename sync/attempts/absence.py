"""Prove that an entity or a record does not exist, before anything is removed or created because of it; and that the
record which a deletion removes is that of its entity.

An entity is proven absent if other entities can be read with the same credentials, and the service reported its
deletion or an earlier attempt did not find it either. A record is proven absent if other records can be read in the
same attempt. A linked record that has the external id of an unknown entity may be that of another person: it is neither
deleted nor deactivated. A person may decide instead.
"""

from collections.abc import Mapping
from datetime import timedelta

from django.conf import settings
from django.db.models import Q, QuerySet
from django.utils import timezone

from connectors.contracts.types import Access, IdentityConnector, TargetConnector
from sync.attempts.call_log import without_stored_content
from sync.deliveries.claims import Claim
from sync.deliveries.record_links import known_entity_ids, known_record_ids
from sync.models import Attempt, AttemptOutcome
from sync.planning.change import Change, ChangeAction
from sync.planning.record_matching import RecordAbsenceUnproven
from webhooks.models import Event, EventOrigin

ENTITY_UNPROVEN = "identity-missing-unproven"
RECORD_UNPROVEN = "target-missing-unproven"
ABSENCE_CODES = (ENTITY_UNPROVEN, RECORD_UNPROVEN)
OWNER_HELD_CODE = "held-external-id"
# An entity that was absent longer ago may have existed in between.
_MAX_SECONDS_BETWEEN = 86_400.0


class EntityAbsenceUnproven(Exception):
    """The identity service does not return an entity, and nothing proves that it was deleted."""


class RecordOwnerUnproven(Exception):
    """A record may be that of another person: that of a deleted entity has the external id of an unknown one, or it has
    lost the external id that the hub wrote. `field`: the name of the field that has it.
    """

    def __init__(self, field: str, has_lost_external_id: bool) -> None:
        super().__init__(f"{field} is not that of the entity")
        self.field, self.has_lost_external_id = field, has_lost_external_id


def prove_entity_absence(claim: Claim, identity: IdentityConnector) -> Mapping[str, str]:
    """Return what proves that the entity of a delivery was deleted, for the audit log: `approved` has the key of the
    attempt after which a person approved the delivery, `event` the reference of the deletion, `attempt` the key of the
    earlier attempt that did not find it either. Raises EntityAbsenceUnproven if nothing does. Sends reads only.
    """
    delivery = claim.delivery
    if held := _approved_attempt(claim, ENTITY_UNPROVEN):
        return {"approved": held}
    known = known_entity_ids(delivery)
    with without_stored_content():
        access = identity.check_access(claim.route.identity_type, delivery.entity_id, known)
    if access != Access.GRANTED:
        raise EntityAbsenceUnproven
    if (deletion := reported_deletion(claim)) is not None:
        return {"event": deletion.reference}
    earlier = _earlier_absence(claim)
    if earlier is None:
        raise EntityAbsenceUnproven
    return {"attempt": earlier}


def prove_record_absence(claim: Claim, target: TargetConnector, record_id: str) -> None:
    """Raise RecordAbsenceUnproven unless a linked record is known to be deleted. Sends reads only."""
    delivery = claim.delivery
    if _approved_attempt(claim, RECORD_UNPROVEN):
        return
    with without_stored_content():
        access = target.check_access(claim.route.target_type, record_id, known_record_ids(delivery))
    if access != Access.GRANTED:
        raise RecordAbsenceUnproven


def prove_record_owner(
    claim: Claim, change: Change, field: str, *, has_lost_external_id: bool = False
) -> None:
    """Raise RecordOwnerUnproven if a change would reach a record that has an unknown external id, unless a person
    approved the delivery after it was held because of this record. `field`: the name of the field that has it.

    If the record has lost the entity's external id, an empty change is held too: it says nothing about the entity's own
    record.
    """
    if change.action is ChangeAction.NOTHING and not has_lost_external_id:
        return
    if not _approved_attempt(claim, OWNER_HELD_CODE, record_id=change.record_id or ""):
        raise RecordOwnerUnproven(field, has_lost_external_id)


def reported_deletion(claim: Claim) -> Event | None:
    """Return the newest report among the events of the attempt if it is a deletion. After an earlier one the entity may
    have been created again, and a replica may not show it yet. A comparison reports nothing: it has only looked.
    """
    reports = [event for event in claim.events if event.origin != EventOrigin.COMPARISON]
    newest = max(reports, key=lambda event: event.pk, default=None)
    return newest if newest is not None and newest.event_type == "DELETE" else None


def _earlier_absence(claim: Claim) -> str | None:
    """Return the key of an earlier attempt that did not find the entity either, long enough ago; None without one."""
    now = timezone.now()
    attempts = _attempts_with(claim, ENTITY_UNPROVEN).filter(
        ended_at__lte=now - timedelta(seconds=settings.ABSENCE_CONFIRM_SECONDS),
        ended_at__gte=now - timedelta(seconds=_MAX_SECONDS_BETWEEN),
    )
    return _newest_key(attempts)


def _approved_attempt(claim: Claim, code: str, **facts: str) -> str | None:
    """Return the key of an attempt with these facts that was held with this code, and after which a person approved the
    delivery; None without one.
    """
    if not claim.delivery.is_approved:
        return None
    return _newest_key(_attempts_with(claim, code).filter(outcome=AttemptOutcome.HELD, **facts))


def _newest_key(attempts: QuerySet[Attempt]) -> str | None:
    key = attempts.order_by("-pk").values_list("key", flat=True).first()
    return None if key is None else str(key)


def _attempts_with(claim: Claim, code: str) -> QuerySet[Attempt]:
    """Select the attempts that ended with a code, of the delivery and of the siblings that this attempt covers."""
    if not claim.delivery.pk:
        # A subject that is compared has no delivery, and so no earlier attempt.
        return Attempt.objects.none()
    deliveries = Q(delivery=claim.delivery.pk)
    if claim.covered:
        deliveries |= Q(delivery__covered_by=claim.attempt.pk)
    return Attempt.objects.filter(deliveries, code=code)
