"""Attempts whose process dies, as the database sees them: begun, and never ended."""

from sync.claiming import SUSPECT, claim
from sync.expiring import expire
from sync.models import Delivery
from tests.hub import wait_until_quiet
from webhooks.models import State

LONG_AGO = "2020-01-01T00:00:00Z"


def attempt_that_dies_alone(delivery: Delivery) -> None:
    """Two processes died under it before; this one has it for itself."""
    Delivery.objects.filter(pk=delivery.pk).update(
        state=State.RETRYING, deaths=SUSPECT, due_at=LONG_AGO, settled_at=None
    )
    assert claim(delivery.pk, alone=True)


def lease_ends(pk: int) -> None:
    """The process is found to be gone: by whoever calls, not by a thread that still looks for what is due."""
    wait_until_quiet()
    Delivery.objects.filter(pk=pk).update(lease_until=LONG_AGO)
    assert expire(Delivery.objects.get(pk=pk))
