"""Failures are closed manually: with person and reason, once, and not for ever."""

import threading
from uuid import uuid4

import pytest
from django.contrib.auth.models import User

from audit.models import Entry
from sync.models import CountMark, Delivery, PersonRequest, Route
from sync.models.counts import start_of_hour
from sync.operations.held_deliveries import AlreadyDecided, DecisionRefused
from sync.operations.manual_closing import close_manually
from sync.replays.requests import request_replay
from tests.support.builders.history import a_delivery, a_route, a_source, an_event
from tests.support.threads import in_threads
from webhooks.models import Event, State

pytestmark = pytest.mark.concurrent


@pytest.fixture
def anna(database: None) -> User:
    return User.objects.create(username="anna")


def failed(state: str = "dead", number: int = 0) -> Delivery:
    source = a_source()
    route = Route.objects.filter(source=source).first() or a_route(source)
    event = an_event(number, source=source, state=state, code="target-rejected")
    return a_delivery(event, route)


@pytest.mark.submission_rows(2)
@pytest.mark.parametrize("state", ["dead", "held", "retrying"])
def test_failed_deliveries_are_closed_with_person_and_reason(anna: User, state: str) -> None:
    delivery, key = failed(state), uuid4()
    done = close_manually(
        [delivery.pk], by=anna, reason="  put right  in the shop ", key=key, address="192.0.2.1"
    )
    assert (done.deliveries, done.skipped_count) == ((delivery.pk,), 0)
    delivery.refresh_from_db()
    assert (delivery.state, delivery.code, delivery.due_at) == ("closed", "closed", None)
    assert delivery.settled_at is not None
    assert Event.objects.get().state == State.CLOSED
    request = PersonRequest.objects.get()
    assert (request.uuid, request.kind, request.reason) == (key, "closing", "put right in the shop")
    assert (request.requested_by, request.events, request.deliveries) == (anna, 1, 1)
    entry = Entry.objects.get(action="delivery.done-by-hand")
    assert (entry.actor, entry.stream) == (f"person:{anna.pk}", delivery.stream)
    assert f'"was":"{state}"' in entry.body
    assert "put right" not in entry.body, "what a person wrote stands in the request"
    if state == "dead":
        assert list(CountMark.objects.values_list("hour", flat=True)) == [
            start_of_hour(delivery.event.received_at)
        ]


@pytest.mark.parametrize("state", ["running", "pending", "closed"])
def test_running_or_ended_deliveries_are_not_closed(anna: User, state: str) -> None:
    delivery = failed("dead")
    token = {"token": uuid4(), "lease_until": delivery.event.received_at} if state == "running" else {}
    Delivery.objects.update(state=state, **token)
    with pytest.raises(DecisionRefused, match="anymore"):
        close_manually([delivery.pk], by=anna, reason="why", key=uuid4())
    assert not PersonRequest.objects.exists()
    assert Delivery.objects.get().state == state


def test_closing_needs_a_reason_and_a_bounded_number(anna: User) -> None:
    delivery = failed()
    for keys, reason in (([delivery.pk], "  "), ([], "why"), (range(1, 1002), "why")):
        with pytest.raises(DecisionRefused):
            close_manually(list(keys), by=anna, reason=reason, key=uuid4())
    assert Delivery.objects.get().state == State.DEAD


def test_an_event_with_another_delivery_shows_the_worst_remaining_state(anna: User) -> None:
    delivery = failed()
    other = a_route(a_source("borealis"))
    a_delivery(delivery.event, other, state="retrying", code="target-timeout")
    close_manually([delivery.pk], by=anna, reason="why", key=uuid4())
    event = Event.objects.get()
    assert (event.state, event.code) == ("retrying", "target-timeout")


def test_two_simultaneous_clicks_close_a_delivery_once(anna: User) -> None:
    keys = [failed(number=position).pk for position in range(3)]
    key, barrier = uuid4(), threading.Barrier(4)

    def click(_: int) -> int:
        barrier.wait(60)
        try:
            return len(close_manually(keys, by=anna, reason="why", key=key).deliveries)
        except AlreadyDecided:
            return 0

    assert sorted(in_threads(click, 4)) == [0, 0, 0, 3]
    assert Entry.objects.filter(action="delivery.done-by-hand").count() == 3


def test_closed_deliveries_can_be_replayed(anna: User, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sync.replays.requests.defer_to_workers", lambda _: None)
    delivery = failed("held")
    close_manually([delivery.pk], by=anna, reason="no", key=uuid4())
    requested = request_replay([Event.objects.get()], by=anna, reason="yes after all")
    assert requested.deliveries == (delivery.pk,)
    assert Event.objects.get().state == State.PENDING
