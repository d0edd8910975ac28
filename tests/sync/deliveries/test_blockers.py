"""Reasons why a delivery cannot be claimed, as values without texts."""

from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest

from database.clock import read_clock
from sync.deliveries.blockers import (
    AllSlotsTaken,
    AttemptsLeft,
    BlockedByDelivery,
    Blocker,
    BreakerOpen,
    DisabledConnection,
    NeedsIsolation,
    OrderReason,
    OverdueDelivery,
    PausedByPerson,
    count_attempts_left,
    find_blockers,
    load_contention,
    next_attempt_at,
    responsible_owner,
)
from sync.limits.breaker_status import BreakerMode, BreakerStatus
from sync.models import Breaker, Connection, Delivery, Route
from tests.support.builders.history import a_delivery, a_route, a_source, an_event

pytestmark = pytest.mark.django_db
MINUTE = timedelta(minutes=1)


def waiting(number: int = 0, state: str = "retrying", **values: Any) -> Delivery:
    """Create a delivery that is due now and failed twice because of the shop."""
    event = an_event(number, state=state, code="target-unavailable", entity_id="USR-1")
    route = Route.objects.first() or a_route(a_source())
    now = read_clock()
    delivery = a_delivery(event, route, **{"due_at": now, "opened_at": now, "attempts_used": 2} | values)
    related = ("event__source", "route", "identity__breaker", "target__breaker")
    return Delivery.objects.select_related(*related).get(pk=delivery.pk)


def blockers_of(delivery: Delivery) -> tuple[Blocker, ...]:
    fresh = Delivery.objects.get(pk=delivery.pk)
    return find_blockers(fresh, load_contention([fresh]))


def shop() -> Connection:
    return Connection.objects.get(slug="shop")


def test_nothing_blocks_a_due_delivery_and_an_unclaimed_one_is_overdue() -> None:
    delivery = waiting()
    assert blockers_of(delivery) == ()
    since = read_clock() - MINUTE
    Delivery.objects.update(due_at=since)
    assert blockers_of(delivery) == (OverdueDelivery(since),)


def test_a_settled_delivery_has_no_blocker_and_no_reattempts_left() -> None:
    delivery = waiting(state="dead")
    Connection.objects.update(is_enabled=False)
    assert blockers_of(delivery) == ()
    assert next_attempt_at(delivery, read_clock()) is None
    assert count_attempts_left(delivery) is None
    assert responsible_owner(delivery) == "target"


def test_a_pause_by_a_person_and_dead_processes_come_before_what_connections_say() -> None:
    delivery = waiting(due_at=None, deaths=2)
    Route.objects.update(paused_at=read_clock())
    Connection.objects.filter(slug="shop").update(is_enabled=False)
    route = Route.objects.get()
    assert blockers_of(delivery) == (PausedByPerson(route), NeedsIsolation(2), DisabledConnection(shop()))


def test_a_running_delivery_of_the_subject_blocks_and_shows_if_its_lease_has_ended() -> None:
    other = waiting(1, "running", due_at=None, token=uuid4(), lease_until=read_clock() + MINUTE)
    delivery = waiting()
    assert blockers_of(delivery) == (BlockedByDelivery(other, OrderReason.RUNS),)
    Delivery.objects.filter(pk=other.pk).update(lease_until=read_clock() - MINUTE)
    assert blockers_of(delivery) == (BlockedByDelivery(other, OrderReason.CLAIM_EXPIRED),)


def test_only_relayed_deliveries_wait_for_older_ones() -> None:
    older, newer = waiting(1, is_relayed=True), waiting(2, is_relayed=True)
    assert blockers_of(newer) == (BlockedByDelivery(older, OrderReason.IS_OLDER),)
    assert blockers_of(older) == ()
    Delivery.objects.filter(pk=newer.pk).update(is_relayed=False)
    assert blockers_of(newer) == ()


def test_an_open_breaker_blocks_and_delays_the_retry_and_probes_take_slots() -> None:
    delivery = waiting()
    until = read_clock() + MINUTE
    Breaker.objects.create(connection=shop(), failures=5, openings=1, open_until=until)
    assert blockers_of(delivery) == (BreakerOpen(shop()),)
    assert next_attempt_at(Delivery.objects.get(pk=delivery.pk), read_clock()) == until
    past = read_clock() - MINUTE
    Breaker.objects.update(open_until=past, successes=0)
    taken = an_event(3, state="running", code="", entity_id="USR-3")
    claim = {"token": uuid4(), "lease_until": read_clock() + MINUTE, "target_slot": 1}
    a_delivery(taken, delivery.route, **claim)
    half_open = BreakerStatus(BreakerMode.PROBES, past, 0)
    assert blockers_of(delivery) == (AllSlotsTaken(shop(), used=1, limit=1, breaker=half_open),)


def test_a_relayed_delivery_does_not_wait_for_the_identity_service() -> None:
    delivery, until = waiting(is_relayed=True), read_clock() + MINUTE
    identity = Connection.objects.get(side="identity")
    Breaker.objects.create(connection=identity, failures=5, open_until=until, opened_at=read_clock())
    Connection.objects.filter(pk=identity.pk).update(is_enabled=False)
    assert blockers_of(delivery) == ()
    assert next_attempt_at(Delivery.objects.get(pk=delivery.pk), read_clock()) == delivery.due_at
    Delivery.objects.update(is_relayed=False)
    identity.refresh_from_db()
    assert blockers_of(delivery) == (BreakerOpen(identity), DisabledConnection(identity))
    assert next_attempt_at(Delivery.objects.get(pk=delivery.pk), read_clock()) == until


def test_the_remaining_retries_are_limited_by_number_and_age() -> None:
    delivery = waiting()
    assert delivery.opened_at is not None
    until = delivery.opened_at + timedelta(hours=delivery.route.gives_up_after_hours)
    assert count_attempts_left(delivery) == AttemptsLeft(delivery.route.max_attempts - 2, until)
    delivery.attempts_used = delivery.route.max_attempts
    assert count_attempts_left(delivery) == AttemptsLeft(0, None)


@pytest.mark.parametrize(
    ("passing", "successes", "concurrency", "limit"),
    [
        (BreakerMode.EVERYTHING, 0, None, None),
        (BreakerMode.NOTHING, 3, 4, 0),
        (BreakerMode.PROBES, 2, None, 3),
        (BreakerMode.PROBES, 6, 4, 4),
    ],
)
def test_the_limit_is_the_smaller_of_probes_and_concurrency(
    passing: BreakerMode, successes: int, concurrency: int | None, limit: int | None
) -> None:
    assert BreakerStatus(passing, None, successes).delivery_limit(concurrency) == limit
