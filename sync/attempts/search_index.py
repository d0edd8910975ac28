"""Keep the digests by which a person is found up to date with what deliveries read of the entity."""

import logging

from django.db import DatabaseError

from sync.attempts.plan import AttemptFindings
from sync.deliveries.claims import Claim
from sync.planning.search_values import list_search_values
from sync.search.search_digests import DigestSet, can_search_values, store_digests

logger = logging.getLogger("hub.deliver")


def update_search_digests(claim: Claim, findings: AttemptFindings) -> None:
    """Store the digests of the entity that an attempt has read, whatever its result, if they differ from the stored
    ones. An unchanged set costs no statement. If it cannot be stored, the next event of the entity does.
    """
    entity, delivery = findings.entity, claim.delivery
    rules = claim.route.search_rules
    if entity is None or not rules or not can_search_values():
        return
    subject = delivery.event.key
    values = list_search_values(rules, entity.attributes, is_partial=not delivery.is_fetched)
    if values is None or (not values and subject.search_state is None):
        return
    digests = DigestSet.of_values(values)
    if digests.state == subject.search_state:
        return
    try:
        store_digests(subject, delivery.entity_type, delivery.entity_id, digests)
    except DatabaseError as error:
        logger.warning("%s: search digests could not be stored (%s)", delivery, type(error).__name__)
