"""Deliveries whose leases have ended, as a dead process leaves them."""

from datetime import timedelta

from django.utils import timezone

from sync.deliveries.claims import claim_delivery
from sync.models import Delivery, MappingVersion
from tests.support.builders.history import a_delivery, a_route, a_source, an_event
from webhooks.models import State


def expired_deliveries(count: int) -> list[int]:
    """Deliveries of different entities, claimed by processes whose leases have ended."""
    source = a_source()
    route = a_route(source)
    MappingVersion.objects.update(declaration={"fields": {"email": {"path": "entity.email"}}})
    keys = []
    for number in range(1, count + 1):
        event = an_event(number, source=source, state=State.PENDING, entity_id=f"PERSON{number}")
        keys.append(a_delivery(event, route, state=State.PENDING, due_at=timezone.now()).pk)
        assert claim_delivery(keys[-1]) is not None
    Delivery.objects.update(lease_until=timezone.now() - timedelta(seconds=60))
    return keys
