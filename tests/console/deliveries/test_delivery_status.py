"""The state of a delivery on the page of its event: its process, what it waits for, and its remaining retries."""

import re
from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from database.clock import read_clock
from sync.models import Breaker, Connection, Delivery, Route
from tests.support.builders.history import a_delivery, a_route, a_source, an_attempt, an_event, logged_in
from tests.support.pages import visible_text
from webhooks.models import Event

pytestmark = pytest.mark.django_db
LIST = "/admin/webhooks/event/"
MINUTE = timedelta(minutes=1)


@pytest.fixture
def support() -> Client:
    return logged_in("support")


def text_of(client: Client, event: Event) -> str:
    return visible_text(client.get(f"{LIST}{event.pk}/change/"))


def waiting(
    number: int = 0, state: str = "retrying", code: str = "target-unavailable", **values: Any
) -> Delivery:
    """Create a delivery that is due now and has failed twice."""
    event = an_event(number, state=state, code=code, entity_id=values.pop("entity_id", f"USR-{number}"))
    route = _route()
    now = read_clock()
    return a_delivery(
        event, route, **{"due_at": now, "opened_at": now, "attempts_used": 2, "last_number": 2} | values
    )


def _route() -> Route:
    return Route.objects.first() or a_route(a_source())


def running(number: int = 0, lease: timedelta = MINUTE, **values: Any) -> Delivery:
    claimed = {
        "token": uuid4(),
        "lease_until": read_clock() + lease,
        "due_at": None,
        "attempts_used": 3,
        "last_number": 3,
    }
    delivery = waiting(number, "running", **claimed | values)
    an_attempt(
        delivery, 3, outcome="started", ended_at=None, code="", in_own_process=values.get("deaths", 0) >= 2
    )
    return delivery


def paused(until: timedelta, **values: Any) -> Breaker:
    now = read_clock()
    return Breaker.objects.create(
        connection=Connection.objects.get(slug="shop"),
        **{
            "failures": 5,
            "openings": 1,
            "code": "target-unavailable",
            "opened_at": now,
            "open_until": now + until,
        }
        | values,
    )


def test_a_running_delivery_shows_its_start_and_lease_and_hides_an_earlier_code(
    support: Client,
) -> None:
    text = text_of(support, running().event)
    assert re.search(
        r"Worker running since [\d-]+ [\d:]+ UTC ; its lease lasts until [\d-]+ [\d:]+ UTC", text
    )
    assert "3 of 8 automatic attempts used; 5 attempts left, until" in text
    assert "target-unavailable" not in text
    assert "in a separate process" not in text


def test_the_page_says_that_a_delivery_runs_in_isolation(support: Client) -> None:
    assert "UTC , in a separate process; its lease lasts until" in text_of(support, running(deaths=2).event)


def test_an_expired_lease_says_that_the_process_may_have_died(support: Client) -> None:
    text = text_of(support, running(lease=-MINUTE).event)
    assert re.search(r"its lease expired [\d-]+ [\d:]+ UTC , so it may have stopped", text)
    assert text.count("The worker may have stopped") == 1, "in the diagnosis"
    assert "An attempt is in progress" not in text


def test_a_paused_connection_is_shown_as_the_reason_with_its_end(support: Client) -> None:
    delivery = waiting()
    text = text_of(support, delivery.event)
    assert "Waiting for" not in text
    assert "Next attempt now" in text
    paused(2 * MINUTE)
    text = text_of(support, delivery.event)
    assert re.search(
        r"Waiting for The shop is paused until [\d-]+ [\d:]+ UTC \(in (2 min|1 min \d+ s)\) after 5 failures: "
        r"The shop is unavailable\. No retries are used in the meantime\.",
        text,
    )
    assert re.search(r"Next attempt in (2 min|1 min \d+ s)", text)
    assert "2 of 8 automatic attempts used; 6 attempts left" in text


def test_a_recovering_connection_shows_its_limit_of_probes(support: Client) -> None:
    delivery = waiting()
    paused(-MINUTE, successes=1)
    assert "Waiting for" not in text_of(support, delivery.event)
    for number in (1, 2):
        running(number, target_slot=number)
    assert (
        "The shop is recovering (1 of 8 test deliveries succeeded) and has reached its concurrency limit: "
        "2 of 2 deliveries running." in text_of(support, delivery.event)
    )


