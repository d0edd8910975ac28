"""The state of a delivery on the page of its event: its process, what it waits for, and its remaining retries."""

import re
from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest
from django.test import Client

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
    assert "its lease lasts until" in text
    assert "Attempt 3 of 8; 5 attempts left, until" in text
    assert "target-unavailable" not in text
    assert "in a separate process" not in text
    expired = text_of(support, running(1, lease=-MINUTE).event)
    assert re.search(r"its lease expired [\d-]+ [\d:]+ UTC", expired)
    assert "An attempt is in progress" not in expired


@pytest.mark.submission
def test_a_delivery_that_crashed_workers_runs_in_a_process_of_its_own(support: Client) -> None:
    assert "in a separate process" in text_of(support, running(deaths=2).event)
    assert "2 workers crashed" in text_of(support, waiting(1, deaths=2, code="interrupted").event)


@pytest.mark.submission
def test_a_failing_connection_is_shown_as_the_reason_with_its_next_check(support: Client) -> None:
    delivery = waiting()
    text = text_of(support, delivery.event)
    assert "Waiting for" not in text
    assert "Next attempt now" in text
    paused(2 * MINUTE)
    text = text_of(support, delivery.event)
    assert re.search(
        r"The shop is failing: 5 errors \(The shop is unavailable\) since [^;]+; next check at "
        r"[\d-]+ [\d:]+ UTC \(in \d",
        text,
    )
    assert re.search(r"Next attempt in \d", text)
    assert "Attempt 2 of 8; 6 attempts left" in text


@pytest.mark.submission
def test_a_recovering_connection_shows_its_limit_of_probes(support: Client) -> None:
    delivery = waiting()
    paused(-MINUTE, successes=1)
    assert "Waiting for" not in text_of(support, delivery.event)
    for number in (1, 2):
        running(number, target_slot=number)
    text = text_of(support, delivery.event)
    assert "recovering (1 of 8 test deliveries succeeded)" in text
    assert "2 of 2 deliveries running" in text


def test_a_connection_that_is_switched_off_is_named(support: Client) -> None:
    delivery = waiting(code="connection-disabled")
    Connection.objects.filter(slug="shop").update(is_enabled=False)
    assert "The shop is disabled: attempts fail until" in text_of(support, delivery.event)


def test_an_unblocked_delivery_that_is_not_claimed_asks_for_a_worker(support: Client) -> None:
    text = text_of(support, waiting(due_at=read_clock() - MINUTE).event)
    assert "Nothing blocks this delivery" in text


def test_a_held_delivery_links_to_where_it_is_decided(support: Client) -> None:
    delivery = waiting(0, "held", "held", due_at=None)
    page = support.get(f"{LIST}{delivery.event_id}/change/").content.decode()
    assert f'<a href="/admin/sync/delivery/route/{delivery.route_id}/">Review held deliveries</a>' in page
    assert "attempts left" not in page


@pytest.mark.submission_rows(2)
@pytest.mark.one_database
@pytest.mark.parametrize(
    ("state", "code", "fault"),
    [
        ("retrying", "interrupted", "the hub"),
        ("dead", "target-unavailable", "The shop"),
        ("dead", "identity-timeout", "Aurora ID"),
        ("dead", "target-rejected", "Aurora ID"),
        ("succeeded", "succeeded", ""),
        ("pending", "", ""),
    ],
)
def test_a_failure_names_its_owner(support: Client, state: str, code: str, fault: str) -> None:
    text = text_of(support, waiting(0, state, code).event)
    assert (f"Needs action from {fault}" in text) is bool(fault)
    assert ("Needs action from" in text) is bool(fault)
