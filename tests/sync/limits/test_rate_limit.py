"""A rate holds over all threads and processes: no window of any length sees more than its share and one burst."""

import contextlib
import itertools
import math
import os
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from types import SimpleNamespace
from typing import Any

import pytest
from django.db import connection, connections, transaction
from django.test.utils import CaptureQueriesContext

from database.clock import database_now
from sync.connectors.client.exchange import OutgoingRequest
from sync.execution.connection_probes import _ProbeRecorder
from sync.limits.rate_limit import RateLimited, wait_for_turn
from sync.models import Connection
from webhooks.models import rate_limit
from webhooks.models.rate_limit import (
    LocalQuota,
    RateLimit,
    RateLimitExceeded,
    RateLimitState,
    forget_quotas,
    reserve_turn,
)

pytestmark = pytest.mark.usefixtures("database")

KEY = "connection:1"


@pytest.fixture(autouse=True)
def _nothing_held() -> Iterator[None]:
    forget_quotas()
    yield
    forget_quotas()


def at_once(run: Any, threads: int) -> list[Any]:
    """Return the results of `run` on this many threads, each with its own database connection."""

    def one(number: int) -> Any:
        try:
            return run(number)
        finally:
            connections.close_all()

    with ThreadPoolExecutor(threads) as pool:
        return list(pool.map(one, range(threads)))


def assert_within(rate: RateLimit, moments: list[float], slack: float = 0.0) -> None:
    """Assert that no interval has more than the rate allows; `slack` seconds for slow threads."""
    moments = sorted(moments)
    for first, last in itertools.combinations(range(len(moments)), 2):
        seconds = moments[last] - moments[first] + slack
        assert last - first + 1 <= math.floor(rate.burst + rate.per_second * seconds + 1e-6)


@pytest.mark.parametrize(
    ("units", "granted"), [(1, 5), (2, 2), (5, 1)], ids=["one by one", "in pairs", "all at once"]
)
def test_a_burst_is_granted_at_once_and_then_only_the_rate(units: int, granted: int) -> None:
    rate = RateLimit(0.1, 5)
    for _ in range(granted):
        assert RateLimitState.spend(KEY, units, rate, 0.0) == 0.0
    with pytest.raises(RateLimitExceeded) as refused:
        RateLimitState.spend(KEY, units, rate, 0.0)
    missing = granted * units + units - rate.burst
    assert refused.value.seconds == pytest.approx(missing * 10, abs=5)


def test_units_are_reserved_for_callers_that_may_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rate_limit, "MAX_WAIT", 1000.0)
    rate = RateLimit(0.05, 1)
    waits = [RateLimitState.spend(KEY, 1, rate, 100.0) for _ in range(4)]
    assert waits == pytest.approx([0, 20, 40, 60], abs=10)


def test_a_refused_request_uses_no_share() -> None:
    rate = RateLimit(0.05, 1)
    RateLimitState.spend(KEY, 1, rate, 0.0)
    before = RateLimitState.objects.get().free_at
    for _ in range(5):
        with pytest.raises(RateLimitExceeded):
            RateLimitState.spend(KEY, 1, rate, 0.5)
    assert RateLimitState.objects.get().free_at == before


def test_a_higher_limit_counts_from_now_and_not_after_the_old_one_is_paid_off() -> None:
    slow, fast = RateLimit(0.01, 10), RateLimit(100.0, 10)
    for _ in range(10):
        RateLimitState.spend(KEY, 1, slow, 0.0)
    with pytest.raises(RateLimitExceeded) as refused:
        RateLimitState.spend(KEY, 1, fast, 0.0)
    assert refused.value.seconds <= rate_limit.MAX_WAIT + 0.1


def test_simultaneous_threads_never_get_more_than_the_burst() -> None:
    rate = RateLimit(0.01, 7)

    def ask(_: int) -> int:
        try:
            RateLimitState.spend(KEY, 1, rate, 0.0)
        except RateLimitExceeded:
            return 0
        return 1

    assert sum(at_once(ask, 24)) == 7


def test_each_place_in_the_queue_is_given_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rate_limit, "MAX_WAIT", 1000.0)
    rate = RateLimit(0.05, 1)
    waits = at_once(lambda _: RateLimitState.spend(KEY, 1, rate, 400.0), 16)
    assert sorted(waits) == pytest.approx([20 * place for place in range(16)], abs=10)
    assert (RateLimitState.objects.get().free_at - _now()).total_seconds() <= 320


def _now() -> datetime:
    return RateLimitState.objects.values_list(database_now()).get()[0]


@pytest.mark.parametrize(
    ("per_second", "burst"), [(60.0, 12), (200.0, 40), (400.0, 80)], ids=["60/s", "200/s", "400/s"]
)
def test_shares_of_several_processes_stay_within_one_rate(per_second: float, burst: int) -> None:
    """Each thread represents a process with its own share."""
    rate = RateLimit(per_second, burst)
    shares = [LocalQuota(KEY, rate) for _ in range(4)]
    until = time.monotonic() + 1.0

    def spend(number: int) -> list[float]:
        moments = []
        while time.monotonic() < until:
            try:
                wait = shares[number].spend_one(0.0)
            except RateLimitExceeded as refusal:
                time.sleep(min(refusal.seconds, 0.02))
            else:
                assert wait == 0.0
                moments.append(time.monotonic())
        return moments

    moments = [moment for part in at_once(spend, len(shares)) for moment in part]
    assert_within(rate, moments, slack=0.1)
    assert len(moments) >= per_second * 0.4, "most of the rate can be used"


