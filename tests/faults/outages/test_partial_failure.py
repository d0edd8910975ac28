"""A shop that fails at random gets all the deliveries that it can answer; one that is down is left in peace."""

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from sync.limits.circuit_breaker import PROBE_AHEAD_SECONDS
from sync.models import Attempt, Breaker, Connection, Delivery
from tests.faults.variants.process_variants import environment
from tests.support.hub import Hub
from tests.support.processes.workers import running_workers, wait_until
from tests.support.unfinished_deliveries import close_open_deliveries
from webhooks.models import State

pytestmark = [pytest.mark.faults, pytest.mark.worker_processes]

BACKLOG, THREADS = 240, 8
# The latency of the shop limits the throughput, not this machine.
LATENCY_SECONDS = 0.15
FAILING_SHARE = 0.3
# Requests to the shop for each new customer: two searches, and the write.
REQUESTS = 3
# Of what the failing share allows.
MIN_SHARE = 0.6
# The last deliveries wait for their back-off, whatever the breaker does.
MEASURED_SHARE = 0.75
WRITES = ("POST",)


@dataclass(frozen=True, slots=True)
class Throughput:
    """The deliveries that succeeded within some seconds, and the attempts that it took."""

    succeeded: int
    seconds: float
    attempts: int

    @property
    def per_second(self) -> float:
        return self.succeeded / self.seconds


@pytest.fixture
def backlogged(hub: Hub, settings: Any) -> Iterator[Hub]:
    """Yield a hub that leaves deliveries to workers."""
    settings.WAKE_WORKERS = settings.LEFT_TO_WORKERS
    yield hub
    hub.shop.faults.clear()
    close_open_deliveries()


def create_backlog(hub: Hub, prefix: str, size: int = BACKLOG) -> None:
    for number in range(size):
        user = f"{prefix}{number}"
        emails = [{"address": f"{user.lower()}@example.com", "verified": True}]
        hub.identity.directory.create_record(
            "users", {"id": user, "username": user.lower(), "emails": emails}
        )
        body = {"id": user, "entityType": "USER", "eventType": "CREATE", "respond": "ack"}
        assert hub.post(body).status_code == 202


def break_requests(hub: Hub, share: float, methods: Sequence[str] | None) -> None:
    """Let the shop answer late, and fail this share of its requests: two thirds with 503, the others without a response."""
    hub.shop.faults.add("slow", seconds=LATENCY_SECONDS)
    if share:
        errors = share * 2 / 3
        hub.shop.faults.add("error", status=503, probability=errors, methods=methods)
        # Of the requests that are left.
        hub.shop.faults.add("drop", probability=share / 3 / (1 - errors), methods=methods)


@contextmanager
def worker(folder: Path, variant: str | None = None) -> Iterator[None]:
    variables = environment(folder, variant) | {"DELIVERY_THREADS": str(THREADS)}
    with running_workers(0.2, **variables):
        yield


def measure_throughput(
    hub: Hub,
    prefix: str,
    folder: Path,
    share: float = 0.0,
    methods: Sequence[str] | None = None,
    max_seconds: float = 120.0,
    variant: str | None = None,
) -> Throughput:
    """Let a worker deliver most of a backlog to a shop that fails at random; stop after `max_seconds`."""
    create_backlog(hub, prefix)
    succeeded = Delivery.objects.filter(entity_id__startswith=prefix, state=State.SUCCEEDED)
    break_requests(hub, share, methods)
    before = Attempt.objects.count()
    with worker(folder, variant):
        began = time.monotonic()
        while (count := succeeded.count()) < MEASURED_SHARE * BACKLOG:
            if time.monotonic() > began + max_seconds:
                break
            time.sleep(0.1)
        seconds = time.monotonic() - began
    hub.shop.faults.clear()
    close_open_deliveries()
    measured = Throughput(count, seconds, Attempt.objects.count() - before)
    print(f"\n{prefix} {share:.0%} failing: {measured}, {measured.per_second:.2f} deliveries a second")
    return measured


