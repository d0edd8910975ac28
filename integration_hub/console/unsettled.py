"""Deliveries that are not settled, found by the index that holds only those."""

from django.db.models import QuerySet

from sync.models import Delivery

_OPEN = "sync_delivery.state IN ('pending', 'retrying', 'running', 'held')"


def open_deliveries() -> QuerySet[Delivery]:
    """Those that are open. SQLite uses the index only where its condition stands word for word in the statement."""
    return Delivery.objects.extra(where=[_OPEN])  # noqa: S610


def running_deliveries() -> QuerySet[Delivery]:
    """Those that run: as many as may run at once."""
    return Delivery.objects.extra(where=["sync_delivery.state = 'running'"])
