"""A paused source or route: its webhooks are stored and answered 202, nothing is sent, and resuming is gradual."""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.core.management import call_command
from django.db import connection, connections, transaction
from django.utils import timezone

from audit.models import Entry
from database.clock import database_now
from sync.deliveries.routes import resolved_routes
from sync.models import Attempt, Connection, Delivery, Route
from sync.operations import pauses
from sync.operations.pauses import (
    count_on_hold,
    enforce_pauses,
    hold_waiting,
    pause_flow,
    release_stranded,
    resume_flow,
)
from sync.replays.requests import request_replay
from tests.support.builders.bulk_replays import staff_user
from tests.support.connections import copy_connection
from tests.support.database.lock_waits import is_waited_for
from tests.support.hub import EXAMPLE, Hub
from tests.support.processes.workers import wait_until
from webhooks.models import Event, Source, State

Pausable = Source | Route | Connection


pytestmark = pytest.mark.concurrent
only_route = pytest.mark.parametrize("way", [Route], indirect=True)


@pytest.fixture(params=[Source, Route, Connection], ids=["source", "route", "connection"])
def way(request: pytest.FixtureRequest, hub: Hub) -> Iterator[Pausable]:
    """Return a source, its only route, or a target of that route alone."""
    if request.param is Connection:
        shop = copy_connection(Connection.objects.get(slug="shop"), "shop-of-aurora")
        Route.objects.filter(source__slug="aurora", entity_type="USER").update(target=shop)
        resolved_routes.invalidate()
    names = {
        Source: {"slug": "aurora"},
        Route: {"source__slug": "aurora", "entity_type": "USER"},
        Connection: {"slug": "shop-of-aurora"},
    }
    yield request.param.objects.get(**names[request.param])
    end_pauses(hub)


def end_pauses(hub: Hub) -> None:
    """Resume everything and send all held deliveries."""
    hub.shop.faults.clear()
    for model in pauses.MODELS:
        model.objects.update(paused_at=None, resumed_at=timezone.now())
    while enforce_pauses() or Delivery.objects.filter(due_at=None, state=State.PENDING).exists():
        pass
    call_command("deliver_due")


def go_on() -> None:
    enforce_pauses()
    call_command("deliver_due")


@pytest.mark.submission_rows(2)
def test_webhooks_of_a_paused_source_or_route_are_stored_answered_202_and_not_delivered(
    hub: Hub, way: Pausable
) -> None:
    pause_flow(way, "the shop moves", None)
    address = hub.change_email("anna.paused@example.com")
    for _ in range(2):
        answer = hub.post_signed(EXAMPLE, "msg_twice")
        assert (answer.status_code, answer.json()["status"]) == (202, "accepted")
    go_on()
    assert not hub.shop.read_journal()
    assert not Attempt.objects.exists()
    assert Event.objects.get().state == State.PENDING
    assert count_on_hold(way, 100) == 1
    # Another source has another route.
    assert hub.post(EXAMPLE).json()["status"] == "succeeded"
    assert hub.customer()["email"] == address


@pytest.mark.submission_rows(2)
def test_after_resuming_deliveries_run_and_their_age_counts_from_then(hub: Hub, way: Pausable) -> None:
    pause_flow(way, "the shop moves", None)
    address = hub.change_email("anna.later@example.com")
    hub.post_signed(EXAMPLE)
    long_ago = timezone.now() - timedelta(days=30)
    Delivery.objects.update(opened_at=long_ago)
    hub.shop.faults.add("error", status=503)
    assert resume_flow(way)
    go_on()
    assert Delivery.objects.get().state == State.RETRYING, "it is not too old to be tried again"
    hub.shop.faults.clear()
    hub.wait_until_quiet()
    Delivery.objects.update(due_at=database_now())
    go_on()
    assert hub.customer()["email"] == address


@pytest.mark.submission
@only_route
def test_held_deliveries_are_released_in_small_numbers_oldest_first(
    hub: Hub, way: Pausable, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pauses, "RELEASED_AT_ONCE", 2)
    pause_flow(way, "the shop moves", None)
    for number in range(5):
        hub.post_signed({"id": f"GONE{number}", "entityType": "USER", "eventType": "UPDATE"})
    assert count_on_hold(way, 100) == 5
    assert count_on_hold(way, 3) == 3, "counted within bounds"
    resume_flow(way)
    left = []
    for _ in range(3):
        enforce_pauses()
        left.append(sorted(Delivery.objects.filter(due_at=None).values_list("entity_id", flat=True)))
    assert left == [["GONE2", "GONE3", "GONE4"], ["GONE4"], []]


