"""The web process's executor is bounded: excess webhooks are answered 202 at once and delivered by a worker."""

import socket
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from datetime import timedelta
from io import StringIO
from typing import Any

import pytest
from django.core.management import call_command
from django.db import connections
from django.http import HttpResponse
from django.utils import timezone

from exports.row_checks.nightly_rows import find_row_faults
from sync.deliveries.claims import claim_delivery
from sync.deliveries.routes import resolved_routes
from sync.delivery_service import DeliveryService, EventSession
from sync.execution import executor as execution_executor
from sync.models import Connection, Delivery, Route
from tests.support.connections import change_connection, copy_connection
from tests.support.hub import ANNA, EXAMPLE, Hub, wait_until_quiet
from tests.support.threads import wait_until
from webhooks.models import Event, Source, State
from webhooks.receiving.source_cache import find_source

pytestmark = pytest.mark.concurrent

MIKKO = "5f2a9c0e7b1d4e8890aa0001"


@contextmanager
def small_executor(slots: int) -> Iterator[None]:
    """Let this process run one delivery at a time, with a queue for the other slots."""
    before = execution_executor._executor
    execution_executor._executor = execution_executor.BoundedExecutor(threads=1, slots=slots)
    yield
    # Its threads may still write, and the database is about to be emptied.
    wait_until_quiet()
    execution_executor._executor = before


@pytest.fixture
def one_place() -> Iterator[None]:
    with small_executor(slots=1):
        yield


@pytest.fixture
def one_thread() -> Iterator[None]:
    with small_executor(slots=5):
        yield


@pytest.mark.promise("I1")
def test_a_full_executor_answers_202_at_once_and_a_worker_delivers(hub: Hub, one_place: None) -> None:
    hub.change_email("anna.first@example.com")
    second = hub.change_email("mikko.second@example.com", MIKKO)
    hub.shop.faults.add("hang", methods=["PATCH"], times=1)
    with ThreadPoolExecutor(1) as client:
        first = client.submit(post_and_leave, hub, EXAMPLE)
        wait_for_write(hub)
        answer = hub.post(EXAMPLE.replace(ANNA.encode(), MIKKO.encode()))
        assert answer.status_code == 202
        assert not first.done(), "the second answer did not come while the first was still under way"
        hub.shop.faults.clear()
        assert first.result(timeout=60).status_code in (200, 424)
    assert hub.customer(MIKKO)["email"] != second
    call_command("deliver_due", wait=0)
    assert hub.customer(MIKKO)["email"] == second
    assert Event.objects.get(entity_id=MIKKO).state == State.SUCCEEDED


def test_a_delivery_is_claimed_only_when_a_thread_is_free(hub: Hub, one_thread: None) -> None:
    hub.change_email("anna.first@example.com")
    second = hub.change_email("mikko.second@example.com", MIKKO)
    hub.shop.faults.add("hang", methods=["PATCH"], times=1)
    with ThreadPoolExecutor(2) as clients:
        first = clients.submit(post_and_leave, hub, EXAMPLE)
        wait_for_write(hub)
        other = clients.submit(post_and_leave, hub, EXAMPLE.replace(ANNA.encode(), MIKKO.encode()))
        wait_until(lambda: Delivery.objects.filter(entity_id=MIKKO).exists())
        assert Delivery.objects.get(entity_id=MIKKO).state == State.PENDING, "its lease would run already"
        hub.shop.faults.clear()
        assert {first.result(timeout=60).status_code, other.result(timeout=60).status_code} <= {200, 424}
    wait_until(lambda: hub.customer(MIKKO)["email"] == second)


class PassingTime:
    """The clock of `deliver_due`: each of its pauses takes four seconds, and leases end when their time has passed."""

    def __init__(self, lease_seconds: float) -> None:
        self.lease_seconds, self.passed = lease_seconds, 0.0

    def monotonic(self) -> float:
        return self.passed

    def sleep(self, _: float) -> None:
        self.passed += 4.0
        if self.passed >= self.lease_seconds:
            ended = timezone.now() - timedelta(seconds=1)
            Delivery.objects.filter(state=State.RUNNING).update(lease_until=ended)