def test_late_requests_do_not_add_to_the_burst() -> None:
    rate = RateLimit(50.0, 10)
    patient = LocalQuota(KEY, rate)
    patient._size = 5
    patient.spend_one(0.0)
    RateLimitState.objects.update(free_at=_now() - timedelta(seconds=1))  # as if its time had almost passed
    began, spent = time.monotonic(), 0
    for share in (patient, *(LocalQuota(KEY, rate) for _ in range(20))):
        with contextlib.suppress(RateLimitExceeded):
            share.spend_one(0.0)
            spent += 1
            while share._left:
                share.spend_one(0.0)
                spent += 1
    assert spent <= rate.burst + rate.per_second * (time.monotonic() - began) + 1e-6


def test_an_unused_share_expires() -> None:
    share = LocalQuota(KEY, RateLimit(100.0, 20))
    while share._left == 0:
        share.spend_one(1.0)
    free_at = RateLimitState.objects.get().free_at
    share._ends = time.monotonic()
    share.spend_one(1.0)
    assert RateLimitState.objects.get().free_at > free_at


def test_a_high_rate_costs_few_statements() -> None:
    rate = RateLimit(2_000.0, 400)
    with CaptureQueriesContext(connection) as queries:
        for _ in range(300):
            reserve_turn(KEY, rate, 1.0)
    assert len(queries) < 100


def test_refused_requests_cost_no_statement() -> None:
    rate = RateLimit(0.05, 1)
    reserve_turn(KEY, rate, 0.0)
    with pytest.raises(RateLimitExceeded):
        reserve_turn(KEY, rate, 0.0)
    with CaptureQueriesContext(connection) as queries:
        for _ in range(100):
            with pytest.raises(RateLimitExceeded) as refused:
                reserve_turn(KEY, rate, 0.0)
    assert len(queries) == 0
    assert 10 < refused.value.seconds <= 20


def test_a_changed_rate_counts_at_once() -> None:
    reserve_turn(KEY, RateLimit(0.01, 1), 0.0)
    with pytest.raises(RateLimitExceeded):
        reserve_turn(KEY, RateLimit(0.01, 1), 0.0)
    RateLimitState.objects.update(free_at=_now() - timedelta(seconds=1))
    assert reserve_turn(KEY, RateLimit(50.0, 10), 0.0) == 0.0


def test_a_forked_child_does_not_use_the_share_of_its_parent() -> None:
    rate = RateLimit(100.0, 20)
    while not (KEY in rate_limit._quotas and rate_limit._quotas[KEY]._left):
        reserve_turn(KEY, rate, 1.0)
    child = os.fork()
    if not child:
        os._exit(len(rate_limit._quotas))
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert rate_limit._quotas


def test_a_grant_is_not_part_of_the_callers_transaction() -> None:
    with transaction.atomic(), pytest.raises(RuntimeError):
        RateLimitState.spend(KEY, 1, RateLimit(1.0, 1), 0.0)


def test_requests_to_a_limited_system_wait_for_their_turn(monkeypatch: pytest.MonkeyPatch) -> None:
    """A thread that wakes up late had its turn in time."""
    system, turns = Connection(pk=7, requests_per_second=20.0), list[float]()
    base = time.monotonic()

    def sleep(seconds: float) -> None:
        turns.append(time.monotonic() - base + seconds)
        time.sleep(seconds)

    def ask(_: int) -> float:
        wait_for_turn(system, 20.0, 5.0)
        return time.monotonic() - base

    monkeypatch.setattr("sync.limits.rate_limit.time", SimpleNamespace(sleep=sleep))
    moments = sorted(at_once(ask, 16))
    assert moments[-1] >= max(turns, default=0.0)
    assert_within(RateLimit(20.0, 4), [*moments[: 16 - len(turns)], *turns], slack=0.25)
    assert max(turns, default=0.0) < 4.0


@pytest.mark.parametrize("max_seconds", [0.5, 0.0, -3.0])
def test_a_rate_limit_wait_that_is_too_long_is_refused_with_its_length(max_seconds: float) -> None:
    system = Connection(pk=8, requests_per_second=0.05)
    wait_for_turn(system, 0.05, max_seconds)
    began = time.monotonic()
    with pytest.raises(RateLimited) as refused:
        wait_for_turn(system, 0.05, max_seconds)
    assert 10.0 < refused.value.seconds <= 20.0
    assert time.monotonic() - began < 9


def test_a_connection_without_a_limit_costs_no_statement() -> None:
    request = OutgoingRequest("probe", "GET", "https://a.test/", "/", {}, None, None, is_write=False)
    recorder = _ProbeRecorder(Connection(pk=9))
    with CaptureQueriesContext(connection) as queries:
        recorder.record_request(request)
    assert len(queries) == 0