@pytest.mark.submission_rows(2)
def test_a_delivery_held_just_after_the_end_of_a_pause_is_released_too(hub: Hub, way: Pausable) -> None:
    pause_flow(way, "the shop moves", None)
    resume_flow(way)
    enforce_pauses()
    type(way).objects.filter(pk=way.pk).update(paused_at=timezone.now())
    hub.post_signed(EXAMPLE)
    type(way).objects.filter(pk=way.pk).update(paused_at=None)
    assert count_on_hold(way, 10) == 1
    enforce_pauses()
    assert count_on_hold(way, 10) == 0
    type(way).objects.update(resumed_at=timezone.now() - timedelta(minutes=1))
    call_command("deliver_due")
    enforce_pauses()
    assert type(way).objects.get(pk=way.pk).resumed_at is None


def test_a_pause_ends_by_the_database_clock(way: Pausable, monkeypatch: pytest.MonkeyPatch) -> None:
    pause_flow(way, "the shop moves", None)
    with monkeypatch.context() as late:
        late.setattr("sync.operations.pauses.timezone.now", lambda: datetime(2020, 1, 1, tzinfo=UTC))
        resume_flow(way)
    enforce_pauses()
    assert type(way).objects.get(pk=way.pk).resumed_at is not None


@only_route
def test_a_pause_ends_when_every_process_knows_that_it_was_resumed(way: Pausable, settings: Any) -> None:
    settings.CONFIGURATION_SECONDS = 60
    resumed = type(way).objects.filter(pk=way.pk)
    for seconds, is_over in ((90, False), (150, True)):
        resumed.update(resumed_at=timezone.now() - timedelta(seconds=seconds))
        enforce_pauses()
        assert (resumed.get().resumed_at is None) is is_over, seconds


@only_route
def test_a_delivery_held_long_after_the_pause_is_released(hub: Hub, way: Pausable) -> None:
    pause_flow(way, "the shop moves", None)
    address = hub.change_email("anna.forgotten@example.com")
    hub.post_signed(EXAMPLE)
    release_stranded()
    go_on()
    assert count_on_hold(way, 10) == 1
    assert not Source.objects.exclude(resumed_at=None).exists()
    type(way).objects.update(paused_at=None, resumed_at=None)
    go_on()
    assert count_on_hold(way, 10) == 1
    release_stranded()
    go_on()
    assert hub.customer()["email"] == address


@only_route
def test_pausing_twice_keeps_the_first_reason_and_resuming_twice_does_nothing(way: Pausable) -> None:
    assert pause_flow(way, "the shop moves", None)
    assert not pause_flow(way, "again", None)
    assert type(way).objects.get(pk=way.pk).pause_reason == "the shop moves"
    assert resume_flow(way)
    assert not resume_flow(way)


@pytest.fixture
def other(hub: Hub) -> Iterator[Route]:
    """Create a second route of the source, to another system."""
    first = Route.objects.get(source__slug="aurora", entity_type="USER")
    crm = Connection.objects.get(pk=first.target_id)
    copy_connection(crm, "crm", name="CRM")
    values = {"source": first.source, "identity": first.identity, "mapping": first.mapping}
    yield Route.objects.create(target=crm, entity_type="USER", deactivation={"active": False}, **values)
    end_pauses(hub)


@pytest.mark.submission
def test_of_two_routes_of_an_event_only_the_paused_one_waits(hub: Hub, other: Route) -> None:
    address = hub.change_email("anna.half@example.com")
    pause_flow(other, "the CRM moves", None)
    answer = hub.post_signed(EXAMPLE)
    assert (answer.status_code, answer.json()["status"]) == (202, "accepted"), "it is not all done"
    go_on()
    assert hub.customer()["email"] == address
    states = dict(Delivery.objects.values_list("target__slug", "state"))
    assert states == {"shop": State.SUCCEEDED, "crm": State.PENDING}
    assert Delivery.objects.get(route=other).attempts_used == 0, "no attempt was used"
    resume_flow(other)
    go_on()
    assert not Delivery.objects.filter(state=State.PENDING).exists()


