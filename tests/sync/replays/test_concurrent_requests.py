"""Promise I4: two people who request the same replay get one attempt, with one name and one reason."""

import pytest
from django.contrib.auth.models import User

from audit.models import Entry
from sync.execution.executor import run_due_deliveries
from sync.models import Attempt, Replay
from sync.replays.requests import ReplayAlreadyRequested, request_replay
from tests.support.hub import ANNA, EXAMPLE, Hub
from webhooks.models import Event

LIISA, ANTTI = "liisa", "antti"


@pytest.fixture
def event(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> Event:
    """Return a delivered event; later replays of it wait for the sweep."""
    hub.change_email("anna.meet@example.com")
    assert hub.post(EXAMPLE).status_code == 200
    hub.wait_until_quiet()
    monkeypatch.setattr("sync.replays.requests.defer_to_workers", lambda _: None)
    return Event.objects.get()


def ask(name: str, *events: Event) -> Replay:
    by, _ = User.objects.get_or_create(username=name)
    return request_replay(list(events), by=by, reason=f"{name} wants it").replay


def test_the_second_request_for_a_replay_is_refused_and_changes_nothing(event: Event) -> None:
    first = ask(LIISA, event)
    with pytest.raises(ReplayAlreadyRequested, match="has not started"):
        ask(ANTTI, event)
    assert run_due_deliveries() == 1
    again = Attempt.objects.get(cause="replay")
    assert (again.replay, again.replay.requested_by.username) == (first, LIISA)
    assert Replay.objects.count() == Entry.objects.filter(action="event.replayed").count() == 1


def test_a_started_replay_may_be_requested_again(event: Event) -> None:
    asked = []
    for name in (LIISA, ANTTI):
        asked.append(ask(name, event))
        assert run_due_deliveries() == 1
    assert [attempt.replay for attempt in Attempt.objects.filter(cause="replay").order_by("pk")] == asked


def test_events_with_a_waiting_replay_are_left_to_that_replay(hub: Hub, event: Event) -> None:
    other_person = EXAMPLE.replace(ANNA.encode(), b"5f2a9c0e7b1d4e8890aa0001")
    assert hub.post(other_person).status_code == 200
    other = Event.objects.latest("pk")
    # The thread of a webhook goes on with what waits for the same system.
    hub.wait_until_quiet()
    ask(LIISA, event)
    antti, _ = User.objects.get_or_create(username=ANTTI)
    requested = request_replay([event, other], by=antti, reason="both")
    assert (requested.replay.events, requested.waiting, requested.skipped) == (1, 1, 0)
    assert run_due_deliveries() == 2
