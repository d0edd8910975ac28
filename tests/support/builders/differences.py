"""Finished comparisons with differences, as their job leaves them."""

from typing import Any

from django.utils import timezone

from sync.models import Comparison, ComparisonCause, ComparisonState, Difference, DifferenceStatus, Route
from tests.support.builders.bulk_replays import create_person
from tests.support.hub import Hub

SIGNED_SOURCE = "aurora"


def a_comparison(route: Route | None = None, **values: Any) -> Comparison:
    """Store a finished comparison of a route's pair."""
    route = route or user_route()
    columns = {name: getattr(route, name) for name in ("identity", "entity_type", "target", "mapping")}
    now = timezone.now()
    defaults: dict[str, Any] = {"cause": ComparisonCause.PERSON, "requested_at": now, "ended_at": now}
    return Comparison.objects.create(
        **columns, route=route, **{**defaults, "state": ComparisonState.DONE, **values}
    )


def user_route() -> Route:
    return Route.objects.select_related("source", "identity", "target", "mapping").get(
        source__slug=SIGNED_SOURCE, entity_type="USER"
    )


def a_difference(comparison: Comparison, kind: str, entity_id: str = "", **values: Any) -> Difference:
    defaults: dict[str, Any] = {"status": DifferenceStatus.CONFIRMED, "since": timezone.now()}
    return Difference.objects.create(
        comparison=comparison, kind=kind, entity_id=entity_id, **{**defaults, **values}
    )


def drift(hub: Hub, count: int, comparison: Comparison) -> list[str]:
    """Create people whose records have an old address, and the differences of that. Returns their ids."""
    names = [create_person(hub, f"PERSON{number}") for number in range(count)]
    for name in names:
        hub.shop.catalogue.create_record(
            "customers", {"external_id": name, "email": f"{name.lower()}@old.example.com"}
        )
        a_difference(comparison, "differs", name, fields=["email"])
    return names