@pytest.mark.submission
def test_a_delivery_under_two_pauses_waits_for_both(hub: Hub, other: Route) -> None:
    source = Source.objects.get(slug="aurora")
    pause_flow(source, "the identity service moves", None)
    hub.post_signed(EXAMPLE)
    pause_flow(other, "the CRM moves", None)
    assert (count_on_hold(source, 10), count_on_hold(other, 10)) == (2, 1)
    resume_flow(source)
    go_on()
    Source.objects.update(resumed_at=timezone.now() - timedelta(minutes=1))
    go_on()
    assert Source.objects.get(slug="aurora").resumed_at is None, "the source waits for nothing any more"
    assert (count_on_hold(source, 10), count_on_hold(other, 10)) == (1, 1)
    assert not Attempt.objects.filter(delivery__route=other).exists()
    resume_flow(other)
    go_on()
    assert count_on_hold(other, 10) == 0
    assert Attempt.objects.filter(delivery__route=other).exists()


@pytest.mark.submission
def test_nothing_is_sent_over_a_paused_route(hub: Hub, other: Route) -> None:
    hub.shop.faults.add("error", status=503)
    hub.post_signed(EXAMPLE)
    pause_flow(other, "the CRM moves", None)
    resolved_routes.invalidate()
    hold_waiting()
    assert Attempt.objects.filter(delivery__route=other).count() == 1
    hub.post_signed({"id": "IDNUMBER5678", "entityType": "USER", "eventType": "UPDATE"})
    Source.objects.update(resumed_at=timezone.now())
    enforce_pauses()
    Delivery.objects.filter(due_at__isnull=False).update(due_at=database_now())
    call_command("deliver_due", wait=0)
    assert Attempt.objects.filter(delivery__route=other).count() == 1
    assert count_on_hold(other, 10) == 2


def while_locked(change: Callable[[], object], look: Callable[[], object]) -> None:
    """Look from another thread, which finds the rows as they were and waits for the end of the change."""

    def look_and_close() -> None:
        try:
            look()
        finally:
            connections.close_all()

    with ThreadPoolExecutor(1) as thread:
        with transaction.atomic():
            change()
            looked = thread.submit(look_and_close)
            wait_until(lambda: connection.vendor == "sqlite" or is_waited_for())
        looked.result(60)


@only_route
def test_a_replay_requested_at_that_moment_is_not_held(
    hub: Hub, way: Pausable, monkeypatch: pytest.MonkeyPatch
) -> None:
    hub.shop.faults.add("error", status=503)
    hub.post_signed(EXAMPLE)
    hub.wait_until_quiet()
    pause_flow(way, "the shop moves", None)
    monkeypatch.setattr("sync.replays.requests.defer_to_workers", lambda _: None)
    event = Event.objects.get()
    while_locked(lambda: request_replay([event], by=staff_user(), reason="now"), hold_waiting)
    assert Delivery.objects.get().due_at is not None


@only_route
def test_a_delivery_in_back_off_at_that_moment_is_not_released(hub: Hub, way: Pausable) -> None:
    pause_flow(way, "the shop moves", None)
    hub.post_signed(EXAMPLE)
    resume_flow(way)
    later = timezone.now() + timedelta(hours=1)
    while_locked(lambda: Delivery.objects.update(state=State.RETRYING, due_at=later), enforce_pauses)
    assert Delivery.objects.get().due_at == later


@pytest.mark.submission
def test_a_paused_connection_holds_replays_too(hub: Hub) -> None:
    hub.shop.faults.add("error", status=422, times=1)
    hub.post_signed(EXAMPLE)
    hub.wait_until_quiet()
    shop = Connection.objects.get(slug="shop")
    pause_flow(shop, "its ids changed", None)
    request_replay([Event.objects.get()], by=staff_user(), reason="now")
    hold_waiting()
    assert Delivery.objects.get().due_at is None
    end_pauses(hub)
    assert Delivery.objects.get().state == State.UNCHANGED


@pytest.mark.submission_rows(2)
def test_a_pause_with_an_end_ends_by_itself(hub: Hub, way: Pausable) -> None:
    pause_flow(way, "until the import is done", None, timezone.now() + timedelta(hours=1))
    hub.post_signed(EXAMPLE)
    go_on()
    assert Delivery.objects.get().due_at is None
    type(way).objects.filter(pk=way.pk).update(pause_until=timezone.now() - timedelta(seconds=1))
    go_on()
    way.refresh_from_db()
    assert (way.paused_at, way.pause_until) == (None, None)
    assert Delivery.objects.get().state == State.UNCHANGED
    assert Entry.objects.filter(action=pauses.ACTIONS[type(way)][1]).count() == 1
