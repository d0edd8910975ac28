"""Promise I10 for batches that wait for their outcome: the target refuses, fails or hangs, or no worker runs."""

import json
from typing import Any

import pytest
from django.http import HttpResponse

from sync.models import Connection, Delivery, Route
from tests.faults.load.native_source import CANARY, FORMAT, Batch, Change
from tests.support.hub import Hub, signature_headers
from tests.support.unfinished_deliveries import close_open_deliveries
from webhooks.models import Event, Source, State
from webhooks.receiving.source_cache import find_source

pytestmark = [pytest.mark.faults, pytest.mark.nightly]

PEOPLE = ("FIRST", "SECOND", "THIRD")
BATCH = Batch("batch_1", "", tuple(Change(f"event_{person}", person) for person in PEOPLE))


@pytest.fixture
def native(hub: Hub) -> Any:
    """Yield a hub whose signed source sends batches and waits for their outcome, however slow the machine is."""
    Source.objects.filter(slug="aurora").update(webhook_format=FORMAT | {"batch_response": "result"})
    set_wait_seconds(30.0)
    Connection.objects.update(breaker_failures=10_000, deadline_seconds=30)
    Route.objects.update(max_attempts=3, retry_base_seconds=60, retry_cap_seconds=120)
    for person in PEOPLE:
        emails = [{"address": f"{person.lower()}@example.com", "verified": True}]
        hub.identity.directory.create_record(
            "users", {"id": person, "username": person.lower(), "emails": emails}
        )
    yield hub
    hub.shop.faults.clear()
    hub.wait_until_quiet(60)
    close_open_deliveries()


def set_wait_seconds(seconds: float) -> None:
    Source.objects.filter(slug="aurora").update(wait_seconds=seconds)
    find_source.invalidate()


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


@pytest.mark.parametrize(
    ("status", "state", "is_retrying"), [(422, State.DEAD, False), (503, State.RETRYING, True)]
)
def test_every_event_of_a_batch_ends_or_has_a_next_try(
    native: Hub, status: int, state: State, is_retrying: bool
) -> None:
    native.shop.faults.add("error", status=status)
    answer = send(native)
    assert answer.status_code >= 400
    assert answer.json()["retrying"] is is_retrying
    assert {result["code"] for result in results(answer)} == {answer.json()["code"]}
    assert set(Delivery.objects.values_list("state", flat=True)) == {state}
    assert Delivery.objects.count() == len(PEOPLE)
    assert Delivery.objects.filter(due_at=None).count() == (0 if is_retrying else len(PEOPLE))


def test_one_failing_event_hides_no_other(native: Hub) -> None:
    native.identity.directory.delete_record("users", "SECOND")
    answer = send(native)
    states = [result["status"] for result in results(answer)]
    assert answer.status_code >= 400
    assert states[0] == states[2] == "succeeded"
    assert states[1] != "succeeded"
    references = [result["reference"] for result in results(answer)]
    assert [result["reference"] for result in results(send(native))] == references
    assert Event.objects.count() == len(PEOPLE)


def test_a_batch_is_answered_while_the_target_hangs_and_delivered_afterwards(native: Hub) -> None:
    set_wait_seconds(1.0)
    held = native.shop.faults.add("slow", seconds=120, methods=["POST"], times=3)
    answer = send(native)
    assert answer.status_code == 202, answer.content
    assert {result["status"] for result in results(answer)} == {"accepted"}
    native.shop.faults.clear(held.id)
    native.wait_until_quiet(60)
    native.wait_until_idle(60)
    assert set(Event.objects.values_list("state", flat=True)) <= {"succeeded", "unchanged"}
    assert {result["status"] for result in results(send(native))} <= {"succeeded", "unchanged"}


def test_a_batch_is_accepted_without_a_worker_and_waits_for_one(
    native: Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither this process nor a worker delivers."""
    set_wait_seconds(1.0)
    monkeypatch.setattr("sync.delivery_service.run_in_this_process", lambda _: False)
    monkeypatch.setattr("sync.delivery_service.defer_to_workers", lambda _: None)
    answer = send(native)
    assert answer.status_code == 202, answer.content
    assert {result["status"] for result in results(answer)} == {"accepted"}
    assert set(Delivery.objects.values_list("state", flat=True)) == {State.PENDING}
    assert not Delivery.objects.filter(due_at=None).exists()
