"""Promise I10 for batches that wait for their outcome: the target refuses, fails or hangs, or no worker runs."""

import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import pytest
from django.http import HttpResponse

from sync.attempts import attempt_result
from sync.deliveries import creation
from sync.delivery_service import DeliveryService
from sync.models import Connection, Delivery, Route
from tests.faults.load.native_source import CANARY, FORMAT, Batch, Change
from tests.support.hub import Hub, signature_headers
from tests.support.unfinished_deliveries import close_open_deliveries
from webhooks.catalogue.outcome import EventOutcome
from webhooks.models import Event, Source, State
from webhooks.receiving.answers import BatchResult
from webhooks.receiving.batches import _StoredBatch
from webhooks.receiving.source_cache import find_source

pytestmark = pytest.mark.faults

PEOPLE = ("FIRST", "SECOND", "THIRD")
WAIT_SECONDS = 1.0
BATCH = Batch("batch_1", "", tuple(Change(f"event_{person}", person) for person in PEOPLE))


@pytest.fixture
def native(hub: Hub) -> Any:
    """Yield a hub whose signed source sends batches and waits a second for their outcome."""
    Source.objects.filter(slug="aurora").update(
        webhook_format=FORMAT | {"batch_response": "result"}, wait_seconds=WAIT_SECONDS
    )
    find_source.invalidate()
    Connection.objects.update(breaker_failures=10_000, deadline_seconds=3)
    Route.objects.update(max_attempts=3, retry_base_seconds=60, retry_cap_seconds=120)
    for person in PEOPLE:
        emails = [{"address": f"{person.lower()}@example.com", "verified": True}]
        hub.identity.directory.create_record(
            "users", {"id": person, "username": person.lower(), "emails": emails}
        )
    yield hub
    hub.shop.faults.clear()
    hub.wait_until_quiet(20)
    close_open_deliveries()


def send(hub: Hub, batch: Batch = BATCH) -> HttpResponse:
    return hub.client.post(
        "/webhooks/aurora",
        batch.body,
        content_type="application/json",
        headers=signature_headers(batch.body, batch.name),
    )


def results(answer: HttpResponse) -> list[dict[str, Any]]:
    """Return the results of an answer; checks that each names the event in its place, and no secret."""
    document = json.loads(answer.content)
    named = {event.reference: event.entity_id for event in Event.objects.all()}
    assert [named[result["reference"]] for result in document["results"]] == list(PEOPLE)
    assert CANARY not in answer.content.decode()
    return list(document["results"])


def check_results_of_a_failing_target(hub: Hub, status: int, state: State, *, is_retrying: bool) -> None:
    # Every outcome is in the answer, however slow the machine is.
    Source.objects.filter(slug="aurora").update(wait_seconds=20.0)
    find_source.invalidate()
    hub.shop.faults.add("error", status=status)
    answer = send(hub)
    assert answer.status_code >= 400
    assert answer.json()["retrying"] is is_retrying
    assert {result["code"] for result in results(answer)} == {answer.json()["code"]}
    assert set(Delivery.objects.values_list("state", flat=True)) == {state}
    assert Delivery.objects.count() == len(PEOPLE)
    assert Delivery.objects.filter(due_at=None).count() == (0 if is_retrying else len(PEOPLE))


@pytest.mark.parametrize(
    ("status", "state", "is_retrying"), [(422, State.DEAD, False), (503, State.RETRYING, True)]
)
def test_every_event_of_a_batch_ends_or_has_a_next_try(
    native: Hub, status: int, state: State, is_retrying: bool
) -> None:
    check_results_of_a_failing_target(native, status, state, is_retrying=is_retrying)


def check_one_failing_event(hub: Hub) -> None:
    hub.identity.directory.delete_record("users", "SECOND")
    answer = send(hub)
    states = [result["status"] for result in results(answer)]
    assert answer.status_code >= 400
    assert states[0] == states[2] == "succeeded"
    assert states[1] != "succeeded"
    again = send(hub)
    assert [result["reference"] for result in results(again)] == [
        result["reference"] for result in results(answer)
    ]
    assert Event.objects.count() == len(PEOPLE)