def test_the_command_waits_until_the_lease_of_a_stopped_process_has_ended(
    hub: Hub, monkeypatch: pytest.MonkeyPatch, settings: Any
) -> None:
    monkeypatch.setattr("sync.delivery_service.defer_to_workers", lambda _: None)
    monkeypatch.setattr("sync.management.commands.deliver_due.time", PassingTime(settings.LEASE_SECONDS))
    email, told = hub.change_email("anna.stopped@example.com"), StringIO()
    hub.post(EXAMPLE[:-1] + b',"respond":"ack"}')
    assert claim_delivery(Delivery.objects.get().pk) is not None
    call_command("deliver_due", stdout=told)
    assert told.getvalue() == "1 delivered, 0 waiting for a retry, 0 still leased.\n"
    assert hub.customer()["email"] == email


def used_slots() -> int:
    return execution_executor._process_executor().used_slots


def planned_session(entity_type: str = "USER") -> EventSession:
    """Return the session of a new event whose sender waits, with its routes resolved."""
    session = DeliveryService().begin_session(5.0, may_claim=True)
    source = Source.objects.get(slug="aurora-unsigned")
    session.plan_deliveries(Event(source=source, entity_type=entity_type, event_type="UPDATE"))
    return session


def test_a_session_reserves_a_slot_for_each_delivery_only(hub: Hub) -> None:
    wait_until_quiet()
    with closing(planned_session()):
        assert used_slots() == 1
    with closing(planned_session("MOON")):
        assert used_slots() == 0


def test_a_session_gives_back_a_slot_once(hub: Hub, one_place: None) -> None:
    session = planned_session()
    session.close()
    session.close()
    assert used_slots() == 0


@pytest.mark.promise("I11")
def test_a_hanging_system_does_not_delay_another_one_of_the_same_event(hub: Hub) -> None:
    route = Route.objects.get(source__slug="aurora-unsigned", entity_type="USER")
    crm = Connection.objects.get(pk=route.target_id)
    copy_connection(crm, "crm", name="CRM")
    Route.objects.create(
        source=route.source,
        identity=route.identity,
        mapping=route.mapping,
        target=crm,
        entity_type="USER",
    )
    address = hub.change_email("anna.both@example.com")
    with closing(socket.create_server(("127.0.0.1", 0))) as silent, ThreadPoolExecutor(1) as clients:
        shop = Connection.objects.get(pk=route.target_id)
        change_connection(shop, base_url=f"http://127.0.0.1:{silent.getsockname()[1]}")
        resolved_routes.invalidate()
        answer = clients.submit(post_and_leave, hub, EXAMPLE)
        wait_until(lambda: hub.customer()["email"] == address)
        assert Delivery.objects.get(target=route.target_id).state == State.RUNNING
        silent.close()
        assert answer.result(timeout=60).status_code in (202, 424)


