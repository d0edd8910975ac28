"""The end of retries, and refused starts of attempts: the budgets of a route, the rate limit of a connection."""

import json
from collections.abc import Iterator
from datetime import timedelta

import pytest
from django.utils import timezone

from sync.execution.executor import run_due_deliveries
from sync.models import Attempt, Connection, Delivery, Route
from tests.support.hub import EXAMPLE, Hub, wait_until_quiet
from tests.support.unfinished_deliveries import close_open_deliveries
from webhooks.models import Event, RateLimitState, State


@pytest.fixture(autouse=True)
def _nothing_left(hub: Hub) -> Iterator[None]:
    """Keep breakers closed, and close deliveries that a test leaves open."""
    Connection.objects.update(breaker_failures=1000)
    yield
    close_open_deliveries()


def try_again(**changes: object) -> Delivery:
    wait_until_quiet()
    Delivery.objects.update(due_at=timezone.now() - timedelta(seconds=1), **changes)
    run_due_deliveries()
    return Delivery.objects.get()


def test_a_repeated_webhook_is_tried_although_its_retries_are_used_up(hub: Hub) -> None:
    Route.objects.update(max_attempts=1)
    hub.change_email("anna.again@example.com")
    hub.shop.faults.add("error", status=503, times=2)
    for attempts_used in (1, 2):
        answer = hub.post_signed(EXAMPLE, "msg_again")
        assert (answer.status_code, answer.json()["retrying"]) == (424, False)
        assert (Delivery.objects.get().state, Delivery.objects.get().attempts_used) == (
            State.DEAD,
            attempts_used,
        )
    assert hub.post_signed(EXAMPLE, "msg_again").status_code == 200
    assert hub.customer()["email"] == "anna.again@example.com"


@pytest.mark.submission
def test_a_delivery_that_is_too_old_fails_although_it_has_reattempts_left(hub: Hub) -> None:
    Route.objects.update(gives_up_after_hours=1)
    hub.shop.faults.add("error", status=503)
    answer = hub.post_signed(EXAMPLE)
    assert (answer.status_code, answer.json()["retrying"]) == (424, True)
    young = try_again(opened_at=timezone.now() - timedelta(minutes=50))
    assert (young.state, young.attempts_used) == (State.RETRYING, 2)
    old = try_again(opened_at=timezone.now() - timedelta(minutes=70))
    assert (old.state, old.code, old.attempts_used) == (State.DEAD, "target-unavailable", 3)
    assert Event.objects.get().state == State.DEAD


def test_no_attempt_is_started_whose_turn_would_come_too_late(hub: Hub) -> None:
    shop = Connection.objects.get(slug="shop")
    Connection.objects.filter(pk=shop.pk).update(requests_per_second=0.5)
    RateLimitState.objects.create(key=f"connection:{shop.pk}", free_at=timezone.now() + timedelta(minutes=10))
    body = json.loads(EXAMPLE) | {"respond": "ack"}
    assert hub.post_signed(body).status_code == 202
    hub.wait_until_quiet()
    assert not Attempt.objects.exists()
    assert hub.shop.read_journal() == []
    assert Delivery.objects.get().attempts_used == 0