def test_one_failing_event_hides_no_other(native: Hub) -> None:
    check_one_failing_event(native)


def check_hanging_target(hub: Hub) -> None:
    hub.shop.faults.add("slow", seconds=WAIT_SECONDS + 0.8, times=3)
    began = time.monotonic()
    answer = send(hub)
    waited = time.monotonic() - began
    assert answer.status_code == 202, answer.content
    assert WAIT_SECONDS <= waited < WAIT_SECONDS + 1.5
    assert {result["status"] for result in results(answer)} == {"accepted"}
    hub.wait_until_quiet(20)
    hub.wait_until_idle(20)
    assert set(Event.objects.values_list("state", flat=True)) <= {"succeeded", "unchanged"}
    assert {result["status"] for result in results(send(hub))} <= {"succeeded", "unchanged"}


def test_a_batch_is_answered_in_time_while_the_target_hangs_and_delivered_afterwards(native: Hub) -> None:
    check_hanging_target(native)


def check_without_worker(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    """Check a hub in which neither this process nor a worker delivers."""
    monkeypatch.setattr("sync.delivery_service.run_in_this_process", lambda _: False)
    monkeypatch.setattr("sync.delivery_service.defer_to_workers", lambda _: None)
    answer = send(hub)
    assert answer.status_code == 202, answer.content
    assert {result["status"] for result in results(answer)} == {"accepted"}
    assert set(Delivery.objects.values_list("state", flat=True)) == {State.PENDING}
    assert not Delivery.objects.filter(due_at=None).exists()


def test_a_batch_is_accepted_without_a_worker_and_waits_for_one(
    native: Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    check_without_worker(native, monkeypatch)


# Broken variants

Results = Callable[[_StoredBatch, Mapping[int, EventOutcome]], list[BatchResult]]
RESULTS: Results = _StoredBatch.results


def list_as_completed(stored: _StoredBatch, outcomes: Mapping[int, EventOutcome]) -> list[BatchResult]:
    """List the results in the order of completion: a lookup that finds nothing ends before a write."""
    return sorted(
        RESULTS(stored, outcomes), key=lambda result: not (result.outcome and result.outcome.has_failed)
    )


def list_worst(stored: _StoredBatch, outcomes: Mapping[int, EventOutcome]) -> list[BatchResult]:
    """Give every event the outcome of the one that failed."""
    found: Sequence[BatchResult] = RESULTS(stored, outcomes)
    failed = next((result.outcome for result in found if result.outcome and result.outcome.has_failed), None)
    return [replace(result, outcome=failed or result.outcome) for result in found]


@pytest.mark.one_database
@pytest.mark.parametrize("broken", [list_as_completed, list_worst])
def test_results_that_belong_to_other_events_are_caught(
    native: Hub, monkeypatch: pytest.MonkeyPatch, broken: Results
) -> None:
    monkeypatch.setattr(_StoredBatch, "results", broken)
    with pytest.raises(AssertionError):
        check_one_failing_event(native)


@pytest.mark.one_database
def test_a_batch_that_is_not_tried_again_is_caught(native: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(attempt_result, "next_retry_delay", lambda *_: None)
    with pytest.raises(AssertionError):
        check_results_of_a_failing_target(native, 503, State.RETRYING, is_retrying=True)


@pytest.mark.one_database
def test_a_hub_that_waits_for_all_events_whatever_the_time_is_caught(
    native: Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    wait = DeliveryService.await_outcomes
    monkeypatch.setattr(DeliveryService, "await_outcomes", lambda self, events, _: wait(self, events, 30.0))
    with pytest.raises(AssertionError):
        check_hanging_target(native)


@pytest.mark.one_database
def test_a_batch_that_no_worker_would_find_is_caught(native: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    opened = creation._new_delivery

    def open_without_due_time(*arguments: Any) -> Delivery:
        delivery = opened(*arguments)
        delivery.due_at = None
        return delivery

    monkeypatch.setattr(creation, "_new_delivery", open_without_due_time)
    with pytest.raises(AssertionError):
        check_without_worker(native, monkeypatch)
