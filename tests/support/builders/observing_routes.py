"""Routes that observe, and what their deliveries must leave alone."""

from typing import Any

import pytest

from sync.deliveries.routes import resolved_routes
from sync.execution.executor import run_due_deliveries
from sync.models import AwaitedRecord, Delivery, FailureGroup, Link, Recheck, Route
from tests.support.hub import Hub


def observe(**routes: Any) -> None:
    """Let the routes of this filter observe."""
    Route.objects.filter(**routes).update(mode=Route.Mode.OBSERVE)


def go_live(**routes: Any) -> None:
    """Let the routes of this filter write."""
    Route.objects.filter(**routes).update(mode=Route.Mode.LIVE)


def hold_cached_routes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let this process see no change of a route any more, as in the second for which it caches them."""
    monkeypatch.setattr(resolved_routes, "_seconds", 600.0)
    monkeypatch.setattr(resolved_routes, "_values", {})
    resolved_routes()


def deliver(hub: Hub) -> None:
    """Wait until all deliveries that are due have ended."""
    hub.wait_until_quiet()
    run_due_deliveries()
    hub.wait_until_quiet()


def traces(hub: Hub) -> dict[str, Any]:
    """Return all that only a live route may leave behind."""
    links = Link.objects.order_by("pk").values(
        "pk", "record_id", "applied_at", "occurred_at", "write_counts", "proof_failed_at", "external_id_field"
    )
    return {
        "writes": len(hub.writes()),
        "links": list(links),
        "groups": FailureGroup.objects.count(),
        "awaited": AwaitedRecord.objects.count(),
        "rechecks": Recheck.objects.count(),
    }


def ends() -> list[tuple[str, str]]:
    """Return state and code of all deliveries, in their order."""
    return list(Delivery.objects.order_by("pk").values_list("state", "code"))
