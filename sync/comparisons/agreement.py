"""Whether a comparison shows that the two systems of its pair agree."""

from sync.models import Comparison, ComparisonState, DifferenceKind

# An entity without the record that it should have. Records that belong to no entity of this identity service, and
# entities that the route is not for, are counted and say nothing about agreement.
_OUT_OF_STEP_KINDS = (
    DifferenceKind.DIFFERS,
    DifferenceKind.MISSING_RECORD,
    DifferenceKind.FOUND_BY_VALUE,
    DifferenceKind.ENTITY_GONE,
    DifferenceKind.UNMAPPABLE,
)


def shows_in_step(comparison: Comparison) -> bool | None:
    """Return True if each entity has the record that it should have, False if one does not, None if it cannot tell.

    It cannot tell if it did not reach its end, or found nothing but did not read all entities: a part of the list, or
    single ones, could not be read. An incomplete list of records does not matter: each entity's record was searched.
    """
    if comparison.state != ComparisonState.DONE:
        return None
    if any(comparison.counts.get(kind) for kind in _OUT_OF_STEP_KINDS):
        return False
    is_unread = bool(comparison.identity_gap or comparison.counts.get(DifferenceKind.UNREADABLE))
    return None if is_unread else True
