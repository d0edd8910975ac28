"""Decide whether the entity of an attempt is in the scope of its route, has left it, or has come back."""

from connectors.contracts.types import Entity
from sync.deliveries.claims import Claim
from sync.planning.change import ScopeMove
from sync.planning.scope import ConditionFailed, in_scope

OUT_OF_SCOPE_CODE = "out-of-scope"


class OutOfScope(Exception):
    """The route is not for the entity, which has no record."""


def decide_scope(claim: Claim, entity: Entity | None, *, is_outdated: bool) -> ScopeMove:
    """Return whether an entity left the scope of its route or came back; nothing for one that stays inside.

    The condition is not evaluated for a deleted entity, nor if the newest event reports a deletion: an entity that is
    still found then changes only the record that it has. Data that are older than the event decide neither. Reads
    nothing. Raises OutOfScope for an entity outside without a record, and ConditionFailed.
    """
    if entity is None:
        return ScopeMove.NONE
    link = claim.link
    has_record = link is not None and link.record_id is not None
    has_left = link is not None and link.left_scope_at is not None
    if not claim.delivery.route.condition:
        return ScopeMove.RETURNED if has_left and not is_outdated else ScopeMove.NONE
    if _is_about_deletion(claim):
        return ScopeMove.NONE if has_record and not has_left else ScopeMove.UNKNOWN
    is_inside = _is_inside(claim, entity)
    if is_inside and not has_left:
        return ScopeMove.NONE
    if not is_inside and not has_record:
        raise OutOfScope
    if is_outdated:
        return ScopeMove.UNKNOWN
    return ScopeMove.RETURNED if is_inside else ScopeMove.LEFT


def _is_inside(claim: Claim, entity: Entity) -> bool:
    if not claim.delivery.is_fetched:
        raise ConditionFailed(
            "the webhook's own data may be a part of the entity, so they do not decide the condition"
        )
    return in_scope(claim.delivery.route.condition, entity.attributes)


def _is_about_deletion(claim: Claim) -> bool:
    return max(claim.events, key=lambda event: event.pk or 0).event_type == "DELETE"
