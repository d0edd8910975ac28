"""Screens of a condition that is tried and saved."""

from typing import Any

from django.contrib.auth.models import User
from django.utils import timezone

from sync.models import ConditionTry, Route, TriedEntity
from tests.browser.stage.busy_hub import Stage
from tests.support.condition_tries import a_finished_try
from tests.support.pages import typed_form

CONDITION = "contains(entity.roles, 'employee') && entity.active"
WHY = "the condition gives null, neither true nor false"
EXAMPLES = (("leave", 6), ("enter", 3), ("cannot-say", 2))


def _route() -> Route:
    return Route.objects.select_related("identity", "target").earliest("id")


def _page(end: str) -> str:
    return f"/admin/sync/route/{_route().pk}/{end}"


def _asked() -> dict[str, Any]:
    by = User.objects.get_or_create(username="liisa")[0]
    return {"requested_by": by, "requested_at": timezone.now(), "reason": "only employees get an account"}


def _tried() -> ConditionTry:
    """Return a try under which many leave, with examples."""
    found = ConditionTry.objects.filter(condition=CONDITION, state="done").first()
    if found is not None:
        return found
    counts = {"stay": 388, "leave": 112, "enter": 41, "outside": 1_207, "cannot-say": 3, "left": 2}
    figures = {"counts": counts, "read_count": 1_753, "read_linked": 500, "linked_count": 500}
    row = a_finished_try(_route(), CONDITION, **figures, **_asked())
    for outcome, times in EXAMPLES:
        for number in range(times):
            entity = {
                "entity_id": f"USR-{outcome}-{number}",
                "detail": WHY if outcome == "cannot-say" else "",
            }
            TriedEntity.objects.create(condition_try=row, outcome=outcome, **entity)
    return row


def condition_form(_: Stage) -> str:
    """Return the page that asks for a condition, after one was tried."""
    _tried()
    return _page("condition/")


def condition_try(_: Stage) -> str:
    """Return the result of a try."""
    return _page(f"condition/{_tried().uuid}/")


def running_try(_: Stage) -> str:
    """Return the page of a try that runs."""
    running = {"state": "running", "ended_at": None, "read_count": 1_200, "total_count": 5_000}
    row = ConditionTry.objects.filter(state="running").first()
    row = row or a_finished_try(_route(), CONDITION, **running, **_asked())
    return _page(f"condition/{row.uuid}/")


def confirmed_condition(stage: Stage) -> str:
    """Return the page that asks for the number of those who leave."""
    _tried()
    typed = typed_form(stage.client("administrator"), _page("change/"))
    return stage.posted("administrator", _page("change/"), **{**typed, "condition": CONDITION})
