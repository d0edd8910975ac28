"""A comparison is requested once for a pair, refused with a sentence where it could say nothing, and cancelled."""

from collections.abc import Callable

import pytest

from audit.entries.readable_rows import parse_details
from audit.models import Entry
from sync.comparisons.requests import (
    ComparisonRefused,
    cancel_comparison,
    latest_comparison,
    open_comparison,
    request_comparison,
    routes_of_pair,
)
from sync.models import Comparison, ComparisonCause, Connection, Job, MappingVersion, Route
from tests.support.builders.bulk_replays import staff_user
from tests.support.connections import change_connection
from tests.support.hub import Hub


def signed_route() -> Route:
    return Route.objects.get(source__slug="aurora", entity_type="USER")


def unsigned_route() -> Route:
    return Route.objects.get(source__slug="aurora-unsigned", entity_type="USER")


def request(route: Route) -> Comparison:
    return request_comparison(route, cause=ComparisonCause.COMMAND)


def test_routes_of_two_sources_share_one_open_comparison_and_its_result(hub: Hub) -> None:
    person = staff_user("comparer")
    comparison = request_comparison(
        signed_route(), cause=ComparisonCause.PERSON, by=person, address="192.0.2.7"
    )
    assert open_comparison(unsigned_route()) == comparison
    assert routes_of_pair(comparison) == sorted([signed_route(), unsigned_route()], key=lambda one: one.pk)
    with pytest.raises(ComparisonRefused, match="already open") as refused:
        request(unsigned_route())
    assert refused.value.open == comparison
    assert list(Job.objects.values_list("kind", "subject", "state")) == [
        ("comparison", comparison.pk, "waiting")
    ]
    entry = Entry.objects.get(stream=comparison.stream)
    assert (entry.action, entry.actor) == ("comparison.requested", f"person:{person.pk}")
    details = parse_details(entry.details)
    assert {"cause": "person", "source": "aurora", "address": "192.0.2.7"}.items() <= details.items()
    assert latest_comparison(unsigned_route()) is None
    Comparison.objects.update(state="done")
    assert (open_comparison(unsigned_route()), latest_comparison(unsigned_route())) == (None, comparison)


def _disable(side: str) -> None:
    Connection.objects.filter(side=side).update(is_enabled=False)


def _remove_list() -> None:
    identity = signed_route().identity
    entities = {name: dict(entity) for name, entity in identity.settings["entities"].items()}
    entities["USER"].pop("list")
    change_connection(identity, settings={**identity.settings, "entities": entities})


@pytest.mark.parametrize(
    ("prepare", "sentence"),
    [
        (lambda: Route.objects.update(relays=True), "webhook's own data"),
        (lambda: MappingVersion.objects.all().delete(), "no active version"),
        (lambda: _disable("identity"), "Aurora ID is disabled"),
        (lambda: _disable("target"), "is disabled"),
        (_remove_list, "Aurora ID have no list of USER"),
        (lambda: Route.objects.update(target_entity="THING"), "lack THING"),
    ],
)
def test_a_comparison_that_could_say_nothing_is_refused_with_the_reason(
    hub: Hub, prepare: Callable[[], object], sentence: str
) -> None:
    prepare()
    with pytest.raises(ComparisonRefused, match=sentence):
        request(signed_route())
    assert not Comparison.objects.exists()
    assert not Job.objects.exists()
    assert not Entry.objects.filter(stream__startswith="comparison:").exists()


def test_a_cancelled_comparison_ends_once_with_its_job_and_another_may_follow(hub: Hub) -> None:
    comparison = request(signed_route())
    person = staff_user("comparer")
    assert cancel_comparison(comparison, by=person)
    assert not cancel_comparison(comparison, by=person)
    comparison.refresh_from_db()
    assert (comparison.state, comparison.ended_at is not None) == ("cancelled", True)
    assert Job.objects.get().state == "cancelled"
    actions = Entry.objects.filter(stream=comparison.stream).order_by("pk").values_list("action", "actor")
    assert list(actions) == [
        ("comparison.requested", "system"),
        ("comparison.cancelled", f"person:{person.pk}"),
    ]
    assert request(signed_route()) != comparison