def test_a_long_series_of_deliveries_is_left_to_a_worker(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    left: list[int] = []
    monkeypatch.setattr(execution_executor, "_NEXT_DELIVERIES_SECONDS", 0.0)
    monkeypatch.setattr(execution_executor, "defer_to_workers", left.extend)
    monkeypatch.setattr("sync.delivery_service.defer_to_workers", lambda _: None)
    Connection.objects.filter(side="target").update(concurrency=1)
    for user in (ANNA, MIKKO):
        hub.post(EXAMPLE[:-1].replace(ANNA.encode(), user.encode()) + b',"respond":"ack"}')
    waiting = sorted(Delivery.objects.values_list("pk", flat=True))
    assert execution_executor.run_in_this_process(waiting[:1])
    hub.wait_until_quiet()
    assert left == waiting[1:]
    assert Delivery.objects.get(pk=waiting[1]).state == State.PENDING
    assert execution_executor.run_due_deliveries() == 1


@pytest.mark.writers_at_once
def test_a_request_that_waits_for_its_threads_holds_no_connection(
    hub: Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With a pool of one connection its threads would get none."""
    monkeypatch.setattr("sync.delivery_service.defer_to_workers", lambda _: None)
    hub.post(EXAMPLE[:-1] + b',"respond":"ack"}')
    mine, held, run = connections["default"], [], execution_executor.run_with_next

    def runs(delivery_id: int) -> int:
        held.append(mine.connection)
        return run(delivery_id)

    monkeypatch.setattr(execution_executor, "run_with_next", runs)
    assert execution_executor.run_due_deliveries() == 1
    assert held == [None]


@pytest.mark.pure
@pytest.mark.parametrize("breaking", ["run", "release_connection"])
def test_a_slot_is_free_again_after_any_failure(monkeypatch: pytest.MonkeyPatch, breaking: str) -> None:
    def fails() -> None:
        raise OSError("the connection cannot be closed")

    released: list[bool] = []
    closing = fails if breaking == "release_connection" else lambda: released.append(True)
    monkeypatch.setattr(execution_executor, "release_connection", closing)
    executor = execution_executor.BoundedExecutor(threads=1, slots=1)
    assert executor.reserve_slot()
    assert executor.submit(fails if breaking == "run" else lambda: None)
    executor._threads.shutdown()
    assert executor.reserve_slot()
    assert released == ([True] if breaking == "run" else [])


def post_and_leave(hub: Hub, body: bytes) -> HttpResponse:
    try:
        return hub.post(body)
    finally:
        connections.close_all()


def wait_for_write(hub: Hub) -> None:
    wait_until(lambda: bool(hub.writes()))


def _refuse_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make each new thread of an executor fail, as where the system has too many."""
    start = threading.Thread.start

    def refuse(thread: threading.Thread) -> None:
        if thread.name.startswith("delivery"):
            raise RuntimeError("can't start new thread")
        start(thread)

    monkeypatch.setattr(threading.Thread, "start", refuse)


def test_a_thread_that_does_not_start_releases_its_slot_once(monkeypatch: pytest.MonkeyPatch) -> None:
    executor = execution_executor.BoundedExecutor(threads=2, slots=4)
    may_end, runs = threading.Event(), []
    assert executor.reserve_slot()
    assert executor.submit(may_end.wait)
    _refuse_threads(monkeypatch)
    # The pool has queued each of them when its thread fails to start, for the thread that it has.
    for _ in range(2):
        assert executor.reserve_slot()
        assert not executor.submit(lambda: runs.append(1))
    assert executor.used_slots == 1
    may_end.set()
    executor._threads.shutdown(wait=True)
    assert (executor.used_slots, len(runs)) == (0, 0)


def test_a_task_that_a_thread_has_begun_keeps_its_slot(monkeypatch: pytest.MonkeyPatch) -> None:
    executor = execution_executor.BoundedExecutor(threads=2, slots=4)
    may_end = threading.Event()

    def submit_late(
        run: Callable[[execution_executor._Task], object], task: execution_executor._Task
    ) -> None:
        threading.Thread(target=run, args=(task,)).start()
        wait_until(lambda: task._run is None)
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(executor._threads, "submit", submit_late)
    assert executor.reserve_slot()
    assert executor.submit(may_end.wait)
    assert executor.used_slots == 1
    may_end.set()
    wait_until(lambda: executor.used_slots == 0)


@pytest.mark.submission
def test_a_delivery_without_a_thread_is_given_back_at_once(
    hub: Hub, one_thread: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    email = hub.change_email("anna.first@example.com")
    _refuse_threads(monkeypatch)
    Source.objects.update(wait_seconds=1)
    find_source.invalidate()
    answer = hub.post(EXAMPLE)
    assert answer.status_code == 202
    delivery = Delivery.objects.get()
    assert (delivery.state, delivery.token, delivery.attempts_used, delivery.deaths) == (
        State.PENDING,
        None,
        0,
        0,
    )
    assert (delivery.lease_until, delivery.identity_slot, delivery.target_slot) == (None, None, None)
    executor = execution_executor._executor
    assert executor is not None
    assert executor.used_slots == 0
    call_command("deliver_due", wait=0)
    assert hub.customer(ANNA)["email"] == email
    outcomes = list(Delivery.objects.get().attempts.order_by("number").values_list("outcome", flat=True))
    assert outcomes[-1] == "succeeded"
    assert list(find_row_faults()) == []
