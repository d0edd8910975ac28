"""Which deliveries wait for which of their two connections."""

import pytest
from django.utils import timezone

from console.settings.connections.connection_status import count_waiting
from sync.models import Breaker, Connection, Delivery
from sync.search.waiting_deliveries import deliveries_waiting_for
from tests.support.builders.history import a_delivery, a_route, a_source, an_event

pytestmark = pytest.mark.django_db


def one_of_each_kind() -> dict[str, Delivery]:
    """Return deliveries of one route: pending, relayed, and failed at either side or in the hub."""
    route = a_route(a_source())
    kinds = {
        "pending": {"state": "pending"},
        "relayed": {"state": "pending", "is_relayed": True},
        "failed at the identity service": {"state": "retrying", "code": "identity-unavailable"},
        "failed at the target": {"state": "retrying", "code": "target-unavailable"},
        "interrupted": {"state": "retrying", "code": "interrupted"},
        "replayed": {"state": "pending", "code": "identity-unavailable"},
    }
    rows = {}
    for number, (kind, values) in enumerate(kinds.items()):
        event = an_event(number, state=values["state"], code=values.get("code", ""), source=route.source)
        rows[kind] = a_delivery(event, route, due_at=event.received_at)
        Delivery.objects.filter(pk=rows[kind].pk).update(**values)
    done = an_event(9, state="succeeded", source=route.source)
    a_delivery(done, route)
    return rows


def kinds_waiting_for(connection: Connection, rows: dict[str, Delivery]) -> set[str]:
    keys = set(deliveries_waiting_for(connection).values_list("pk", flat=True))
    waiting = {kind for kind, row in rows.items() if row.pk in keys}
    assert len(waiting) == len(keys)
    assert count_waiting()[connection.pk].number == len(keys), "the count differs from the list"
    return waiting


def open_breaker(connection: Connection) -> None:
    Breaker.objects.create(connection=connection, open_until=timezone.now())


def test_a_delivery_waits_for_the_side_at_which_it_failed() -> None:
    rows = one_of_each_kind()
    route = rows["pending"].route
    both = {"pending", "interrupted", "replayed"}
    assert kinds_waiting_for(route.identity, rows) == both | {"failed at the identity service"}
    assert kinds_waiting_for(route.target, rows) == both | {"failed at the target", "relayed"}


def test_a_delivery_waits_for_the_side_whose_breaker_is_open() -> None:
    rows = one_of_each_kind()
    route = rows["pending"].route
    open_breaker(route.target)
    assert kinds_waiting_for(route.identity, rows) == set()
    assert kinds_waiting_for(route.target, rows) == set(rows)
    open_breaker(route.identity)
    assert kinds_waiting_for(route.identity, rows) == set(rows) - {"relayed"}
    assert kinds_waiting_for(route.target, rows) == set(rows)


def test_a_relayed_delivery_does_not_wait_for_the_identity_service() -> None:
    rows = one_of_each_kind()
    route = rows["pending"].route
    open_breaker(route.identity)
    assert kinds_waiting_for(route.target, rows) == {"relayed"}
