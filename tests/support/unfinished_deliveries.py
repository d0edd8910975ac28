"""Cleanup after tests that kill processes or break the hub."""

from sync.models import OPEN_STATES, Delivery
from webhooks.models import State


def close_open_deliveries() -> None:
    """Close all open deliveries, so that the next test starts without work in progress."""
    Delivery.objects.filter(state__in=OPEN_STATES).update(
        state=State.CLOSED,
        due_at=None,
        token=None,
        lease_until=None,
        identity_slot=None,
        target_slot=None,
    )
