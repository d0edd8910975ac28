"""A replay: a person requests it with a reason, and it runs in order like all deliveries."""

from uuid import uuid4

import pytest
from django.contrib.auth.models import User
from django.db.models import QuerySet

from audit.models import Entry
from sync.attempts.delivery_run import run_delivery
from sync.execution.executor import run_due_deliveries
from sync.models import Attempt, Delivery, PersonRequest, Route
from sync.replays.requests import (
    MAX_EVENTS,
    ReplayAlreadyRequested,
    ReplayRefused,
    ReplayResult,
    request_replay,
)
from tests.support.hub import ANNA, EXAMPLE, Hub
from tests.support.processes.hub_processes import claim_last_isolated_attempt, expire_lease
from tests.support.threads import in_threads, wait_until
from webhooks.models import Event, State

pytestmark = pytest.mark.concurrent
REASON = "the shop was down on Tuesday"


@pytest.fixture
def staff(hub: Hub) -> User:
    return User.objects.create_user("liisa")


def replay(staff: User, *events: Event, **values: object) -> ReplayResult:
    return request_replay(list(events) or list(Event.objects.all()), by=staff, **{"reason": REASON} | values)


def a_dead_event(hub: Hub) -> Event:
    """Create an event that was rejected: its address belongs to another customer of the shop."""
    hub.change_email("taken@example.com")
    assert hub.post(EXAMPLE).status_code == 422
    event = Event.objects.get()
    assert event.state == State.DEAD
    return event


@pytest.mark.submission
def test_a_failed_delivery_is_replayed_and_the_attempt_records_person_and_reason(
    hub: Hub, staff: User
) -> None:
    event = a_dead_event(hub)
    address = hub.change_email("free@example.com")
    requested = replay(staff, event, reason=f"  {REASON[:8]}\n{REASON[8:]}  ", address="192.0.2.7")
    hub.wait_until_idle()
    assert hub.customer()["email"] == address
    event.refresh_from_db()
    assert (event.state, event.code) == (State.SUCCEEDED, "succeeded")
    first, again = Attempt.objects.order_by("number")
    assert (first.cause, first.outcome, first.person_request) == ("webhook", "failed", None)
    assert (again.number, again.cause, again.outcome) == (2, "replay", "succeeded")
    assert again.person_request == requested.replay
    assert (again.person_request.requested_by, again.person_request.reason) == (staff, REASON)
    assert first.ended_at <= again.person_request.created_at <= again.started_at
    assert (requested.replay.events, requested.replay.deliveries, requested.skipped) == (1, 1, 0)
    entry = Entry.objects.get(action="event.replayed")
    assert (entry.stream, entry.actor) == (event.stream, f"person:{staff.pk}")
    assert str(requested.replay.uuid) in entry.body
    assert REASON not in entry.body


@pytest.mark.submission
def test_a_replay_fetches_and_plans_again(hub: Hub, staff: User) -> None:
    hub.change_email("first@example.com")
    hub.post(EXAMPLE)
    fetched = len(hub.identity.read_journal())
    address = hub.change_email("second@example.com")
    replay(staff)
    hub.wait_until_idle()
    assert hub.customer()["email"] == address
    assert len(hub.identity.read_journal()) == fetched + 1
    replay(staff)
    hub.wait_until_idle()
    assert len(hub.writes()) == 2
    assert Event.objects.get().state == State.UNCHANGED


def test_a_replay_of_a_running_delivery_runs_once_more_afterwards(hub: Hub, staff: User) -> None:
    hub.change_email("running@example.com")
    hub.shop.faults.add("slow", seconds=30, times=1)
    hub.post({"id": ANNA, "entityType": "USER", "eventType": "UPDATE", "respond": "ack"})
    wait_until(Delivery.objects.filter(state=State.RUNNING).exists)
    replay(staff)
    assert Delivery.objects.get().state == State.RUNNING
    hub.shop.faults.clear()
    hub.wait_until_idle()
    first, again = Attempt.objects.order_by("number")
    assert (first.cause, first.outcome) == ("webhook", "succeeded")
    assert (again.cause, again.outcome, again.person_request.requested_by) == ("replay", "unchanged", staff)
    assert first.ended_at <= again.started_at
    assert len(hub.writes()) == 1


