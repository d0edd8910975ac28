"""What failed is closed by hand: by whom, why, once, and never for good."""

import threading
from uuid import uuid4

import pytest
from django.contrib.auth.models import User
from django.db import connections

from audit.models import Entry
from sync.models import CountMark, Delivery, Replay, Route
from sync.models.counts import start_of_hour
from sync.operations.held_deliveries import AlreadyDecided, DecisionRefused, HeldDecision, decide_held
from sync.operations.manual_closing import close_manually
from sync.replays.requests import request_replay
from tests.support.builders.history import a_delivery, a_route, a_source, an_event
from webhooks.models import Event, State


@pytest.fixture
def anna(database: None) -> User:
    return User.objects.create(username="anna")


def failed(state: str = "dead", number: int = 0) -> Delivery:
    source = a_source()
    route = Route.objects.filter(source=source).first() or a_route(source)
    event = an_event(number, source=source, state=state, code="target-rejected")
    return a_delivery(event, route)


@pytest.mark.parametrize("state", ["dead", "held", "retrying"])
def test_what_did_not_get_through_is_closed_with_who_and_why(anna: User, state: str) -> None:
    delivery, key = failed(state), uuid4()
    done = close_manually(
        [delivery.pk], by=anna, reason="  put right  in the shop ", key=key, address="192.0.2.1"
    )
    assert (done.deliveries, done.skipped_count) == ((delivery.pk,), 0)
    delivery.refresh_from_db()
    assert (delivery.state, delivery.code, delivery.due_at) == ("closed", "closed", None)
    assert delivery.settled_at is not None
    assert Event.objects.get().state == State.CLOSED
    request = Replay.objects.get()
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


@pytest.mark.parametrize("state", ["running", "pending", "succeeded", "closed", "unchanged"])
def test_what_is_under_way_or_has_ended_is_not_closed(anna: User, state: str) -> None:
    delivery = failed("dead")
    token = {"token": uuid4(), "lease_until": delivery.event.received_at} if state == "running" else {}
    Delivery.objects.update(state=state, **token)
    with pytest.raises(DecisionRefused, match="anymore"):
        close_manually([delivery.pk], by=anna, reason="why", key=uuid4())
    assert not Replay.objects.exists()
    assert Delivery.objects.get().state == state


def test_it_asks_for_a_reason_and_for_a_bounded_number(anna: User) -> None:
    delivery = failed()
    for keys, reason in (([delivery.pk], "  "), ([], "why"), (range(1, 1002), "why")):
        with pytest.raises(DecisionRefused):
            close_manually(list(keys), by=anna, reason=reason, key=uuid4())
    assert Delivery.objects.get().state == State.DEAD


def test_an_event_with_another_delivery_shows_the_worst_that_is_left(anna: User) -> None:
    delivery = failed()
    other = a_route(a_source("borealis"))
    a_delivery(delivery.event, other, state="retrying", code="target-timeout")
    close_manually([delivery.pk], by=anna, reason="why", key=uuid4())
    event = Event.objects.get()
    assert (event.state, event.code) == ("retrying", "target-timeout")


def test_two_clicks_at_once_close_it_once(anna: User) -> None:
    keys = [failed(number=each).pk for each in range(3)]
    key, barrier, told = uuid4(), threading.Barrier(4), []

    def click() -> None:
        barrier.wait()
        try:
            told.append(len(close_manually(keys, by=anna, reason="why", key=key).deliveries))
        except DecisionRefused as error:
            told.append(isinstance(error, AlreadyDecided))
        finally:
            connections.close_all()

    threads = [threading.Thread(target=click) for _ in range(4)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    assert sorted(told) == [True, True, True, 3]
    assert Entry.objects.filter(action="delivery.done-by-hand").count() == 3


@pytest.mark.parametrize("way", ["by hand", "held"])
def test_what_was_closed_can_be_replayed(anna: User, way: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sync.replays.requests.defer_to_workers", lambda _: None)
    delivery = failed("held")
    if way == "held":
        decide_held([delivery.pk], HeldDecision.CLOSE, by=anna, reason="no", key=uuid4())
    else:
        close_manually([delivery.pk], by=anna, reason="no", key=uuid4())
    requested = request_replay([Event.objects.get()], by=anna, reason="yes after all")
    assert requested.deliveries == (delivery.pk,)
    assert Event.objects.get().state == State.PENDING
