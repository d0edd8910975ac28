"""The sweep for deliveries of dead processes: one frozen inside a transaction delays no other."""

import time

import psycopg
import pytest

from sync.deliveries.expired_leases import release_expired_leases
from sync.models import Delivery
from tests.support.database.expired_leases import expired_deliveries
from tests.support.processes.workers import own_database
from webhooks.models import State


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