def test_a_replay_behind_a_running_attempt_has_all_its_retries(hub: Hub, staff: User) -> None:
    Route.objects.update(max_attempts=1)
    slow = hub.shop.faults.add("slow", seconds=30, times=1)
    hub.shop.faults.add("error", status=503)
    hub.change_email("late@example.com")
    hub.post({"id": ANNA, "entityType": "USER", "eventType": "UPDATE", "respond": "ack"})
    wait_until(Delivery.objects.filter(state=State.RUNNING).exists)
    Route.objects.update(max_attempts=2)
    replay(staff)
    hub.shop.faults.clear(slow.id)
    hub.wait_until_idle()
    delivery = Delivery.objects.get()
    assert (delivery.state, delivery.attempts_used, delivery.last_number) == (State.RETRYING, 1, 2)
    assert delivery.settled_at is None


@pytest.mark.submission
def test_a_replay_requested_during_an_attempt_that_kills_its_process_runs_afterwards(
    hub: Hub, staff: User
) -> None:
    event = a_dead_event(hub)
    address = hub.change_email("survived@example.com")
    hub.wait_until_quiet()
    claim_last_isolated_attempt(event.deliveries.get())
    requested = replay(staff, event)
    [pk] = requested.deliveries
    expire_lease(pk)
    assert run_delivery(pk, in_own_process=True).is_settled
    again = Attempt.objects.latest("number")
    assert (again.cause, again.outcome, again.person_request) == ("replay", "succeeded", requested.replay)
    assert hub.customer()["email"] == address


@pytest.mark.submission
def test_an_event_that_had_no_route_uses_the_current_route(hub: Hub, staff: User) -> None:
    address = hub.change_email("routed@example.com")
    Route.objects.update(is_enabled=False)
    assert hub.post(EXAMPLE).json()["status"] == "ignored"
    unrouted = replay(staff)
    assert (unrouted.deliveries, unrouted.skipped, unrouted.replay.events) == ((), 1, 0)
    assert Event.objects.get().state == State.IGNORED
    Route.objects.update(is_enabled=True)
    routed = replay(staff)
    assert (len(routed.deliveries), routed.skipped) == (1, 0)
    hub.wait_until_idle()
    assert hub.customer()["email"] == address
    assert Event.objects.get().state == State.SUCCEEDED
    assert Attempt.objects.get().cause == "replay"


@pytest.mark.submission
def test_a_replay_covers_its_waiting_siblings_and_they_end_as_it_does(hub: Hub, staff: User) -> None:
    address = hub.change_email("both@example.com")
    hub.shop.faults.add("error", status=503)
    hub.post(EXAMPLE)
    hub.post(EXAMPLE)
    hub.shop.faults.clear()
    first, sibling = Event.objects.order_by("pk")
    replay(staff, first)
    hub.wait_until_idle()
    assert hub.customer()["email"] == address
    again = attempts_of(first).last()
    assert again.cause == "replay"
    waiting = sibling.deliveries.get()
    assert (waiting.state, waiting.covered_by) == (State.SUCCEEDED, again)
    assert not attempts_of(sibling).filter(cause="replay").exists()


@pytest.mark.submission
def test_siblings_that_are_replayed_too_get_their_own_attempts(hub: Hub, staff: User) -> None:
    hub.change_email("each@example.com")
    hub.shop.faults.add("error", status=503)
    for _ in range(3):
        hub.post(EXAMPLE)
    hub.shop.faults.clear()
    requested = replay(staff)
    hub.wait_until_idle()
    replayed = Attempt.objects.filter(person_request=requested.replay).order_by("pk")
    assert [attempt.outcome for attempt in replayed] == ["succeeded", "unchanged", "unchanged"]
    assert sorted(attempt.delivery_id for attempt in replayed) == sorted(requested.deliveries)
    assert not Event.objects.exclude(state__in=[State.SUCCEEDED, State.UNCHANGED]).exists()


