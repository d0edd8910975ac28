"""Failures of the identity service are grouped under its connection, whatever the entity was fetched for."""

from datetime import timedelta

import pytest
from django.utils import timezone

from sync.models import Connection, FailureCount, FailureGroup, Route
from sync.operations.failure_groups import refresh_failure_groups
from sync.search.event_filter import resolve_filter
from sync.statistics.periodic_recount import recount_stale_hours
from tests.support.builders.history import a_delivery, a_route, a_source, an_event
from webhooks.models import Event

pytestmark = pytest.mark.usefixtures("database")


def a_crm() -> Route:
    """Create a second target that is fed from the same identity service."""
    shop = a_route(a_source())
    crm = Connection.objects.create(slug="crm", name="CRM", side="target", connector="rest-target")
    return a_route(shop.source, target=crm)


def failed(number: int, route: Route, code: str) -> Event:
    at = timezone.now() - timedelta(minutes=number)
    event = an_event(number, source=route.source, state="dead", code=code, received_at=at)
    a_delivery(event, route, settled_at=at)
    return event


@pytest.fixture
def failures() -> list[Event]:
    """Create two failures of the identity service, for two targets, and one of each target."""
    crm = a_crm()
    shop = Route.objects.get(target__slug="shop")
    of_identity = [failed(1, shop, "identity-unavailable"), failed(2, crm, "identity-unavailable")]
    failed(3, shop, "target-unavailable")
    failed(4, crm, "target-unavailable")
    return of_identity


def grouped() -> set[tuple[str, str, int]]:
    return set(FailureGroup.objects.values_list("connection__slug", "code", "number"))


def test_failures_of_the_identity_service_are_one_group_of_its_connection(failures: list[Event]) -> None:
    refresh_failure_groups()
    recount_stale_hours(seconds=60.0)
    expected = {
        ("aurora-id", "identity-unavailable", 2),
        ("shop", "target-unavailable", 1),
        ("crm", "target-unavailable", 1),
    }
    assert grouped() == expected
    counts = FailureCount.objects.values_list("connection__slug", "code", "number")
    assert {(slug, code) for slug, code, _ in counts} == {(slug, code) for slug, code, _ in expected}
    assert sum(number for *_, number in counts) == 4
    words = {"state": "dead", "code": "identity-unavailable", "target": "aurora-id"}
    assert set(resolve_filter(words, timezone.now()).apply_to(Event.objects.all())) == set(failures)
