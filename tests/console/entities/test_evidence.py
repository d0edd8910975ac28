"""The sentence at the top of an entity's page says that it is in step only with the comparison that proves it."""

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

import pytest
from django.utils import timezone

from console.entities.evidence import EntityEvidence, find_evidence
from console.ui.links import entity_url
from sync.models import Comparison, Connection, Delivery, Difference, Link, Route
from tests.support.builders.differences import a_comparison, a_difference
from tests.support.builders.history import a_delivery, a_route, a_source, an_event
from tests.support.pages import visible_text
from tests.support.people import browser

pytestmark = pytest.mark.django_db


def hours_ago(hours: float) -> datetime:
    return timezone.now() - timedelta(hours=hours)


def delivered(route: Route, hours: float, **values: Any) -> Delivery:
    at = hours_ago(hours)
    event = an_event(entity_id="U1", received_at=at)
    return a_delivery(event, route, **{"settled_at": at} | values)


@pytest.fixture
def route() -> Route:
    """Create a route with a linked entity, whose only event was delivered two days ago."""
    route = a_route(a_source())
    Link.objects.create(
        identity=route.identity,
        target=route.target,
        entity_type="USER",
        entity_id="U1",
        record_id="7",
        applied_at=hours_ago(48),
    )
    delivered(route, 48)
    return route


def compare(route: Route, hours: float = 14, **values: Any) -> Comparison:
    began = hours_ago(hours + 0.5)
    times = {"requested_at": began, "started_at": began, "ended_at": hours_ago(hours)}
    return a_comparison(route, **times | values)


def text_of_page(role: str = "") -> str:
    return visible_text(browser(role).get(entity_url("USER", "U1")))


def test_an_entity_without_a_difference_is_in_step_and_the_page_says_since_when(route: Route) -> None:
    assert "No failed or waiting events. Not compared yet." in text_of_page("support")
    comparison = compare(route)
    a_difference(comparison, "differs", "SOMEONE ELSE")
    text = text_of_page("auditor")
    assert f"In step, compared {timezone.localtime(comparison.ended_at):%H:%M} ( 14 h ago )." in text
    assert "Not compared" not in text


def test_an_entity_with_a_difference_is_never_in_step(route: Route) -> None:
    a_difference(compare(route), "differs", "U1", fields=["email", "name"])
    text = text_of_page()
    assert "Differs, compared" in text
    assert "Fields: email, name." in text
    assert "In step" not in text


def _other_pair(route: Route) -> None:
    """Add a second target with a record of the entity."""
    other = Connection.objects.create(slug="crm", name="CRM", side="target", connector="rest-target")
    Route.objects.create(
        source=route.source, entity_type="USER", identity=route.identity, target=other, mapping=route.mapping
    )
    Link.objects.create(
        identity=route.identity,
        target=other,
        entity_type="USER",
        entity_id="U1",
        record_id="8",
        applied_at=hours_ago(48),
    )


PREPARATIONS: dict[str, tuple[Callable[[Route], object], EntityEvidence]] = {
    "delivered_after_it_began": (
        lambda route: (compare(route), delivered(route, 14.2)),
        EntityEvidence(has_changed=True),
    ),
    "differed_and_was_delivered_since": (
        lambda route: (a_difference(compare(route), "differs", "U1"), delivered(route, 1)),
        EntityEvidence(has_changed=True),
    ),
    "in_delivery_meanwhile": (
        lambda route: (compare(route), delivered(route, 20, settled_at=None, state="retrying")),
        EntityEvidence(has_changed=True),
    ),
    "not_all_entities_read": (
        lambda route: compare(route, identity_gap="list-shrank"),
        EntityEvidence(is_incomplete=True),
    ),
    "more_differences_than_rows": (
        lambda route: compare(route, counts={"differs": 100_001}),
        EntityEvidence(is_incomplete=True),
    ),
    "a_candidate_of_a_broken_run": (
        lambda route: a_difference(compare(route), "differs", "U1", status="candidate"),
        EntityEvidence(is_in_step=True),
    ),
    "the_newest_failed": (
        lambda route: (compare(route), compare(route, 1, state="failed")),
        EntityEvidence(is_in_step=True),
    ),
    "only_failed": (lambda route: compare(route, state="failed"), EntityEvidence()),
    "differed_in_an_earlier_one": (
        lambda route: (a_difference(compare(route, 38), "differs", "U1"), compare(route)),
        EntityEvidence(is_in_step=True),
    ),
    "another_target_was_not_compared": (
        lambda route: (compare(route), _other_pair(route)),
        EntityEvidence(),
    ),
    "without_a_link": (
        lambda route: (compare(route), Link.objects.all().delete()),
        EntityEvidence(),
    ),
    "of_another_mapping": (
        lambda route: (compare(route), Comparison.objects.update(entity_type="GROUP")),
        EntityEvidence(),
    ),
}


@pytest.mark.submission_rows(5)
@pytest.mark.parametrize("name", PREPARATIONS)
def test_only_a_complete_comparison_after_the_last_delivery_proves_that_it_is_in_step(
    name: str, route: Route
) -> None:
    """Holds each case in which the page must not say *In step* although no event failed."""
    prepare, expected = PREPARATIONS[name]
    prepare(route)
    found = find_evidence("USER", "U1")
    names = ("is_in_step", "has_changed", "is_incomplete", "kind")
    assert [getattr(found, of) for of in names] == [getattr(expected, of) for of in names]
    assert ("In step" in text_of_page()) is expected.is_in_step


def test_field_names_need_the_permission(route: Route) -> None:
    """A role without `view_differences` learns that it differs, not how."""
    a_difference(compare(route), "missing-record", "U1", fields=["email"])
    client = browser("support")
    support = client.get(entity_url("USER", "U1")).wsgi_request.user
    for group in support.groups.all():
        group.permissions.remove(*group.permissions.filter(codename="view_differences"))
    text = visible_text(client.get(entity_url("USER", "U1")))
    assert "Not in step, compared" in text
    assert "email" not in text
    assert Difference.objects.count() == 1
