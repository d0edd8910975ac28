"""Make equal by itself what a comparison by schedule found, within the bounds of its route."""

import logging
from collections.abc import Sequence

from sync.comparisons.make_equal import make_equal_by_schedule
from sync.models import (
    MAX_REPAIRS_IN_A_ROW,
    Comparison,
    ComparisonCause,
    Delivery,
    Difference,
    DifferenceKind,
    DifferenceStatus,
    PersonRequest,
    PersonRequestState,
    RepairOutcome,
    Route,
)
from sync.monitoring.comparison_figures import PairFigures, load_pairs
from sync.replays.requests import ReplayRefused
from webhooks.models import EventOrigin, State

logger = logging.getLogger("hub.comparisons")

_REPAIRED_KINDS = (DifferenceKind.DIFFERS, DifferenceKind.MISSING_RECORD)
_ACTIVE_REQUESTS = (
    PersonRequestState.RUNNING,
    PersonRequestState.PAUSED,
    PersonRequestState.STOPPING,
)


def repair_after_schedules() -> None:
    """Make equal what ended comparisons of the schedule found. Runs every half minute."""
    for pair in load_pairs():
        try:
            repair_after_schedule(pair)
        except Exception:
            # Other pairs go on; this one is tried again the next time.
            logger.exception("the repair of %s failed", pair.name)


def repair_after_schedule(pair: PairFigures) -> None:
    """Decide once what to do after a comparison by schedule, and do it.

    1. Only the newest comparison of the pair that has a result, was requested by the schedule and is not decided yet.
    2. Make equal what may be, in one commit that marks these differences. If the process dies after it, the marks say
       what the outcome was.
    3. Store the outcome and how many do not stay equal, for the page of the comparison.
    """
    comparison = pair.done
    if comparison is None or comparison.cause != ComparisonCause.SCHEDULE or comparison.repair:
        return
    route = next((route for route in pair.routes if route.pk == comparison.route_id), None)
    outcome = RepairOutcome.REFUSED if route is None else _repair(route, comparison)
    unstable = _count_unstable(comparison) if route is not None and route.repairs_differences else 0
    Comparison.objects.filter(pk=comparison.pk, repair="").update(repair=outcome, unstable=unstable)


def _count_unstable(comparison: Comparison) -> int:
    rows = Difference.objects.filter(comparison=comparison, kind__in=list(_REPAIRED_KINDS))
    return rows.filter(repairs__gte=MAX_REPAIRS_IN_A_ROW).count()


def _repair(route: Route, comparison: Comparison) -> RepairOutcome:
    if Difference.objects.filter(comparison=comparison, is_repaired=True).exists():
        # A process made them equal, and died before it stored the outcome.
        return RepairOutcome.MADE
    if obstacle := _find_obstacle(route, comparison):
        return obstacle
    differences = find_repairable(comparison, repaired_kinds(route))
    try:
        repair = make_equal_by_schedule(route, comparison, differences) if differences else None
    except ReplayRefused:
        return RepairOutcome.REFUSED
    return RepairOutcome.MADE if repair and repair.differences else RepairOutcome.NOTHING


def _find_obstacle(route: Route, comparison: Comparison) -> RepairOutcome | None:
    """Return why nothing may be made equal; None if it may."""
    if not route.repairs_differences:
        return RepairOutcome.OFF
    if not comparison.is_complete:
        return RepairOutcome.INCOMPLETE
    found = sum(comparison.counts.get(kind, 0) for kind in repaired_kinds(route))
    if found > route.max_repairs:
        return RepairOutcome.TOO_MANY
    return RepairOutcome.OTHER_REPAIR if is_repair_running(route) else None


def repaired_kinds(route: Route) -> Sequence[DifferenceKind]:
    """Return the kinds of differences that a route makes equal by itself."""
    return _REPAIRED_KINDS if route.repairs_missing_records else _REPAIRED_KINDS[:1]


def find_repairable(comparison: Comparison, kinds: Sequence[str]) -> list[Difference]:
    """Return the confirmed differences that may be made equal by itself.

    Left out are those that do not stay equal, and those whose delivery is held: a person decides about it.
    """
    confirmed = Difference.objects.filter(
        comparison=comparison, kind__in=kinds, status=DifferenceStatus.CONFIRMED
    )
    staying = confirmed.filter(repairs__lt=MAX_REPAIRS_IN_A_ROW, is_repaired=False)
    return list(staying.exclude(delivery_state=State.HELD).order_by("pk"))


def is_repair_running(route: Route) -> bool:
    """Return True while something else makes records of the route's target equal: a request, or deliveries of one.

    What is held awaits a person, perhaps for weeks, and is not counted.
    """
    requests = PersonRequest.objects.filter(state__in=_ACTIVE_REQUESTS, route__target=route.target_id)
    if requests.exists():
        return True
    deliveries = Delivery.objects.open().exclude(state=State.HELD).filter(target=route.target_id)
    return deliveries.filter(event__origin=EventOrigin.COMPARISON).exists()