def test_a_replay_needs_a_reason_and_between_one_and_a_thousand_events(hub: Hub, staff: User) -> None:
    event = a_dead_event(hub)
    with pytest.raises(ReplayRefused, match="Enter a reason"):
        replay(staff, event, reason="\t\n ")
    for number in (0, MAX_EVENTS + 1):
        with pytest.raises(ReplayRefused, match="between 1 and 1,000"):
            request_replay([event] * number, by=staff, reason=REASON)
    assert (PersonRequest.objects.count(), Attempt.objects.count()) == (0, 1)


@pytest.mark.promise("I4")
def test_of_eight_simultaneous_clicks_one_counts(hub: Hub, staff: User) -> None:
    event, key = a_dead_event(hub), uuid4()

    def click(_: int) -> bool:
        try:
            return bool(replay(staff, event, key=key))
        except ReplayAlreadyRequested:
            return False

    assert in_threads(click, 8).count(True) == 1
    hub.wait_until_idle()
    assert not click(0), "nor later"
    assert (PersonRequest.objects.count(), Attempt.objects.filter(cause="replay").count()) == (1, 1)
    assert Entry.objects.filter(action="event.replayed").count() == 1


def attempts_of(event: Event) -> QuerySet[Attempt]:
    return Attempt.objects.filter(delivery__event=event).order_by("number")


LIISA, ANTTI = "liisa", "antti"


@pytest.fixture
def delivered(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> Event:
    """Return a delivered event; later replays of it wait for the sweep."""
    hub.change_email("anna.meet@example.com")
    assert hub.post(EXAMPLE).status_code == 200
    hub.wait_until_quiet()
    monkeypatch.setattr("sync.replays.requests.defer_to_workers", lambda _: None)
    return Event.objects.get()


def ask(name: str, *events: Event) -> PersonRequest:
    by, _ = User.objects.get_or_create(username=name)
    return request_replay(list(events), by=by, reason=f"{name} wants it").replay


def test_the_second_request_for_a_replay_is_refused_and_changes_nothing(delivered: Event) -> None:
    first = ask(LIISA, delivered)
    with pytest.raises(ReplayAlreadyRequested, match="has not started"):
        ask(ANTTI, delivered)
    assert run_due_deliveries() == 1
    again = Attempt.objects.get(cause="replay")
    assert (again.person_request, again.person_request.requested_by.username) == (first, LIISA)
    assert PersonRequest.objects.count() == Entry.objects.filter(action="event.replayed").count() == 1


@pytest.mark.submission
def test_a_started_replay_may_be_requested_again(delivered: Event) -> None:
    asked = []
    for name in (LIISA, ANTTI):
        asked.append(ask(name, delivered))
        assert run_due_deliveries() == 1
    assert [
        attempt.person_request for attempt in Attempt.objects.filter(cause="replay").order_by("pk")
    ] == asked


@pytest.mark.submission
def test_events_with_a_waiting_replay_are_left_to_that_replay(hub: Hub, delivered: Event) -> None:
    other_person = EXAMPLE.replace(ANNA.encode(), b"5f2a9c0e7b1d4e8890aa0001")
    assert hub.post(other_person).status_code == 200
    other = Event.objects.latest("pk")
    # The thread of a webhook goes on with what waits for the same system.
    hub.wait_until_quiet()
    ask(LIISA, delivered)
    antti, _ = User.objects.get_or_create(username=ANTTI)
    requested = request_replay([delivered, other], by=antti, reason="both")
    assert (requested.replay.events, requested.waiting, requested.skipped) == (1, 1, 0)
    assert run_due_deliveries() == 2
