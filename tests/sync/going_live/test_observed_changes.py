"""What the events that a route has observed would have changed."""

from datetime import timedelta

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from sync.going_live import observed_changes
from sync.going_live.observed_changes import read_observed_changes
from sync.models import Route
from tests.support.builders.history import NOON, a_delivery, a_route, a_source, an_event
from tests.support.builders.observed_events import a_planned_change, an_observed_event

pytestmark = pytest.mark.django_db


@pytest.fixture
def route() -> Route:
    values = {"mode": "observe", "deactivation": {"active": False}}
    return a_route(a_source(), **values)


def test_the_newest_event_of_each_entity_counts_by_what_it_would_do(route: Route) -> None:
    """Holds that each kind of change is counted once an entity, with the names of updated fields and no values."""
    an_observed_event(route, 1, a_planned_change("create", email="a"))
    an_observed_event(route, 1, a_planned_change("update", email="b"), minute=2)
    an_observed_event(route, 2, a_planned_change("update", email="c", name="C"))
    an_observed_event(route, 3, a_planned_change("create", email="d"))
    an_observed_event(route, 4, a_planned_change("delete"))
    an_observed_event(route, 5, a_planned_change("update", active=False))
    an_observed_event(route, 6, a_planned_change("create", candidates=True))
    an_observed_event(route, 7, a_planned_change("nothing"))
    an_observed_event(route, 8, None)
    an_observed_event(route, 10, None, reason="out-of-scope")
    an_observed_event(route, 11, a_planned_change("delete"), reason="identity-missing-unproven")
    an_observed_event(route, 12, a_planned_change("create", email="e"), reason="target-missing-unproven")
    an_observed_event(route, 13, a_planned_change("update", active=False), reason="held-external-id")
    a_delivery(an_event(9, state="succeeded", received_at=NOON + timedelta(minutes=1)), route)
    changes = read_observed_changes(route, NOON, NOON + timedelta(seconds=90))
    assert (changes.events, changes.is_cut, changes.since_comparison) == (13, False, 1)
    assert (changes.created, changes.updated, changes.removed) == (1, 2, 2)
    assert (changes.to_decide, changes.unchanged, changes.failed, changes.unknown) == (1, 1, 1, 0)
    assert (changes.out_of_scope, changes.unproven) == (1, 3)
    assert dict(changes.fields) == {"email": 2, "name": 1}


def test_only_events_since_the_route_observes_are_read_and_no_more_than_the_limit(
    route: Route, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Holds that the number of statements and of events read does not grow with the history."""
    monkeypatch.setattr(observed_changes, "MAX_EVENTS", 3)
    an_observed_event(route, 1, a_planned_change("update", email="a"), minute=-1)
    with CaptureQueriesContext(connection) as few:
        assert read_observed_changes(route, NOON).events == 0
    for number in range(2, 9):
        an_observed_event(route, number, a_planned_change("update", email="a"), minute=number)
    with CaptureQueriesContext(connection) as many:
        changes = read_observed_changes(route, NOON)
    assert (changes.events, changes.is_cut, changes.updated) == (3, True, 3)
    assert len(many) <= len(few) + 2 <= 5
