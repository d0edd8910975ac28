"""The pairs that enabled routes lead between, and what their comparisons say: for alarms, the schedule and pages."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.db.models import OuterRef, QuerySet, Subquery

from sync.models import (
    OPEN_COMPARISON_STATES,
    OUT_OF_STEP_CONDITION,
    Comparison,
    ComparisonState,
    Difference,
    Route,
)

MAX_ROUTES = 500
_ENDED_STATES = (ComparisonState.DONE, ComparisonState.FAILED)
# Of a route: its newest comparison in any state, the newest that reached its end or failed, the newest with a result.
_NEWEST: tuple[tuple[str, Any], ...] = (
    ("newest_id", tuple(ComparisonState)),
    ("ended_id", _ENDED_STATES),
    ("done_id", (ComparisonState.DONE,)),
)


@dataclass(frozen=True, slots=True)
class PairFigures:
    """A pair and its comparisons. `routes`: those that lead between its systems, oldest first.

    `newest` is of any state, `ended` is done or has failed, `done` has a result. `oldest_difference`: when the oldest
    difference of `done` that somebody has to act on was found first.
    """

    routes: tuple[Route, ...]
    newest: Comparison | None = None
    ended: Comparison | None = None
    done: Comparison | None = None
    oldest_difference: datetime | None = None

    @property
    def route(self) -> Route:
        """Return the oldest of its routes, which names the pair."""
        return self.routes[0]

    @property
    def name(self) -> str:
        """Return the entity type and both systems."""
        return f"{self.route.entity_type}: {self.route.identity} → {self.route.target}"

    @property
    def carrier(self) -> Route | None:
        """Return the route that carries the schedule: the one that compares most often."""
        scheduled = [route for route in self.routes if route.compare_every_hours and route.is_enabled]
        return min(scheduled, key=lambda route: (route.compare_every_hours, route.pk), default=None)

    @property
    def next_at(self) -> datetime | None:
        """Return when the next comparison is due by the schedule; None without one.

        It is counted from when the last one began, whoever asked for it: what was missed is not caught up.
        """
        carrier = self.carrier
        if carrier is None:
            return None
        if self.newest is None:
            return carrier.updated_at
        return self.newest.requested_at + timedelta(hours=carrier.compare_every_hours or 0)

    @property
    def observes(self) -> bool:
        """Return True if all of its routes only observe."""
        return all(route.observes for route in self.routes)

    @property
    def is_open(self) -> bool:
        """Return True if a comparison waits or runs."""
        return self.newest is not None and self.newest.state in OPEN_COMPARISON_STATES

    def is_due(self, at: datetime) -> bool:
        """Return True if the schedule wants a comparison now."""
        return not self.is_open and self.next_at is not None and self.next_at <= at


def load_pairs(routes: QuerySet[Route] | None = None) -> list[PairFigures]:
    """Load the pairs of enabled routes that fetch, by the names of their systems: two statements for any number.

    `routes`: those to look at, all if it is None.
    """
    chosen = Route.objects.all() if routes is None else routes
    # Each newest comparison is one lookup in the index of pairs.
    chosen = with_comparisons(chosen.filter(is_enabled=True, relays=False))
    related = chosen.select_related("identity", "target", "source")
    return pairs_of(
        list(related.order_by("identity__name", "target__name", "entity_type", "pk")[:MAX_ROUTES])
    )


def with_comparisons(routes: QuerySet[Route]) -> QuerySet[Route]:
    """Annotate routes with the keys of the newest comparisons of their pairs, as `pairs_of` needs them."""
    same = Comparison.objects.filter(
        identity=OuterRef("identity"),
        entity_type=OuterRef("entity_type"),
        target=OuterRef("target"),
        mapping=OuterRef("mapping"),
    ).order_by("-pk")
    return routes.annotate(
        **{name: Subquery(same.filter(state__in=states).values("pk")[:1]) for name, states in _NEWEST}
    )


def pairs_of(routes: Iterable[Any]) -> list[PairFigures]:
    """Group routes that `with_comparisons` has annotated by their pairs, and read the comparisons: one statement."""
    by_pair: dict[tuple[int, str, int, int], list[Any]] = {}
    for route in routes:
        key = (route.identity_id, route.entity_type, route.target_id, route.mapping_id)
        by_pair.setdefault(key, []).append(route)
    keys = {getattr(of[0], name) for of in by_pair.values() for name, _states in _NEWEST} - {None}
    comparisons = Comparison.objects.annotate(oldest=_oldest_difference()).in_bulk(keys) if keys else {}
    return [_pair_figures(of, comparisons) for of in by_pair.values()]


def _oldest_difference() -> Subquery:
    of_comparison = Difference.objects.filter(comparison=OuterRef("pk"))
    awaited = of_comparison.extra(where=[OUT_OF_STEP_CONDITION])  # noqa: S610
    return Subquery(awaited.order_by("since").values("since")[:1])


def _pair_figures(routes: list[Any], comparisons: dict[int, Any]) -> PairFigures:
    newest, ended, done = (comparisons.get(getattr(routes[0], name)) for name, _states in _NEWEST)
    in_order = tuple(sorted(routes, key=lambda route: route.pk))
    return PairFigures(in_order, newest, ended, done, done.oldest if done is not None else None)
