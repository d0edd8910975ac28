"""An outage of the shop of ten minutes uses up no retries, and the shop is not overloaded when it is back.

The test does not wait ten minutes: it moves every time in the tables back instead.
"""

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import pytest
from django.db.models import F, Sum

from sync.models import Attempt, Breaker, Connection, Delivery
from tests.support.hub import Hub
from tests.support.processes.workers import running_workers, wait_until
from tests.support.unfinished_deliveries import close_open_deliveries
from webhooks.models import Event, State
from webhooks.models.rate_limit import RateLimitState, forget_quotas

pytestmark = [
    pytest.mark.faults,
    pytest.mark.nightly,
    pytest.mark.worker_processes,
    pytest.mark.concurrent,
]

WAITING = 300
PER_SECOND = 90.0
FAILURES, SECONDS = 5, 60  # the pause must last until a slow machine has posted all webhooks
OUTAGE, STEP = timedelta(minutes=10), timedelta(seconds=10)


@dataclass(frozen=True, slots=True)
class Figures:
    """The number of retries used, of attempts, and of attempts that reached the shop."""

    attempts_used: int
    attempts: int
    asked: int

    @classmethod
    def read(cls, hub: Hub) -> "Figures":
        attempts_used = Delivery.objects.aggregate(sum=Sum("attempts_used"))["sum"]
        request_count = len({request["attempt"] for request in hub.shop.read_journal()})
        return cls(attempts_used, Attempt.objects.count(), request_count)


@pytest.fixture
def protected(hub: Hub, settings: Any) -> Iterator[Hub]:
    """Yield a hub that leaves deliveries to workers, with the limits of the shop configured."""
    forget_quotas()
    settings.WAKE_WORKERS = settings.LEFT_TO_WORKERS
    Connection.objects.filter(slug="shop").update(
        requests_per_second=PER_SECOND, breaker_failures=FAILURES, breaker_seconds=SECONDS
    )
    yield hub
    forget_quotas()
    close_open_deliveries()


def create_and_send(hub: Hub, numbers: Sequence[int]) -> None:
    """Create people and post a webhook for each that does not wait for the outcome."""
    for number in numbers:
        user = f"PERSON{number}"
        emails = [{"address": f"{user.lower()}@example.com", "verified": True}]
        hub.identity.directory.create_record(
            "users", {"id": user, "username": user.lower(), "emails": emails}
        )
        body = {"id": user, "entityType": "USER", "eventType": "CREATE", "respond": "ack"}
        assert hub.post(body).status_code == 202


def pass_time(step: timedelta) -> None:
    """Move all times of waiting deliveries, breakers and rate limits back by `step`."""
    # Not of running deliveries: changing their rows could block a process that claims the same slot.
    waiting = Delivery.objects.filter(state=State.RETRYING)
    waiting.update(due_at=F("due_at") - step, opened_at=F("opened_at") - step)
    Breaker.objects.filter(open_until__isnull=False).update(
        open_until=F("open_until") - step, opened_at=F("opened_at") - step
    )
    RateLimitState.objects.update(free_at=F("free_at") - step)


def wait_out_the_outage(step_pause: float = 0.05) -> None:
    """Let ten minutes pass in steps; wait in each step until its probes are made."""
    for _ in range(OUTAGE // STEP):
        pass_time(STEP)
        time.sleep(step_pause)
        wait_until(lambda: not _probes_now())


def _probes_now() -> bool:
    """Return True if a delivery is running or the breaker allows a probe now."""
    if Delivery.objects.filter(state=State.RUNNING).exists():
        return True
    open_breaker = Breaker.objects.filter(connection__slug="shop", open_until__isnull=False).first()
    return open_breaker is not None and open_breaker.open_until.timestamp() <= time.time()


def are_all_done() -> bool:
    return not Delivery.objects.exclude(state__in=[State.SUCCEEDED, State.UNCHANGED]).exists()


def busiest_second(hub: Hub) -> int:
    """Return the largest number of requests that began within one second, from the shop's journal."""
    moments = sorted(request["started"] for request in hub.shop.read_journal())
    most = first = 0
    for last, moment in enumerate(moments):
        while moments[first] < moment - 1.0:
            first += 1
        most = max(most, last - first + 1)
    return most


def break_shop(hub: Hub) -> None:
    """Let the shop fail until its breaker is open."""
    hub.shop.faults.add("error", status=503)
    create_and_send(hub, range(FAILURES))
    wait_until(lambda: Breaker.objects.filter(open_until__isnull=False).exists())
    wait_until(lambda: not Delivery.objects.filter(state__in=[State.PENDING, State.RUNNING]).exists())


@pytest.mark.one_engine  # a breaker does not depend on the engine, whose polls the mix of all answers shows
def test_an_outage_of_ten_minutes_uses_no_retries_and_ends_without_a_burst_of_requests(
    protected: Hub,
) -> None:
    with running_workers(0.2, count=2, CONFIGURATION_SECONDS="1", DELIVERY_THREADS="8"):
        break_shop(protected)
        create_and_send(protected, range(FAILURES, WAITING))
        wait_until(lambda: not Delivery.objects.filter(state=State.PENDING).exists())
        before, openings = Figures.read(protected), Breaker.objects.get().openings
        wait_out_the_outage()
        after, probes = Figures.read(protected), Breaker.objects.get().openings - openings
        assert Delivery.objects.filter(state=State.RETRYING).count() == WAITING
        protected.shop.faults.clear()
        protected.shop.request_journal.clear()
        pass_time(timedelta(minutes=12))
        wait_until(are_all_done, 120)
    busiest, requests = busiest_second(protected), len(protected.shop.read_journal())
    print(
        f"\n{WAITING} deliveries; before {before}, after {after}, {probes} probes;"
        f" {requests} requests, at most {busiest} in a second of {PER_SECOND:g}"
    )
    assert probes >= 2, "the breaker never tried the shop again"
    assert after.attempts_used == before.attempts_used
    # Most probes are reads of a worker, which belong to no attempt. Moving times also moves the end of a probe's turn, so a
    # second delivery may pass before the first one has failed.
    assert after.attempts <= before.attempts + 2 * probes
    assert probes <= after.asked - before.asked <= 2 * probes
    assert busiest <= 1.5 * PER_SECOND
    assert busiest >= 0.5 * PER_SECOND, "the drain was too slow to show anything"
    assert set(Event.objects.values_list("state", flat=True)) <= {State.SUCCEEDED, State.UNCHANGED}
    assert len(protected.shop.list_records("customers")) >= WAITING
    assert Breaker.objects.get().open_until is None
