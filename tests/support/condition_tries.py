"""Tries of a condition, requested and run in this process as a worker would run them."""

from typing import Any

from django.utils import timezone

from sync.models import ConditionTry, JobState, Route, TriedEntity
from sync.scope_tries.requests import request_try
from tests.support.builders.backtests import mapping_author
from tests.support.jobs import run_jobs

ADULTS = "entity.age >= `18`"


def begin_try(route: Route, condition: str = ADULTS) -> ConditionTry:
    return request_try(route, condition, mapping_author(), "a test")


def run_try(row: ConditionTry, rounds: int = 10) -> ConditionTry:
    """Run the job until the try has ended."""
    for _ in range(rounds):
        run_jobs("condition-try")
        row.refresh_from_db()
        if not row.is_open:
            return row
    raise AssertionError(f"the try did not end: {row.problem} {row.position}")


def try_condition(route: Route, condition: str = ADULTS) -> ConditionTry:
    return run_try(begin_try(route, condition))


def example_ids(row: ConditionTry) -> dict[str, list[str]]:
    """Return the ids of the examples by outcome, sorted."""
    found: dict[str, list[str]] = {}
    for outcome, entity_id in TriedEntity.objects.filter(condition_try=row).values_list(
        "outcome", "entity_id"
    ):
        found.setdefault(outcome, []).append(entity_id)
    return {outcome: sorted(ids) for outcome, ids in found.items()}


def a_finished_try(route: Route, condition: str = ADULTS, **values: Any) -> ConditionTry:
    """Store a try that has ended just now, with an empty result unless `values` say otherwise."""
    now = timezone.now()
    columns: dict[str, Any] = {
        "state": JobState.DONE,
        "requested_at": now,
        "ended_at": now,
        "is_complete": True,
        "reason": "a test",
    }
    pair = {"identity": route.identity, "target": route.target}
    types = {"entity_type": route.entity_type, "identity_type": route.identity_type}
    return ConditionTry.objects.create(
        route=route, **{"condition": condition, **pair, **types, **columns, **values}
    )
