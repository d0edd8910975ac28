"""Match an unlinked record to an entity as the matching policy of its route says."""

from typing import Any

from django.db.models import Exists, OuterRef

from connectors.contracts.types import Entity, TargetConnector
from sync.deliveries.claims import Claim
from sync.deliveries.predicates import subject_filter
from sync.deliveries.stored_webhook import previous_values, webhook_fields
from sync.models import Delivery, Link, MatchChoice, MatchChoiceKind
from sync.planning.mapping import MatchValue, ParsedMapping
from sync.planning.record_matching import (
    MatchingPolicy,
    MatchUndecided,
    RecordQuery,
    ValueMatch,
    match_record,
)


def match_unlinked_record(
    claim: Claim,
    target: TargetConnector,
    mapping: ParsedMapping,
    query: RecordQuery,
    entity: Entity | None,
    target_fields: dict[str, Any] | None,
) -> ValueMatch | None:
    """Return the match whose only record the policy binds to the entity; None if a record may be created.

    `target_fields`: the mapped fields; None, like the entity, if the entity was deleted. Raises MatchUndecided, with
    these fields, if a person has to decide, and ConnectorError.
    """
    if claim.delivery.creates_record:
        return None
    # Each previous value once, however many events name it.
    previous = mapping.previous_values(previous_values(claim.events))
    new: list[MatchValue] = []
    if entity is not None and target_fields is not None:
        new = mapping.new_values(entity.attributes, webhook_fields(claim.delivery.event), target_fields)
    try:
        match = match_record(target, mapping, query, _effective_policy(claim), previous=previous, new=new)
    except MatchUndecided as undecided:
        if target_fields is not None and (_is_creation_decided(claim) or is_creation_chosen(claim.delivery)):
            return None
        raise MatchUndecided(undecided.candidates, target_fields, match=undecided.match) from None
    # Read only if a record was found by a value.
    is_refused = match is not None and target_fields is not None and is_creation_chosen(claim.delivery)
    return None if is_refused else match


def _effective_policy(claim: Claim) -> MatchingPolicy:
    policy = MatchingPolicy(claim.delivery.route.matching)
    # The source may have been signed when the route was saved.
    is_untrusted = policy is MatchingPolicy.TRUSTED and not claim.delivery.event.is_signed
    return MatchingPolicy.VERIFIED if is_untrusted else policy


def _is_creation_decided(claim: Claim) -> bool:
    """True if a person decided that a record is created for the subject, and that delivery has not ended."""
    delivery = claim.delivery
    # `open()`: the index of open deliveries begins with the entity.
    same = Delivery.objects.open().filter(
        entity_id=delivery.entity_id,
        entity_type=delivery.entity_type,
        identity=delivery.identity_id,
        target=delivery.target_id,
    )
    return same.filter(creates_record=True).exists()


def is_creation_chosen(delivery: Delivery) -> bool:
    """Return True if a person chose at the matching desk of a comparison that the subject gets a new record, and it has
    had none since.
    """
    subject = subject_filter(delivery)
    later = Link.objects.filter(**subject, applied_at__gt=OuterRef("decided_at"))
    choices = MatchChoice.objects.filter(~Exists(later), **subject, choice=MatchChoiceKind.CREATE)
    return choices.exists()
