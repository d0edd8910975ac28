"""Request the comparisons that are due by the schedule of their routes."""

import logging

from database.clock import read_clock
from sync.comparisons.requests import ComparisonRefused, request_comparison
from sync.models import Comparison, ComparisonCause
from sync.monitoring.comparison_figures import PairFigures, load_pairs

logger = logging.getLogger("hub.comparisons")


def request_due_comparisons() -> list[Comparison]:
    """Request one comparison for each pair whose interval has passed since its last one began. Runs each minute.

    One that is refused, such as while a connection is disabled, is tried again the next time; the alarm
    `comparison-late` reports it.
    """
    now = read_clock()
    requested = [_request(pair) for pair in load_pairs() if pair.is_due(now)]
    return [comparison for comparison in requested if comparison is not None]


def _request(pair: PairFigures) -> Comparison | None:
    route = pair.carrier
    assert route is not None, "only a pair with a schedule is due"
    try:
        return request_comparison(route, cause=ComparisonCause.SCHEDULE)
    except ComparisonRefused as refusal:
        # Another worker may have been first.
        if refusal.open is None:
            logger.info("the scheduled comparison of route %s was refused: %s", route.slug, refusal)
    except Exception:
        # Other pairs go on; this one is tried again the next time.
        logger.exception("the scheduled comparison of route %s could not be requested", route.slug)
    return None
