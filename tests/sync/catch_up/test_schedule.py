"""Catch-ups follow the settings of their connections and routes, and run once an interval."""

from datetime import timedelta
from typing import Any

import pytest
from django.core.exceptions import ValidationError
from django.db.models import F

from database.clock import read_clock
from sync.catch_up.schedule import begin_due_catch_ups
from sync.deliveries.routes import resolved_routes
from sync.execution.periodic import run_due_work
from sync.models import CatchUp, ChangedEntity, Connection, Job, PeriodicTask, Route
from sync.worker.schedule import LONG_PERIODIC, PERIODIC
from tests.support.builders.changing_people import (
    KIND,
    ChangingPeople,
    caught_up,
    people_catch_up,
    people_route,
    run_catch_up,
)
from tests.support.connections import change_connection
from tests.support.hub import Hub
from tests.support.jobs import run_jobs
from webhooks.models import Source

pytestmark = pytest.mark.concurrent


def open_jobs() -> int:
    return Job.objects.filter(kind=KIND, state__in=["waiting", "running"]).count()


def test_a_catch_up_runs_once_an_interval(people: ChangingPeople) -> None:
    begin_due_catch_ups()
    begin_due_catch_ups()
    assert open_jobs() == 1
    run_jobs(KIND)
    began_at = people_catch_up().began_at
    assert began_at is not None
    begin_due_catch_ups()
    assert open_jobs() == 0
    for minutes, jobs in ((4.9, 0), (5.1, 1)):
        CatchUp.objects.update(began_at=read_clock() - timedelta(minutes=minutes))
        begin_due_catch_ups()
        assert open_jobs() == jobs


def test_the_workers_of_both_engines_follow_the_schedule(people: ChangingPeople) -> None:
    """`PERIODIC` is what the embedded engine and the tasks of Celery run. Before the alarms: what became due while no
    worker ran is not late.
    """
    works = (*PERIODIC, *LONG_PERIODIC)
    run_due_work(works)
    PeriodicTask.objects.exclude(name="catch-ups").delete()
    PeriodicTask.objects.update(due_at=read_clock() - timedelta(minutes=5))
    assert "catch-ups" in run_due_work(works)
    assert open_jobs() == 1
    names = [work.name for work in PERIODIC]
    assert names.index("catch-ups") < names.index("alarms")


@pytest.mark.parametrize(
    ("rows", "values"),
    [
        (Connection, {"catch_up_minutes": None}),
        (Route, {"is_enabled": False}),
        (Route, {"relays": True}),
        (Source, {"is_enabled": False}),
    ],
)
def test_a_catch_up_that_nothing_wants_is_forgotten(
    people: ChangingPeople, rows: Any, values: dict[str, Any]
) -> None:
    """Switched on again, it starts with the changes from then on: those meanwhile are not delivered later."""
    people.change_all("P0", "P1")
    begin_due_catch_ups()
    ChangedEntity.objects.create(catch_up=people_catch_up(), entity_id="P9", changed_at=read_clock())
    before = {name: getattr(rows.objects.first(), name) for name in values}
    rows.objects.update(**values)
    resolved_routes.invalidate()
    begin_due_catch_ups()
    assert (CatchUp.objects.count(), ChangedEntity.objects.count(), open_jobs()) == (0, 0, 0)
    if rows is not Connection:
        return
    before["catch_up_minutes"] = 5
    Connection.objects.filter(pk=people_route().identity_id).update(**before)
    resolved_routes.invalidate()
    begin_due_catch_ups()
    run_catch_up()
    assert caught_up() == []
    people.change("P1")
    run_catch_up()
    assert caught_up() == ["P1"]


def test_settings_that_cannot_be_read_forget_nothing(people: ChangingPeople) -> None:
    identity = people_route().identity
    settings = identity.settings
    Connection.objects.filter(pk=identity.pk).update(settings={"entities": 1})
    begin_due_catch_ups()
    assert CatchUp.objects.count() == 1
    Connection.objects.filter(pk=identity.pk).update(settings=settings)
    del settings["entities"]["USER"]["list"]["modified_since"]
    change_connection(identity, settings=settings)
    begin_due_catch_ups()
    assert CatchUp.objects.count() == 0


def test_a_route_that_is_disabled_while_a_run_waits_ends_the_run(people: ChangingPeople) -> None:
    people.change("P0")
    begin_due_catch_ups()
    Route.objects.update(is_enabled=False)
    resolved_routes.invalidate()
    run_jobs(KIND)
    assert (people_catch_up().failure, open_jobs(), caught_up()) == ("no-route", 0, [])


def test_a_run_that_a_crash_ended_for_good_goes_on_at_the_next_interval(people: ChangingPeople) -> None:
    people.change("P0")
    begin_due_catch_ups()
    CatchUp.objects.update(is_running=True, began_at=read_clock())
    Job.objects.filter(kind=KIND).update(state="failed", due_at=None)
    CatchUp.objects.update(began_at=F("began_at") - timedelta(hours=1))
    begin_due_catch_ups()
    run_jobs(KIND)
    assert (people_catch_up().is_running, open_jobs()) == (False, 0)
    run_catch_up()
    assert caught_up() == ["P0"]


@pytest.mark.parametrize("side", ["identity", "target"])
def test_only_an_identity_service_with_such_a_list_can_be_caught_up_with(hub: Hub, side: str) -> None:
    connection: Connection = getattr(people_route(), side)
    settings = connection.settings
    if side == "identity":
        for entity in settings["entities"].values():
            entity["list"].pop("modified_since", None)
    connection.catch_up_minutes = 5
    with pytest.raises(ValidationError) as refused:
        connection.full_clean()
    assert list(refused.value.message_dict) == ["catch_up_minutes"]
    if side == "identity":
        entity["list"]["modified_since"] = {"query": {"since": "{time}"}}
        connection.full_clean()
