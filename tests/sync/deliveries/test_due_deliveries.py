"""The sweep reads a bounded number of deliveries, and no backlog hides other due deliveries."""

from datetime import timedelta

import pytest
from django.utils import timezone

from sync.deliveries.due_deliveries import find_due_ids
from sync.deliveries.postponement import postpone_delivery
from sync.models import Breaker, Connection, Delivery, Route
from tests.support.builders.history import a_delivery, a_route, a_source, an_event
from webhooks.models import State

pytestmark = pytest.mark.django_db


@pytest.fixture
def route() -> Route:
    return a_route(a_source())


def waits(route: Route, number: int, minutes: float, user: str = "", **facts: object) -> Delivery:
    """Create a delivery that has been due for this long (negative: is not due yet)."""
    event = an_event(number, source=route.source, state="pending", entity_id=user or f"USR-{number}")
    due_at = timezone.now() - timedelta(minutes=minutes)
    return a_delivery(event, route, **{"state": "pending", "due_at": due_at} | facts)


def test_the_backlog_of_one_system_does_not_hide_deliveries_to_another(route: Route) -> None:
    crm = Connection.objects.create(
        slug="crm", side="target", connector="rest-target", base_url="https://crm.test"
    )
    backlog = [waits(route, number, minutes=90 - number).pk for number in range(20)]
    others = [waits(a_route(route.source, target=crm), 90, minutes=3), waits_again(crm)]
    assert find_due_ids(limit=6) == [
        backlog[0], others[0].pk, backlog[1], others[1].pk, backlog[2], backlog[3]
    ]  # fmt: skip
    assert set(find_due_ids(limit=100)) == {*backlog, *(delivery.pk for delivery in others)}


def test_sources_take_turns_and_the_routes_of_each(route: Route) -> None:
    """A source with two backlogs gets no more than one with a few webhooks."""
    groups = a_route(route.source, entity_type="GROUP")
    users = [waits(route, number, minutes=90 - number).pk for number in range(20)]
    first = [waits(groups, 20 + number, minutes=60 - number, entity_type="GROUP").pk for number in range(20)]
    calm = a_route(a_source("calm"))
    late = [waits(calm, 50 + number, minutes=5 - number).pk for number in range(3)]
    assert find_due_ids(limit=8) == [
        users[0], late[0], first[0], late[1], users[1], late[2], first[1], users[2]
    ]  # fmt: skip


def waits_again(crm: Connection) -> Delivery:
    return waits(Route.objects.get(target=crm), 91, minutes=2, state="retrying")


def test_deliveries_that_cannot_be_claimed_do_not_displace_others(route: Route) -> None:
    waits(route, 0, minutes=-40, user="GROUP", state="retrying", is_relayed=True)
    for number in range(1, 15):
        waits(route, number, minutes=90 - number, user="GROUP", is_relayed=True)
    fetched = waits(route, 90, minutes=1)
    assert find_due_ids(limit=10) == [fetched.pk]


def test_a_delivery_behind_a_held_one_is_found(route: Route) -> None:
    waits(route, 0, minutes=9, user="GROUP", state="held", is_relayed=True)
    behind = waits(route, 1, minutes=1, user="GROUP", is_relayed=True)
    assert find_due_ids() == [behind.pk]


def test_behind_an_open_breaker_only_new_deliveries_are_found(route: Route) -> None:
    """A claim notes that the delivery waits for its connection; from then on the sweep skips it."""
    fresh = waits(route, 0, minutes=2)
    waits(route, 1, minutes=3, state="retrying")
    hour = timezone.now() + timedelta(hours=1)
    Breaker.objects.create(connection=route.target, failures=9, open_until=hour, opened_at=timezone.now())
    assert find_due_ids() == [fresh.pk]
    assert postpone_delivery(fresh.pk, route.target)
    fresh.refresh_from_db()
    assert (fresh.state, fresh.attempts_used) == (State.RETRYING, 0)
    assert find_due_ids() == []
