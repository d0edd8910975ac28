"""The page of a pair: its newest result, a comparison that runs, and earlier ones; and the list of all pairs."""

from dataclasses import dataclass
from typing import Any

from django.db.models import OuterRef, QuerySet, Subquery
from django.http import HttpRequest
from django.utils import timezone
from django.utils.safestring import SafeString

from console.base.damaged_rows import load_rows
from console.comparisons.result import RELATED, describe_result
from console.comparisons.words import (
    differences_text,
    in_step_text,
    pair_name,
    phase_text,
    progress_text,
    requester_text,
    result_pill,
)
from console.ui.keyset import BY_KEY, KeysetPage, PageLinks, PageRequest
from sync.comparisons.progress import measure_progress
from sync.comparisons.requests import (
    comparisons_of,
    find_refusal,
    pair_of,
)
from sync.models import OPEN_COMPARISON_STATES, Comparison, ComparisonState, Route
from sync.search.time_ranges import InvalidFilter

MAX_ROUTES = 500


@dataclass(frozen=True, slots=True)
class PairRow:
    """A pair in the list of all pairs, by its oldest route that does not relay. `refusal`: why it is not compared."""

    route: Route
    newest: Comparison | None
    running: Comparison | None
    refusal: str

    @property
    def name(self) -> str:
        return pair_name(self.route)

    @property
    def pill(self) -> SafeString | str:
        """Return the state of the comparison that runs, or the result of the newest one; empty without one."""
        shown = self.running or self.newest
        return "" if shown is None else result_pill(shown)

    @property
    def in_step(self) -> str:
        return "" if self.newest is None else in_step_text(self.newest)

    @property
    def differences(self) -> str:
        return "" if self.newest is None else differences_text(self.newest)


@dataclass(frozen=True, slots=True)
class EarlierRow:
    """A comparison that has ended, in the list of earlier ones. It has counts only if it reached its end."""

    row: Comparison

    @property
    def pill(self) -> SafeString:
        return result_pill(self.row)

    @property
    def requester(self) -> str:
        return requester_text(self.row)

    @property
    def in_step(self) -> str:
        return in_step_text(self.row) if self.row.state == ComparisonState.DONE else "–"

    @property
    def differences(self) -> str:
        return differences_text(self.row) if self.row.state == ComparisonState.DONE else "–"


@dataclass(frozen=True, slots=True)
class RunningComparison:
    """A comparison that waits or runs. `phase` and `line`: what it does and how far it is."""

    row: Comparison
    phase: str
    line: str
    done: int
    total: int | None

    @property
    def pill(self) -> SafeString:
        return result_pill(self.row)

    @property
    def requester(self) -> str:
        return requester_text(self.row)


def list_pairs() -> list[PairRow]:
    """Return the pairs of all routes, by three statements."""
    routes = Route.objects.select_related("source", "identity", "target", "mapping").annotate(
        newest=_newest_of_route(state=ComparisonState.DONE),
        running=_newest_of_route(state__in=OPEN_COMPARISON_STATES),
    )
    pairs: dict[Any, Any] = {}
    for route in load_rows(routes.order_by("relays", "pk")[:MAX_ROUTES]):
        pairs.setdefault(pair_of(route), route)
    shown = sorted(pairs.values(), key=lambda route: (pair_name(route), route.pk))
    keys = {key for route in shown for key in (route.newest, route.running) if key}
    found = {
        row.pk: row for row in load_rows(Comparison.objects.filter(pk__in=keys).select_related(*RELATED))
    }
    return [
        PairRow(route, found.get(route.newest), found.get(route.running), find_refusal(route))
        for route in shown
    ]


def _newest_of_route(**conditions: Any) -> Subquery:
    same = {name: OuterRef(name) for name in ("identity", "entity_type", "target", "mapping")}
    return Subquery(Comparison.objects.filter(**same, **conditions).order_by("-pk").values("pk")[:1])


def pair_context(request: HttpRequest, route: Route) -> dict[str, Any]:
    """Return the context of the page of a route's pair."""
    of_pair = comparisons_of(pair_of(route)).select_related(*RELATED)
    running = of_pair.filter(state__in=OPEN_COMPARISON_STATES).first()
    newest = of_pair.filter(state=ComparisonState.DONE).first()
    page_request = _read_page(request)
    earlier = _earlier_comparisons(of_pair, newest, page_request)
    return {
        "title": pair_name(route),
        "route": route,
        "routes": _routes_of(route),
        "refusal": find_refusal(route),
        "running": None if running is None else describe_running(running),
        "result": None if newest is None else describe_result(newest),
        "earlier": [EarlierRow(row) for row in earlier.rows],
        "page_links": PageLinks.for_page("?", earlier, page_request),
    }


def _routes_of(route: Route) -> list[Route]:
    """Return the routes of all sources that share the pair, oldest first."""
    routes = Route.objects.filter(**pair_of(route).as_filter()).select_related("source", "identity", "target")
    return list(routes.order_by("pk")[:MAX_ROUTES])


def _read_page(request: HttpRequest) -> PageRequest:
    try:
        return PageRequest.from_query(request.GET)
    except InvalidFilter:
        return PageRequest()


def _earlier_comparisons(
    of_pair: QuerySet[Comparison], newest: Comparison | None, page_request: PageRequest
) -> KeysetPage:
    """Return a page of the comparisons of a pair that have ended, newest first, without the newest result."""
    ended = of_pair.exclude(state__in=OPEN_COMPARISON_STATES)
    if newest is not None:
        ended = ended.exclude(pk=newest.pk)
    return BY_KEY.fetch_page(
        page_request,
        lambda condition, order, limit: load_rows(ended.filter(condition).order_by(*order)[:limit]),
    )


def describe_running(comparison: Comparison) -> RunningComparison:
    """Return how far an open comparison is, by at most one statement."""
    progress = measure_progress(comparison, timezone.now())
    is_waiting = comparison.state == ComparisonState.WAITING
    return RunningComparison(
        comparison,
        "" if is_waiting else phase_text(comparison),
        "" if is_waiting else progress_text(progress),
        progress.done,
        progress.total,
    )
