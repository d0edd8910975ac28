"""The database limits the running deliveries of a connection over all threads and processes."""

import threading
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from sync.deliveries.claims import Claim, claim_delivery
from sync.deliveries.expired_leases import release_delivery
from sync.execution.executor import run_due_deliveries
from sync.limits import concurrency_slots
from sync.models import Connection, Delivery
from tests.support.hub import Hub
from tests.support.processes.workers import wait_until
from tests.support.threads import in_threads
from tests.support.unfinished_deliveries import close_open_deliveries
from webhooks.models import State

pytestmark = pytest.mark.concurrent


@pytest.fixture(autouse=True)
def _nothing_left(hub: Hub) -> Iterator[None]:
    """Close deliveries that a test leaves open."""
    yield
    close_open_deliveries()


def limit(at_once: int | None, slug: str = "shop") -> None:
    Connection.objects.filter(slug=slug).update(concurrency=at_once)


def open_deliveries(hub: Hub, count: int) -> list[Delivery]:
    """Create due deliveries of this many people without a wake-up."""
    for number in range(count):
        person(hub, number)
    hub.wait_until_idle()
    hub.wait_until_quiet()
    Delivery.objects.update(
        state=State.PENDING, due_at=timezone.now(), settled_at=None, attempts_used=0, last_number=9
    )
    return list(Delivery.objects.order_by("pk"))


def person(hub: Hub, number: int) -> None:
    """Create a person and post the webhook about them."""
    user = f"PERSON{number}"
    emails = [{"address": f"{user.lower()}@example.com", "verified": True}]
    hub.identity.directory.create_record("users", {"id": user, "username": user.lower(), "emails": emails})
    body = {"id": user, "entityType": "USER", "eventType": "CREATE", "respond": "ack"}
    assert hub.post(body).status_code == 202


def claim_all_at_once(deliveries: list[Delivery]) -> list[Claim]:
    """Claim each delivery on its own thread at the same moment."""
    ready = threading.Barrier(len(deliveries))

    def one(number: int) -> Claim | None:
        ready.wait(60)
        return claim_delivery(deliveries[number].pk)

    return [claim for claim in in_threads(one, len(deliveries)) if claim is not None]


def claim_each(deliveries: list[Delivery]) -> list[Claim]:
    """Claim one delivery after the other."""
    return [claim for delivery in deliveries if (claim := claim_delivery(delivery.pk)) is not None]


def release(claims: list[Claim]) -> None:
    """Release claims as if their processes had died."""
    for claim in claims:
        Delivery.objects.filter(pk=claim.delivery.pk).update(lease_until=timezone.now() - timedelta(hours=1))
        assert release_delivery(Delivery.objects.get(pk=claim.delivery.pk))


@pytest.mark.submission
@pytest.mark.parametrize(("slug", "at_once"), [("shop", 1), ("aurora", 3)])
def test_of_many_simultaneous_claims_exactly_the_limit_succeeds(hub: Hub, slug: str, at_once: int) -> None:
    deliveries = open_deliveries(hub, 6)
    limit(at_once, slug)
    claims = claim_all_at_once(deliveries)
    assert 1 <= len(claims) <= at_once
    claims += claim_each(deliveries)
    assert len(claims) == at_once
    column = "target_slot" if slug == "shop" else "identity_slot"
    used_slots = Delivery.objects.filter(state=State.RUNNING).values_list(column, flat=True)
    assert sorted(used_slots) == list(range(1, at_once + 1))
    release(claims)


def test_the_smaller_of_two_limits_counts(hub: Hub) -> None:
    deliveries = open_deliveries(hub, 6)
    limit(4, "shop")
    limit(2, "aurora")
    claims = claim_each(deliveries)
    assert len(claims) == 2
    release(claims)


def count_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let every process believe that it is alone."""

    class Nobody:
        def fetch_all(self, *_: Any) -> list[Any]:
            return []

    monkeypatch.setattr(
        concurrency_slots, "_TAKEN_SLOTS", dict.fromkeys(concurrency_slots._TAKEN_SLOTS, Nobody())
    )


@pytest.mark.submission
def test_the_database_enforces_the_limit_without_a_count(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    deliveries = open_deliveries(hub, 5)
    limit(2)
    count_nothing(monkeypatch)
    claims = claim_each(deliveries)
    assert 1 <= len(claims) <= 2
    release(claims)


@pytest.mark.submission
def test_a_slot_is_free_again_after_a_death(hub: Hub) -> None:
    first, second = open_deliveries(hub, 2)
    limit(1)
    held = claim_each([first])
    assert claim_delivery(second.pk) is None
    release(held)
    freed = claim_each([second])
    assert len(freed) == 1
    release(freed)


@pytest.mark.submission
def test_a_slot_is_free_again_after_a_failure(hub: Hub) -> None:
    open_deliveries(hub, 2)
    limit(1)
    hub.shop.faults.add("error", status=503, times=1)
    run_due_deliveries()
    ended = set(Delivery.objects.values_list("state", flat=True))
    assert State.RETRYING in ended, "none failed"
    assert ended & {State.SUCCEEDED, State.UNCHANGED}, "the other one was not woken"
    assert not Delivery.objects.exclude(target_slot=None).exists()


def test_without_a_limit_a_delivery_takes_no_slot(hub: Hub) -> None:
    hub.shop.faults.add("slow", seconds=30)
    person(hub, 0)
    wait_until(lambda: bool(hub.shop.read_journal()))
    assert Delivery.objects.values_list("identity_slot", "target_slot").get() == (None, None)
