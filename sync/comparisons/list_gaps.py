"""Why a side of a comparison is incomplete: the codes, and the rules for what a list has to be to count as complete."""

from django.db import models
from django.utils.translation import gettext_lazy as _

from sync.comparisons.requests import comparisons_of, pair_of
from sync.models import Comparison, ComparisonState, Route

# Where the route of a comparison does not limit what may change at once.
DEFAULT_FEWER_PERCENT = 5.0
# So few may be missing whatever the share: each is proven to be gone by itself.
FEW_MISSING = 10


class ListGap(models.TextChoices):
    """Codes of a side that is incomplete, in addition to those of a failed request."""

    NO_LIST = "no-list", _("its settings have no list")
    SAMPLE = "list-not-complete", _("its settings do not say that the list is complete")
    EMPTY = "list-empty", _("the list is empty, although records are linked")
    SHORT = "list-short", _("the list has fewer items than it says")
    FEWER = "fewer-than-before", _("the list has many items less than at the last comparison")


class ComparisonFailure(models.TextChoices):
    """Codes of a comparison that failed, in addition to those of a failed request."""

    NO_LIST = "no-list", _("the settings of the identity service have no list")
    ROUTE_CHANGED = (
        "route-changed",
        _("the route got another connection, mapping or source of data meanwhile"),
    )


def find_end_gap(
    comparison: Comparison, *, read: int, total: int | None, before: int, is_linked: bool
) -> str:
    """Return the gap of a list that was read to its end; empty if it is complete.

    `read`: its items, `total`: as the system says, `before`: as many as there were at the last comparison. `is_linked`:
    records of the pair are linked.
    """
    if not read and (before or is_linked):
        return ListGap.EMPTY
    if total is not None and read < total:
        return ListGap.SHORT
    return ListGap.FEWER if before - read > allowed_missing(comparison.route, before) else ""


def allowed_missing(route: Route, before: int) -> float:
    """Return how many items a list may have less than `before`: the share that the guard of the route lets change."""
    share = DEFAULT_FEWER_PERCENT if route.max_changed_percent is None else route.max_changed_percent
    return max(FEW_MISSING, before * share / 100)


def previous_comparison(comparison: Comparison) -> Comparison | None:
    """Return the comparison of the pair before this one that reached its end; None if there is none."""
    ended = comparisons_of(pair_of(comparison)).filter(state=ComparisonState.DONE, pk__lt=comparison.pk)
    return ended.first()


def last_complete_count(comparison: Comparison, side: str) -> int:
    """Return how many items the last list of a side had that was read to its end, `identity` or `target`; 0 if there
    was none. One that had many less counts too: what stays so is no gap the next time.
    """
    ended = comparisons_of(pair_of(comparison)).filter(state=ComparisonState.DONE, pk__lt=comparison.pk)
    column = {"identity": "read_entities", "target": "read_records"}[side]
    whole = ended.filter(**{f"{side}_gap__in": ["", ListGap.FEWER]})
    return whole.values_list(column, flat=True).first() or 0
