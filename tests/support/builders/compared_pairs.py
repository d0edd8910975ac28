"""Comparisons and their differences, as a worker leaves them behind."""

from datetime import timedelta
from typing import Any

from sync.models import Comparison, Difference, Route
from tests.support.builders.history import NOON


def a_comparison(route: Route, **values: Any) -> Comparison:
    """Create a comparison of the route's pair that ended at NOON with 214 of 10,000 entities not in step."""
    defaults = {
        "identity": route.identity,
        "entity_type": route.entity_type,
        "target": route.target,
        "mapping": route.mapping,
        "mapping_version": route.mapping.current_version(),
        "cause": "schedule",
        "requested_at": NOON - timedelta(minutes=2),
        "started_at": NOON - timedelta(minutes=1),
        "ended_at": NOON,
        "state": "done",
        "phase": "confirming",
        "read_records": 10_020,
        "read_entities": 10_000,
        "counts": {"in-step": 9_786, "differs": 214},
        "field_counts": {"email": 210, "name": 9},
    }
    return Comparison.objects.create(route=route, **defaults | values)


def an_open_comparison(route: Route, **values: Any) -> Comparison:
    """Create a comparison that has read 3,000 of 10,000 records of the target."""
    running = {"state": "running", "phase": "records", "ended_at": None, "counts": {}, "field_counts": {}}
    read = {"read_records": 3_000, "total_records": 10_000, "read_entities": 0}
    return a_comparison(route, **running | read | values)


def a_difference(comparison: Comparison, number: int = 1, **values: Any) -> Difference:
    """Create difference `number` of a comparison: confirmed, its record has another address."""
    defaults = {
        "kind": "differs",
        "status": "confirmed",
        "entity_id": f"USR-{number}",
        "record_id": f"R{number}",
        "fields": ["email"],
        "since": NOON - timedelta(days=1),
    }
    return Difference.objects.create(comparison=comparison, **defaults | values)
