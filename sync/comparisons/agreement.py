"""Whether a comparison shows that the two systems of its pair agree."""

from sync.models import Comparison, ComparisonState, DifferenceKind


def shows_in_step(comparison: Comparison) -> bool | None:
    """Return True if each entity has the record that it should have, False if one does not, None if it cannot tell.

    It cannot tell if it did not reach its end, or found nothing but did not read all entities: a part of the list, or
    single ones, could not be read. An incomplete list of records does not matter: each entity's record was searched.
    """
    if comparison.state != ComparisonState.DONE:
        return None
    unread = comparison.counts.get(DifferenceKind.UNREADABLE, 0)
    if comparison.out_of_step_count > unread:
        return False
    return None if comparison.identity_gap or unread else True
