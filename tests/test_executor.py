"""The web process's executor is bounded: what does not fit is answered 202 at once and delivered by a worker."""

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
from django.core.management import call_command
from django.db import connections
from django.http import HttpResponse

from sync import tasks
from tests.hub import ANNA, EXAMPLE, Hub
from webhooks.models import Event, State

MIKKO = "5f2a9c0e7b1d4e8890aa0001"


@pytest.fixture
def one_place() -> Iterator[None]:
    """This process delivers one at a time and lets none wait."""
    before, tasks._executor = tasks._executor, tasks.BoundedExecutor(threads=1, places=1)
    yield
    tasks._executor = before


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
        assert first.result(timeout=20).status_code in (200, 424)
    assert hub.customer(MIKKO)["email"] != second
    call_command("deliver_due", wait=0)
    assert hub.customer(MIKKO)["email"] == second
    assert Event.objects.get(entity_id=MIKKO).state == State.SUCCEEDED


@pytest.mark.pure
@pytest.mark.parametrize("breaking", ["run", "release_connection"])
def test_a_place_is_free_again_whatever_fails(monkeypatch: pytest.MonkeyPatch, breaking: str) -> None:
    def fails() -> None:
        raise OSError("the connection cannot be closed")

    released: list[bool] = []
    closing = fails if breaking == "release_connection" else lambda: released.append(True)
    monkeypatch.setattr(tasks, "release_connection", closing)
    executor = tasks.BoundedExecutor(threads=1, places=1)
    assert executor.reserve()
    assert executor.submit(fails if breaking == "run" else lambda: None)
    executor._threads.shutdown()
    assert executor.reserve()
    assert released == ([True] if breaking == "run" else [])


def post_and_leave(hub: Hub, body: bytes) -> HttpResponse:
    try:
        return hub.post(body)
    finally:
        connections.close_all()


def wait_for_write(hub: Hub) -> None:
    for _ in range(500):
        if hub.writes():
            return
        time.sleep(0.01)
    raise AssertionError("the first delivery did not reach the shop")
