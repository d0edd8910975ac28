"""Keep the digests by which a person is found up to date with what deliveries read of the entity."""

from sync.attempts.plan import AttemptFindings
from sync.deliveries.claims import Claim
from sync.planning.search_values import list_search_values
from sync.search.search_digests import DigestSet, can_search_values


def find_new_digests(claim: Claim, findings: AttemptFindings) -> DigestSet | None:
    """Return the digests of the entity that an attempt has read, whatever its result; None if they are stored already,
    which costs no statement.
    """
    entity, delivery = findings.entity, claim.delivery
    rules = claim.route.search_rules
    if entity is None or not rules or not can_search_values():
        return None
    subject = delivery.event.key
    values = list_search_values(rules, entity.attributes, is_partial=not delivery.is_fetched)
    if values is None or (not values and subject.search_state is None):
        return None
    digests = DigestSet.of_values(values)
    return None if digests.state == subject.search_state else digests
