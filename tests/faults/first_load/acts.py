"""`python -m tests.faults.first_load.acts ACT ARGUMENT`: what people decide during a first load, or about the scope of a
route, on the hub in DATABASE_URL.

Prints the result as JSON. Workers of the hub do the work, and may be killed meanwhile.
"""

import json
import sys
import time
from collections.abc import Callable
from typing import Any
from uuid import UUID

SECONDS = 900.0
REASON = "first load of the shop"


def observe(size: str) -> dict[str, Any]:
    """Let the routes of people observe, and both systems list so many people on a page."""
    from sync.models import Route
    from tests.support.comparisons import people_route, set_list

    Route.objects.filter(entity_type="USER").update(mode=Route.Mode.OBSERVE)
    route = people_route()
    for connection in (route.identity, route.target):
        set_list(connection, "USER", size=int(size))
    return {"mode": people_route().mode}


def link_all(key: str) -> dict[str, Any]:
    """Link all whose verified value is equal and unique: preview, apply, and approve as a second person if asked for."""
    from sync.comparisons.match_linking.requests import apply_linking, approve_linking, request_preview
    from sync.models import MatchLinkingState

    first, second = _people()
    linking = request_preview(_comparison(key), first, REASON)
    _wait(linking, MatchLinkingState.READY)
    if apply_linking(linking, first, 500) == MatchLinkingState.AWAITING:
        approve_linking(linking, second)
    _wait(linking, MatchLinkingState.DONE)
    return {"previewed": linking.previewed, "counts": linking.counts}


def go_live(key: str) -> dict[str, Any]:
    """Let the route write, on the evidence of the comparison."""
    from sync.going_live.modes import go_live as switch

    first, _ = _people()
    comparison = _comparison(key)
    route = comparison.route
    switch(route, by=first.user, reason=REASON, comparison=comparison.uuid, seen=route.mode_since)
    return {"mode": type(route).objects.get(pk=route.pk).mode}


def make_equal(key: str) -> dict[str, Any]:
    """Make equal all that is missing or differs, and wait until its request has finished."""
    from sync.comparisons.make_equal import select_differences
    from sync.models import DifferenceKind, PersonRequestState, ReplayPace
    from sync.replays.decisions import ReplayTerms, approve_replay, start_replay

    first, second = _people()
    comparison = _comparison(key)
    kinds = (DifferenceKind.MISSING_RECORD, DifferenceKind.DIFFERS)
    request = select_differences(first.user, comparison, comparison.route, kinds=kinds)
    _wait(request, PersonRequestState.CHOSEN)
    start_replay(request, first, ReplayTerms(reason=REASON, pace=ReplayPace.NORMAL, approval_limit=500))
    request.refresh_from_db()
    if request.state == PersonRequestState.AWAITING:
        assert approve_replay(request, second)
    _wait(request, PersonRequestState.FINISHED)
    return {"state": request.state}


def try_condition(condition: str) -> dict[str, Any]:
    """Try a condition on the people of the route, whose list has a page for each 50 of them."""
    from sync.models import JobState
    from sync.scope_tries.requests import request_try
    from tests.support.comparisons import people_route, set_list

    route = people_route()
    set_list(route.identity, "USER", size=50)
    row = request_try(route, condition, _people()[0], REASON)
    _wait(row, JobState.DONE)
    return {"counts": row.counts, "read": row.read_count, "complete": row.is_complete}


ACTS: dict[str, Callable[[str], dict[str, Any]]] = {
    act.__name__.replace("_", "-"): act for act in (observe, link_all, go_live, make_equal, try_condition)
}


def _comparison(key: str) -> Any:
    from sync.models import Comparison

    return Comparison.objects.select_related("route", "mapping").get(uuid=UUID(key))


def _people() -> tuple[Any, Any]:
    """Return two people who may decide; the second one has held the permission for days."""
    from django.contrib.auth.models import User

    from audit.entries.acting_person import ActingPerson
    from tests.support.builders.bulk_replays import staff_user

    names = ("first", "second")
    return tuple(
        ActingPerson(User.objects.filter(username=name).first() or staff_user(name)) for name in names
    )


def _wait(row: Any, state: str) -> None:
    """Wait until a row has this state."""
    until = time.monotonic() + SECONDS
    row.refresh_from_db()
    while row.state != state:
        assert time.monotonic() < until, f"it is still {row.state}, not {state}"
        time.sleep(0.2)
        row.refresh_from_db()


def main(act: str, argument: str) -> None:
    """Carry out an act of this name."""
    import django

    django.setup()
    json.dump(ACTS[act](argument), sys.stdout)


if __name__ == "__main__":
    main(*sys.argv[1:3])
