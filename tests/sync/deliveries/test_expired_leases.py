"""The sweep for deliveries of dead processes: one frozen inside a transaction delays no other."""

import time
from datetime import timedelta

import psycopg
import pytest
from django.utils import timezone

from sync.deliveries.claims import claim_delivery
from sync.deliveries.expired_leases import release_expired_leases
from sync.models import Delivery, MappingVersion
from tests.support.builders.history import a_delivery, a_route, a_source, an_event
from tests.support.processes.workers import own_database
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


def test_all_deliveries_with_expired_leases_are_released_at_once(database: None) -> None:
    keys = expired_deliveries(3)
    assert release_expired_leases(10) == 3
    assert set(Delivery.objects.filter(pk__in=keys).values_list("state", "deaths")) == {(State.RETRYING, 1)}
    assert release_expired_leases(10) == 0


@pytest.mark.writers_at_once
def test_a_delivery_locked_by_a_frozen_process_delays_no_other(database: None) -> None:
    locked, *others = expired_deliveries(3)
    with psycopg.connect(own_database()) as frozen:
        frozen.execute("SELECT 1 FROM sync_delivery WHERE id = %s FOR UPDATE", [locked])
        began = time.monotonic()
        assert release_expired_leases(10) == 2
        assert time.monotonic() - began < 2, "it waited for the lock"
    assert set(Delivery.objects.filter(pk__in=others).values_list("state", flat=True)) == {State.RETRYING}
    assert release_expired_leases(10) == 1
