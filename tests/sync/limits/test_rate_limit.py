"""A rate holds over all threads and processes: no window of any length sees more than its share and one burst."""

import itertools
import math
import os
import random
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace

import pytest
from django.db import connection, transaction
from django.db.models import DateTimeField, Value
from django.test.utils import CaptureQueriesContext

from connectors.exchange import OutgoingRequest
from sync.execution.connection_probes import _ProbeRecorder
from sync.limits.rate_limit import RateLimited, wait_for_turn
from sync.models import Connection
from tests.support.threads import in_threads
from webhooks.models import rate_limit
from webhooks.models.rate_limit import (
    LocalQuota,
    RateLimit,
    RateLimitExceeded,
    RateLimitState,
    forget_quotas,
    reserve_turn,
)

pytestmark = [pytest.mark.usefixtures("database"), pytest.mark.concurrent]

KEY = "connection:1"


class Clock:
    """The clock of the database and that of the process, which stand still unless a test moves them."""

    def __init__(self) -> None:
        self.seconds = 1000.0

    @property
    def now(self) -> datetime:
        return datetime(2030, 1, 1, tzinfo=UTC) + timedelta(seconds=self.seconds)

    def move(self, seconds: float) -> None:
        self.seconds += seconds


@pytest.fixture(autouse=True)
def clock(monkeypatch: pytest.MonkeyPatch) -> Iterator[Clock]:
    clock = Clock()
    monkeypatch.setattr(rate_limit, "database_now", lambda: Value(clock.now, DateTimeField()))
    monkeypatch.setattr(rate_limit, "time", SimpleNamespace(monotonic=lambda: clock.seconds))
    forget_quotas()
    yield clock
    forget_quotas()


def assert_within(rate: RateLimit, moments: list[float]) -> None:
    """Assert that no interval has more than the rate allows."""
    moments = sorted(moments)
    for first, last in itertools.combinations(range(len(moments)), 2):
        seconds = moments[last] - moments[first]
        assert last - first + 1 <= math.floor(rate.burst + rate.per_second * seconds + 1e-3)


@pytest.mark.parametrize(
    ("units", "granted"), [(1, 5), (2, 2), (5, 1)], ids=["one by one", "in pairs", "all at once"]
)
def test_a_burst_is_granted_at_once_and_then_only_the_rate(clock: Clock, units: int, granted: int) -> None:
    rate = RateLimit(0.1, 5)
    for _ in range(granted):
        assert RateLimitState.spend(KEY, units, rate, 0.0) == 0.0
    with pytest.raises(RateLimitExceeded) as refused:
        RateLimitState.spend(KEY, units, rate, 0.0)
    missing = granted * units + units - rate.burst
    assert refused.value.seconds == missing * 10
    clock.move(missing * 10)
    assert RateLimitState.spend(KEY, units, rate, 0.0) == 0.0


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
    assert refused.value.seconds == pytest.approx(rate_limit.MAX_WAIT + 0.01)


def test_each_place_in_the_queue_is_given_once(clock: Clock) -> None:
    rate = RateLimit(4.0, 1)
    waits = in_threads(lambda _: RateLimitState.spend(KEY, 1, rate, 5.0), 16)
    assert sorted(waits) == [place / 4 for place in range(16)]
    assert RateLimitState.objects.get().free_at == clock.now + timedelta(seconds=4)


@pytest.mark.submission
@pytest.mark.parametrize(
    ("per_second", "burst"), [(60.0, 12), (200.0, 40), (400.0, 80)], ids=["60/s", "200/s", "400/s"]
)
def test_shares_of_several_processes_stay_within_one_rate(
    clock: Clock, per_second: float, burst: int
) -> None:
    """Each share is that of a process; they spend in an order drawn at random, twice as often as they may."""
    rate, dice = RateLimit(per_second, burst), random.Random(20261201)
    shares = [LocalQuota(KEY, rate) for _ in range(4)]
    moments = []
    until = clock.seconds + 1.0
    while clock.seconds < until:
        try:
            wait = dice.choice(shares).spend_one(0.0)
        except RateLimitExceeded:
            pass
        else:
            assert wait == 0.0
            moments.append(clock.seconds)
        clock.move(dice.random() / per_second)
    assert_within(rate, moments)
    assert len(moments) >= per_second * 0.4, "most of the rate can be used"


def test_late_requests_do_not_add_to_the_burst(clock: Clock) -> None:
    rate = RateLimit(50.0, 10)
    patient = LocalQuota(KEY, rate)
    patient._size = 5
    patient.spend_one(0.0)
    clock.move(0.09)  # the rest of its share is almost too old
    moments = [clock.seconds - 0.09]
    for share in (patient, *(LocalQuota(KEY, rate) for _ in range(20))):
        try:
            for _ in range(rate.burst):
                share.spend_one(0.0)
                moments.append(clock.seconds)
        except RateLimitExceeded:
            continue
    assert len(moments) > 1
    assert_within(rate, moments)


def test_an_unused_share_expires(clock: Clock) -> None:
    share = LocalQuota(KEY, RateLimit(100.0, 20))
    while share._left == 0:
        share.spend_one(1.0)
    free_at = RateLimitState.objects.get().free_at
    clock.move(0.2)
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
    assert refused.value.seconds == 20.0


def test_a_changed_rate_counts_at_once(clock: Clock) -> None:
    reserve_turn(KEY, RateLimit(0.01, 1), 0.0)
    with pytest.raises(RateLimitExceeded):
        reserve_turn(KEY, RateLimit(0.01, 1), 0.0)
    RateLimitState.objects.update(free_at=clock.now)
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
    system, waits = Connection(pk=7, requests_per_second=20.0), list[float]()
    monkeypatch.setattr("sync.limits.rate_limit.time", SimpleNamespace(sleep=waits.append))
    for _ in range(16):
        wait_for_turn(system, 20.0, 5.0)
    assert_within(RateLimit(20.0, 4), [0.0] * (16 - len(waits)) + waits)
    assert 0.5 <= max(waits) <= 16 / 20


@pytest.mark.parametrize("max_seconds", [0.5, -3.0])
def test_a_rate_limit_wait_that_is_too_long_is_refused_with_its_length(max_seconds: float) -> None:
    system = Connection(pk=8, requests_per_second=0.05)
    wait_for_turn(system, 0.05, max_seconds)
    with pytest.raises(RateLimited) as refused:
        wait_for_turn(system, 0.05, max_seconds)
    assert refused.value.seconds == 20.0


def test_a_connection_without_a_limit_costs_no_statement() -> None:
    request = OutgoingRequest("probe", "GET", "https://a.test/", "/", {}, None, None, is_write=False)
    recorder = _ProbeRecorder(Connection(pk=9))
    with CaptureQueriesContext(connection) as queries:
        recorder.record_request(request)
    assert len(queries) == 0