@pytest.mark.one_database
def test_a_shop_that_fails_at_random_gets_most_of_what_its_failing_share_allows(
    backlogged: Hub, tmp_path: Path
) -> None:
    healthy = measure_throughput(backlogged, "HEALTHY", tmp_path).per_second
    for prefix, methods, failing in (("WRITES", WRITES, 1), ("ALL", None, REQUESTS)):
        # An attempt succeeds if none of its requests fails.
        least = MIN_SHARE * (1 - FAILING_SHARE) ** failing * healthy
        # Slower than that, it would not succeed any more.
        longest = MEASURED_SHARE * BACKLOG / least
        figures = measure_throughput(backlogged, prefix, tmp_path, FAILING_SHARE, methods, longest)
        assert figures.per_second >= least
        assert not Breaker.objects.filter(openings__gt=1).exists()


@pytest.mark.one_database
def test_a_breaker_that_counts_attempts_in_a_row_is_caught_by_its_throughput(
    backlogged: Hub, tmp_path: Path
) -> None:
    Connection.objects.update(breaker_failures=5)
    healthy = measure_throughput(backlogged, "HEALTHY", tmp_path).per_second
    failing = measure_throughput(
        backlogged, "ALL", tmp_path, FAILING_SHARE, max_seconds=30.0, variant="failures-in-a-row"
    )
    assert failing.per_second < MIN_SHARE * (1 - FAILING_SHARE) ** REQUESTS * healthy


# A system that is down

LIMIT, FIRST_PAUSE = 10, 4
DOWN_SECONDS = 12.0
WAITING = 60


def count_attempts_while_down(
    hub: Hub, folder: Path, variant: str | None = None, enough: float = float("inf")
) -> Iterator[int]:
    """Yield the attempts of the first seconds of an outage, or `enough` as soon as so many are made.

    The worker is still running then.
    """
    Connection.objects.update(breaker_failures=LIMIT, breaker_seconds=FIRST_PAUSE)
    hub.shop.faults.add("error", status=503)
    create_backlog(hub, "DOWN", WAITING)
    with worker(folder, variant):
        wait_until(lambda: Attempt.objects.count() >= LIMIT)
        with suppress(AssertionError):
            wait_until(lambda: Attempt.objects.count() >= enough, DOWN_SECONDS)
        yield Attempt.objects.count()


def test_a_shop_that_is_down_gets_few_requests_and_is_delivered_to_when_its_pause_ends(
    backlogged: Hub, tmp_path: Path
) -> None:
    for attempts in count_attempts_while_down(backlogged, tmp_path):
        paused = Breaker.objects.get(connection__slug="shop")
        assert paused.open_until is not None
        assert paused.openings >= 2, "the shop was not tried again"
        # Those under way when it opened, and one for each pause if the worker had no time for its probe.
        assert attempts <= LIMIT + THREADS + paused.openings
        assert len(backlogged.shop.read_journal()) <= attempts + 2 * paused.openings
        backlogged.shop.faults.clear()
        left = max(0.0, paused.open_until.timestamp() - time.time())
        began = time.monotonic()
        # Deliveries that failed last go last.
        longest = left + 2 * PROBE_AHEAD_SECONDS + 30.0
        wait_until(lambda: not Delivery.objects.exclude(state=State.SUCCEEDED).exists(), longest)
        print(f"\n{attempts} attempts; pause {left:.1f} s, delivered {time.monotonic() - began:.1f} s later")
        assert Breaker.objects.get(connection__slug="shop").open_until is None


@pytest.mark.one_database
def test_a_hub_without_a_breaker_is_caught_by_its_attempts(backlogged: Hub, tmp_path: Path) -> None:
    most = LIMIT + THREADS + 4
    for attempts in count_attempts_while_down(backlogged, tmp_path, "no-breaker", enough=most + 1):
        assert attempts > most
