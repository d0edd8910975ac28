"""Events that a route has observed, as an attempt leaves them behind."""

from datetime import datetime, timedelta
from typing import Any

from sync.models import Delivery, Route
from tests.support.builders.history import NOON, a_delivery, an_attempt, an_event, sealed_findings


def an_observed_event(
    route: Route,
    number: int,
    change: dict[str, Any] | None,
    *,
    minute: int = 1,
    at: datetime | None = None,
    reason: str = "",
    **values: Any,
) -> Delivery:
    """Create an event about entity `number`, received `at`, or so many minutes after NOON, with the change that was
    planned for it; None: none was planned. `reason`: the code of what a live route would have failed with, or held.
    """
    at, code = at or NOON + timedelta(minutes=minute), "observed" if change is not None else "observed-failed"
    event = an_event(number, source=route.source, state="ignored", code=code, received_at=at, **values)
    delivery = a_delivery(event, route, last_number=1, attempts_used=1, opened_at=at, settled_at=at)
    found = {} if change is None else {"findings": sealed_findings(change=change)}
    an_attempt(
        delivery, 1, outcome="ignored", code=reason or ("unmappable" if change is None else code), **found
    )
    return delivery


def a_planned_change(action: str, *, candidates: bool = False, **fields: Any) -> dict[str, Any]:
    """Return a change as an attempt stores it, of fields that had no value before."""
    named = [{"name": name, "before": None, "after": value} for name, value in fields.items()]
    document = {"action": action, "record": "R1", "fields": named, "same": {}}
    return document | ({"candidates": [{"record": "R2", "fields": {}}]} if candidates else {})
