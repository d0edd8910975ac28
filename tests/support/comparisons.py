"""Comparisons of the people of the stand-ins, run in this process as a worker would run them."""

import time
from typing import Any

from django.contrib.auth.models import User

from sync.comparisons.make_equal import select_differences
from sync.comparisons.requests import request_comparison
from sync.execution.executor import run_due_deliveries
from sync.models import (
    Comparison,
    ComparisonCause,
    Connection,
    Delivery,
    DifferenceKind,
    PersonRequest,
    PersonRequestState,
    Route,
)
from tests.support.builders.bulk_replays import start_bulk_replay
from tests.support.connections import change_connection
from tests.support.hub import Hub
from tests.support.jobs import run_jobs
from webhooks.models import State

PEOPLE = "aurora-user-shop"
LONG_AGO = "2020-01-01T00:00:00Z"
ROUNDS = 40
TOGETHER = (DifferenceKind.DIFFERS, DifferenceKind.MISSING_RECORD)


def people_route(slug: str = PEOPLE) -> Route:
    return Route.objects.select_related("source", "identity", "target", "mapping").get(slug=slug)


def run_comparison(slug: str = PEOPLE, seconds: float = 60.0) -> Comparison:
    """Compare the people of a route and return the comparison when it has ended."""
    comparison = request_comparison(people_route(slug), cause=ComparisonCause.COMMAND)
    until = time.monotonic() + seconds
    while comparison.is_open:
        run_jobs("comparison")
        comparison.refresh_from_db()
        assert time.monotonic() < until, f"the comparison does not end: {comparison.phase}"
    return comparison


def set_list(connection: Connection, entity_type: str, **values: Any) -> None:
    """Change settings of a connection's list of this type; None removes one."""
    entity = connection.settings["entities"][entity_type]
    settings = entity["operations"]["list"] if "operations" in entity else entity["list"]
    settings.update(values)
    for name in [name for name, value in values.items() if value is None]:
        settings.pop(name)
    change_connection(connection)


def found_ids(comparison: Comparison) -> dict[str, set[str]]:
    """Return what a comparison reported, by kind: ids of entities, or of records that belong to none."""
    found: dict[str, set[str]] = {}
    for kind, entity_id, record_id in comparison.differences.values_list("kind", "entity_id", "record_id"):
        found.setdefault(kind, set()).add(entity_id or record_id)
    return found


def make_everything_equal(
    hub: Hub, comparison: Comparison, by: User, slug: str = PEOPLE
) -> list[PersonRequest]:
    """Make equal all that can be: first what differs or is missing, then, by itself, whose entity is gone.

    Deliveries that are retried are due at once, a few times: an absence has to be seen twice.
    """
    requests = []
    for kinds in (TOGETHER, (DifferenceKind.ENTITY_GONE,)):
        if not comparison.differences.filter(kind__in=kinds).exists():
            continue
        selection = select_differences(by, comparison, people_route(slug), kinds=kinds)
        requests.append(_work(hub, start_bulk_replay(by, selection)))
    return requests


def _work(hub: Hub, request: PersonRequest) -> PersonRequest:
    """Run the jobs and deliveries of a request until it has finished, at most ROUNDS times."""
    for _ in range(ROUNDS):
        run_jobs("event-set", "replay")
        hub.wait_until_idle()
        Delivery.objects.filter(state=State.RETRYING).update(due_at=LONG_AGO)
        run_due_deliveries()
        request.refresh_from_db()
        if request.state == PersonRequestState.FINISHED:
            break
    return request
