"""Simultaneous webhooks that do not wait for their outcome share one commit (`database.group_commit`)."""

import json
from collections.abc import Callable
from typing import Any

import pytest
from django.db import OperationalError, connection

from audit.models import Entry
from database.group_commit import _QueuedThread
from sync.models import Delivery
from tests.support.audit.chain_faults import find_chain_faults
from tests.support.hub import EXAMPLE, Hub
from tests.support.simultaneous_webhooks import Sent, SimultaneousWebhooks
from webhooks.models import Event, Receipt, SubjectKey
from webhooks.receiving import store

pytestmark = pytest.mark.concurrent

ACK = json.loads(EXAMPLE) | {"respond": "ack"}


def of(person: str, **members: Any) -> Sent:
    return ACK | {"id": person} | members, f"msg_{person}"


def test_each_webhook_of_a_group_has_its_own_rows(together: SimultaneousWebhooks) -> None:
    people = [f"U{number}" for number in range(6)]
    sent = [
        *(of(person) for person in people),
        (ACK | {"id": "U1"}, "msg_again"),
        of("U7", eventType="RENAMED"),
    ]
    answers = together.send(*sent)
    assert together.sizes == [1, 7]
    assert [answer.status_code for answer in answers] == [202] * 7 + [200]
    for (body, webhook_id), answer in zip(sent, answers, strict=True):
        event = Event.objects.get(event_id=webhook_id)
        (receipt,) = Receipt.objects.filter(event=event)
        assert (event.entity_id, json.loads(event.payload.decrypt())) == (body["id"], body)
        assert answer.json()["reference"] == event.reference
        assert (receipt.payload, receipt.status) == (event.payload, answer.status_code)
        assert receipt.answer is not None
        assert receipt.answer.decrypt() == answer.content
        deliveries = Delivery.objects.filter(event=event)
        assert [delivery.entity_id for delivery in deliveries] == [body["id"]] * (
            body["eventType"] == "UPDATE"
        )
        details = json.loads(Entry.objects.get(stream=event.stream).details)
        assert details["receipt"] == receipt.own_reference
        assert details["status"] == answer.status_code
    assert SubjectKey.objects.filter(pk__in=Event.objects.values("payload__subject")).count() == 7
    assert find_chain_faults() == []


@pytest.mark.submission
def test_a_group_is_stored_in_order_of_arrival(together: SimultaneousWebhooks) -> None:
    """Relayed webhooks are delivered in the order of their delivery numbers."""
    sent = [of("U1") if number % 2 else of("U2") for number in range(8)]
    sent = [(body, f"msg_{number}") for number, (body, _) in enumerate(sent)]
    together.send(*sent)
    assert together.sizes == [1, 7]
    came = [f"msg_{number}" for number in range(8)]
    assert list(Event.objects.order_by("pk").values_list("event_id", flat=True)) == came
    assert list(Delivery.objects.order_by("pk").values_list("event__event_id", flat=True)) == came


@pytest.mark.submission
def test_a_duplicate_in_a_group_does_not_affect_the_others(together: SimultaneousWebhooks, hub: Hub) -> None:
    known, other = of("U1"), of("U2")
    for webhook in (known, other):
        assert hub.post_signed(*webhook).status_code == 202
    answers = together.send(
        of("U0"), known, of("U3"), (other[0] | {"eventType": "DELETE"}, other[1]), of("U4")
    )
    assert [answer.status_code for answer in answers] == [202, 202, 202, 409, 202]
    assert answers[1].json()["reference"] == Event.objects.get(entity_id="U1").reference
    assert answers[3].json()["code"] == "event-id-conflict"
    assert sorted(Event.objects.values_list("entity_id", flat=True)) == ["U0", "U1", "U2", "U3", "U4"]
    assert Receipt.objects.filter(event__entity_id="U1").count() == 2
    assert find_chain_faults() == []


@pytest.mark.promise("I21")
def test_a_group_is_stored_completely_or_not_at_all(
    together: SimultaneousWebhooks, monkeypatch: pytest.MonkeyPatch
) -> None:
    """If the database fails, each sender gets an error and repeats its webhook."""

    def fail_to_store(*_: Any, **__: Any) -> None:
        raise OperationalError("disk full")

    monkeypatch.setattr(store, "prepare_append", late(fail_to_store, store.prepare_append))
    answers = together.send(*(of(f"U{number}") for number in range(5)))
    assert together.sizes == [1, 4]
    assert [answer.status_code for answer in answers] == [202, 503, 503, 503, 503]
    assert all(answer["Retry-After"] for answer in answers[1:])
    assert list(Event.objects.values_list("entity_id", flat=True)) == ["U0"]
    assert Receipt.objects.count() == Delivery.objects.count() == 1


def late(fail_to_store: Callable[..., Any], works: Callable[..., Any]) -> Callable[..., Any]:
    """`works` the first time, `fail_to_store` from then on."""
    calls = iter([works])
    return lambda *arguments, **named: next(calls, fail_to_store)(*arguments, **named)


@pytest.mark.writers_at_once
def test_no_waiting_webhook_holds_a_connection(
    together: SimultaneousWebhooks, monkeypatch: pytest.MonkeyPatch
) -> None:
    """If all connections of the pool waited, the one they wait for would get none."""
    held: list[object] = []
    wait = _QueuedThread.wait_for_turn

    def look_and_wait(thread: Any, *seconds: float) -> bool:
        held.append(connection.connection)
        return wait(thread, *seconds)

    monkeypatch.setattr(_QueuedThread, "wait_for_turn", look_and_wait)
    together.send(of("U0"), of("U1"))
    assert held == [None]
