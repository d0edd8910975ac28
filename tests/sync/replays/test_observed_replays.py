"""Requests that would write through a route that observes are refused or left out, and what began before writes nothing."""

import pytest
from django.urls import reverse

from sync.comparisons.make_equal import make_equal_at_once
from sync.comparisons.repairs import repair_after_schedules
from sync.models import Comparison, RepairOutcome, Route
from sync.replays.event_selection import select_events
from sync.replays.requests import ReplayRefused, request_replay
from tests.support.builders.bulk_replays import (
    REASON,
    fail_events,
    member_states,
    staff_user,
    start_bulk_replay,
    work_replay,
)
from tests.support.builders.differences import a_comparison, a_difference, user_route
from tests.support.builders.observing_routes import deliver, ends, observe
from tests.support.hub import ANNA, Hub
from tests.support.jobs import run_jobs
from tests.support.people import browser
from webhooks.models import Event

pytestmark = [pytest.mark.concurrent, pytest.mark.promise("I30")]
SENTENCE = "The route observes, so nothing is sent. Let it go live first."


def test_a_replay_and_making_equal_are_refused(hub: Hub) -> None:
    """Holds the sentence of both requests, and that neither leaves a request or an event behind."""
    events, by = fail_events(hub, ANNA), staff_user()
    observe()
    for request in (
        lambda: request_replay(events, by=by, reason=REASON),
        lambda: make_equal_at_once(user_route(), ANNA, "UPDATE", by=by, reason=REASON),
    ):
        with pytest.raises(ReplayRefused, match=SENTENCE):
            request()
    assert Event.objects.count() == 1
    assert [state for state, _ in ends()] == ["dead"]


def test_a_bulk_replay_leaves_out_what_observes_now(hub: Hub) -> None:
    """Holds both checks: of the selection, and of what was selected while the route was live."""
    events, by = fail_events(hub, ANNA), staff_user()
    selected = select_events(by, [event.pk for event in events])
    observe()
    skipped = select_events(by, [event.pk for event in events])
    assert (skipped.skipped, skipped.waiting_count) == (1, 0)
    work_replay(start_bulk_replay(by, selected))
    for replay in (selected, skipped):
        assert member_states(replay) == {ANNA: "skipped: observes"}
    assert [state for state, _ in ends()] == ["dead"]


def test_a_schedule_makes_nothing_equal_on_a_route_that_observes(hub: Hub) -> None:
    route = user_route()
    Route.objects.filter(pk=route.pk).update(compare_every_hours=24, repairs_differences=True)
    comparison = a_comparison(route, cause="schedule", counts={"differs": 1})
    a_difference(comparison, "differs", ANNA)
    observe()
    repair_after_schedules()
    assert Comparison.objects.get().repair == RepairOutcome.REFUSED
    assert not Event.objects.exists()


def test_a_bulk_replay_that_was_sent_before_fails_and_writes_nothing(
    hub: Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Holds that the claim decides, whatever the request found, and that the result says so."""
    monkeypatch.setattr("sync.replays.batches.defer_to_workers", lambda _: None)
    fail_events(hub, ANNA)
    replay, written = start_bulk_replay(staff_user()), len(hub.writes())
    run_jobs("replay")
    observe()
    deliver(hub)
    work_replay(replay)
    assert member_states(replay) == {ANNA: "failed: observed"}
    assert len(hub.writes()) == written


def test_the_page_of_a_replay_says_why_there_is_none(hub: Hub) -> None:
    [event] = fail_events(hub, ANNA)
    observe()
    answer = browser("support").get(reverse("admin:webhooks_event_replay", args=[event.pk]), follow=True)
    assert SENTENCE in answer.content.decode()