def test_a_connection_at_its_limit_is_shown_as_the_reason(support: Client) -> None:
    delivery = waiting()
    Connection.objects.filter(slug="aurora-id").update(concurrency=2)
    running(1, identity_slot=1)
    assert "Waiting for" not in text_of(support, delivery.event)
    running(2, identity_slot=2)
    text = text_of(support, delivery.event)
    assert "Waiting for Aurora ID has reached its concurrency limit: 2 of 2 deliveries running." in text


def test_a_running_delivery_of_the_same_subject_is_named_and_others_are_not(support: Client) -> None:
    delivery = waiting()
    running(1)
    assert "Waiting for" not in text_of(support, delivery.event)
    rival = running(2, entity_id="USR-0")
    text = text_of(support, delivery.event)
    assert f"Queued behind {rival.event.reference} for the same entity, which is being delivered." in text
    Delivery.objects.filter(pk=rival.pk).update(lease_until=read_clock() - MINUTE)
    assert "for the same entity, whose worker may have stopped." in text_of(support, delivery.event)


def test_a_relayed_delivery_names_the_older_one_it_waits_for(support: Client) -> None:
    older = waiting(1, entity_id="USR-0", is_relayed=True)
    delivery = waiting(0, is_relayed=True)
    text = text_of(support, delivery.event)
    assert (
        f"Queued behind {older.event.reference} , which is older: relayed webhooks are delivered in order."
        in text
    )
    assert "Waiting for" not in text_of(support, older.event)


def test_an_isolated_delivery_waits_for_its_own_process(support: Client) -> None:
    text = text_of(support, waiting(deaths=2, code="interrupted").event)
    assert "2 workers crashed while they ran this delivery. It runs next in a separate process" in text


def test_a_connection_that_is_switched_off_is_named(support: Client) -> None:
    delivery = waiting(code="connection-disabled")
    Connection.objects.filter(slug="shop").update(is_enabled=False)
    assert "The shop is disabled: attempts fail until" in text_of(support, delivery.event)


def test_an_unblocked_delivery_that_is_not_claimed_asks_for_a_worker(support: Client) -> None:
    text = text_of(support, waiting(due_at=read_clock() - MINUTE).event)
    assert "Nothing blocks this delivery, but it has been due since" in text
    assert "Check that a worker is running" in text


def test_a_held_delivery_links_to_where_it_is_decided(support: Client) -> None:
    delivery = waiting(0, "held", "held", due_at=None)
    page = support.get(f"{LIST}{delivery.event_id}/change/").content.decode()
    assert f'<a href="/admin/sync/delivery/route/{delivery.route_id}/">Review held deliveries</a>' in page
    assert "attempts left" not in page


@pytest.mark.one_database
@pytest.mark.parametrize(
    ("state", "code", "fault", "next_step"),
    [
        ("retrying", "target-unavailable", "The shop", "The hub retries automatically."),
        ("retrying", "interrupted", "the hub", "The hub reads both systems again"),
        (
            "dead",
            "target-unavailable",
            "The shop",
            "The hub has stopped retrying. Contact the owner of The shop",
        ),
        (
            "dead",
            "identity-timeout",
            "Aurora ID",
            "The hub has stopped retrying. Contact the owner of Aurora ID",
        ),
        (
            "dead",
            "internal-failure",
            "the hub",
            "The hub has stopped retrying. An administrator must fix the cause",
        ),
        ("dead", "target-rejected", "Aurora ID", "Replaying now will fail again."),
        ("dead", "crashes-hub", "the hub", "An administrator must check the log"),
    ],
)
def test_a_failure_names_its_owner_and_the_current_next_step(
    support: Client, state: str, code: str, fault: str, next_step: str
) -> None:
    text = text_of(support, waiting(0, state, code).event)
    assert f"Needs action from {fault}" in text
    assert text.count(next_step) == 1
    assert ("retries automatically" in text) == (state == "retrying")


def test_without_a_failure_no_owner_is_named(support: Client) -> None:
    for number, (state, code) in enumerate(
        [("succeeded", "succeeded"), ("pending", ""), ("running", "held")]
    ):
        made = running(number) if state == "running" else waiting(number, state, code)
        assert "Needs action from" not in text_of(support, made.event)


def test_the_page_of_a_waiting_delivery_costs_the_same_for_any_queue(support: Client) -> None:
    delivery = waiting()
    paused(MINUTE)
    with CaptureQueriesContext(connection) as alone:
        text_of(support, delivery.event)
    for number in range(1, 10):
        waiting(number, entity_id="USR-0")
        running(number + 20, target_slot=number)
    with CaptureQueriesContext(connection) as among_many:
        text_of(support, delivery.event)
    assert len(among_many) == len(alone) <= 18
