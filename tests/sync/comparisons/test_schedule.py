"""Comparisons by schedule: one a pair and interval, counted from when the last one began, whoever asked for it."""

from datetime import timedelta
from typing import Any

import pytest

from database.clock import read_clock
from sync.comparisons.requests import cancel_comparison, request_comparison
from sync.comparisons.schedule import request_due_comparisons
from sync.execution.periodic import run_due_work
from sync.models import Comparison, ComparisonCause, Connection, PeriodicTask, Route
from sync.monitoring.comparison_figures import load_pairs
from sync.worker.schedule import LONG_PERIODIC, PERIODIC
from tests.support.builders.differences import user_route
from tests.support.connections import change_connection
from tests.support.hub import Hub

DAY = 24


def schedule(hours: int = DAY, **values: Any) -> Route:
    """Let the route of users compare every so many hours, as if it was set long ago."""
    route = user_route()
    Route.objects.filter(pk=route.pk).update(
        compare_every_hours=hours, updated_at=read_clock() - timedelta(days=90), **values
    )
    return user_route()


def end_all(hours_ago: float = 0, **values: Any) -> None:
    """End all comparisons, and let them have begun so many hours ago."""
    began = read_clock() - timedelta(hours=hours_ago)
    Comparison.objects.update(**{"state": "done", "requested_at": began, "ended_at": began} | values)


def test_a_pair_is_compared_once_an_interval_however_many_were_missed(hub: Hub) -> None:
    assert request_due_comparisons() == []
    route = schedule()
    Route.objects.exclude(pk=route.pk).filter(entity_type="USER").update(compare_every_hours=48)
    (first,) = request_due_comparisons()
    assert (first.route, first.cause, first.requested_by) == (route, "schedule", None)
    assert request_due_comparisons() == []
    for hours_ago, expected in ((23.9, 0), (24.1, 1), (24 * 40, 1)):
        end_all(hours_ago)
        assert len(request_due_comparisons()) == expected, hours_ago
        assert request_due_comparisons() == []
    # Forty were missed, one was made up for, and it has just ended.
    Comparison.objects.update(state="done")
    assert request_due_comparisons() == []


def test_an_interval_begins_with_any_comparison_of_the_pair(hub: Hub) -> None:
    """A person's comparison through another source counts, also a cancelled or failed one."""
    schedule()
    other = Route.objects.get(source__slug="aurora-unsigned", entity_type="USER")
    comparison = request_comparison(other, cause=ComparisonCause.COMMAND)
    for state in ("cancelled", "failed", "done"):
        end_all(1, state=state)
        assert request_due_comparisons() == []
    end_all(25, state="running")
    assert request_due_comparisons() == []
    assert cancel_comparison(comparison, by=None)
    assert len(request_due_comparisons()) == 1


@pytest.mark.parametrize(
    "change",
    [
        {"is_enabled": False},
        {"relays": True},
        {"compare_every_hours": None},
    ],
)
def test_a_route_that_is_not_compared_has_no_schedule(hub: Hub, change: dict[str, Any]) -> None:
    route = schedule()
    Route.objects.filter(pk=route.pk).update(**change)
    assert request_due_comparisons() == []


def test_a_refused_comparison_is_tried_again_and_does_not_stop_others(hub: Hub) -> None:
    schedule()
    group = Route.objects.filter(entity_type="GROUP").first()
    if group is None:
        group = user_route()
        group.pk, group.slug, group.entity_type = None, "", "GROUP"
        group.save()
    Route.objects.filter(pk=group.pk).update(compare_every_hours=DAY)
    Route.objects.filter(pk=group.pk).update(updated_at=read_clock() - timedelta(days=90))
    shop = user_route().target
    Connection.objects.filter(pk=shop.pk).update(is_enabled=False)
    assert request_due_comparisons() == []
    assert not Comparison.objects.exists()
    change_connection(shop, is_enabled=True)
    assert user_route() in [comparison.route for comparison in request_due_comparisons()]


def test_workers_of_both_engines_follow_the_schedule(hub: Hub) -> None:
    """`PERIODIC` is what the embedded engine and the tasks of Celery run."""
    schedule()
    works = (*PERIODIC, *LONG_PERIODIC)
    run_due_work(works)
    PeriodicTask.objects.exclude(name__in=("comparisons", "repairs")).delete()
    PeriodicTask.objects.update(due_at=read_clock() - timedelta(minutes=5))
    assert {"comparisons", "repairs"} <= set(run_due_work(works))
    assert Comparison.objects.get().cause == "schedule"
    # What became due while no worker ran is requested before the alarms are evaluated.
    assert [work.name for work in PERIODIC].index("comparisons") == 0


def test_the_next_comparison_is_an_interval_after_the_last_began(hub: Hub) -> None:
    route = schedule(6)
    assert load_pairs(Route.objects.filter(pk=route.pk))[0].next_at == route.updated_at
    (comparison,) = request_due_comparisons()
    (pair,) = load_pairs(Route.objects.filter(pk=route.pk))
    assert pair.next_at == comparison.requested_at + timedelta(hours=6)
    assert (pair.is_open, pair.done, pair.newest) == (True, None, comparison)
