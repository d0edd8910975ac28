"""The counts of a circuit breaker: the failures that open it, the length of its pauses, and its probes afterwards."""

import random
from collections.abc import Callable, Mapping

import pytest
from django.db import transaction

from sync.limits import circuit_breaker
from sync.limits.circuit_breaker import (
    RequestEvidence,
    SystemFailure,
    allowed_deliveries,
    invalidate_breakers,
    is_system_failure,
    record_failure,
    record_success,
)
from sync.models import Breaker, Connection
from tests.support.builders.history import a_route, a_source
from tests.support.circuit_breakers import end_pause
from tests.support.people import entries

LIMIT = Connection._meta.get_field("breaker_failures").default
ATTEMPT = ("search", "search", "create")
SEED = 20261128


def count_attempts_until_open(fails: Callable[[str], bool], attempts: int) -> int | None:
    """Return the number of attempts after which the breaker opens; None if it stays closed."""
    counts: Mapping[str, int] = {}
    for number in range(1, attempts + 1):
        answered: set[str] = set()
        failed = ""
        for purpose in ATTEMPT:
            if fails(purpose):
                failed = purpose
                break
            answered.add(purpose)
        evidence = RequestEvidence(frozenset(answered), failed, has_succeeded=not failed)
        counts = circuit_breaker.count_failures(counts, evidence, is_failure=bool(failed))
        if max(counts.values(), default=0) >= LIMIT:
            return number
    return None


def fail_at_random(share: float) -> Callable[[str], bool]:
    chance = random.Random(SEED)
    return lambda _: chance.random() < share


@pytest.mark.pure
def test_a_breaker_stays_closed_while_30_percent_of_the_requests_fail() -> None:
    """Two thirds of the attempts fail then."""
    assert count_attempts_until_open(fail_at_random(0.3), 10_000) is None


@pytest.mark.pure
@pytest.mark.parametrize("share", [0.7, 0.95])
def test_a_breaker_opens_soon_if_most_requests_fail(share: float) -> None:
    number = count_attempts_until_open(fail_at_random(share), 1000)
    assert number is not None
    assert number <= 10 * LIMIT


@pytest.mark.pure
@pytest.mark.parametrize("failing", [ATTEMPT, ("search",), ("create",)])
def test_a_breaker_opens_at_its_limit_if_all_requests_of_a_purpose_fail(failing: tuple[str, ...]) -> None:
    assert count_attempts_until_open(lambda purpose: purpose in failing, 1000) == LIMIT


@pytest.mark.pure
def test_counts_of_purposes_that_an_attempt_did_not_need_end_with_a_success() -> None:
    counts = {"search": 2, "create": 1, "get": 3}
    proven = RequestEvidence(frozenset({"get", "update"}), has_succeeded=True)
    assert circuit_breaker.count_failures(counts, proven, is_failure=False) == {"get": 1}
    unproven = RequestEvidence(frozenset({"get"}))
    assert circuit_breaker.count_failures(counts, unproven, is_failure=False) == {
        "search": 2,
        "create": 1,
        "get": 1,
    }


@pytest.mark.pure
def test_a_response_of_the_token_endpoint_is_not_one_of_the_system() -> None:
    assert not RequestEvidence(frozenset({"token"})).has_answered
    assert RequestEvidence(frozenset({"token", "get"})).has_answered


@pytest.mark.pure
def test_failures_of_a_system_are_those_of_all_its_entities() -> None:
    for word in ("unavailable", "timeout", "throttled", "credentials"):
        assert is_system_failure(f"identity-{word}")
        assert is_system_failure(f"target-{word}")
        assert not is_system_failure(f"hub-{word}")
    assert not is_system_failure("target-rejected")


@pytest.fixture
def shop(database: None) -> Connection:
    """Return a connection whose breaker opens at the first failure, for a minute."""
    target = a_route(a_source()).target
    Connection.objects.filter(pk=target.pk).update(breaker_failures=1, breaker_seconds=60)
    return Connection.objects.get(pk=target.pk)


def fail(
    shop: Connection, retry_after: float | None = None, *, answered: frozenset[str] = frozenset()
) -> None:
    failure = SystemFailure("target-unavailable", retry_after)
    with transaction.atomic():
        record_failure(shop, failure, RequestEvidence(answered, "create"))


def succeed(shop: Connection) -> None:
    with transaction.atomic():
        record_success(shop, RequestEvidence(frozenset({"search", "create"}), has_succeeded=True))


def pauses() -> list[int]:
    """Return the seconds of all pauses, from the audit log."""
    return [entry["details"]["seconds"] for entry in entries("connection.paused")]


def test_pauses_grow_up_to_ten_minutes_and_are_spread_by_a_fifth(shop: Connection) -> None:
    for _ in range(7):
        fail(shop)
        end_pause()
    for seconds, usual in zip(pauses(), (60, 120, 240, 480, 600, 600, 600), strict=True):
        assert usual * 0.79 <= seconds <= usual * 1.21


@pytest.mark.parametrize(("asked", "least", "most"), [(10, 48, 72), (120, 120, 120), (86_400, 600, 600)])
def test_a_pause_follows_retry_after_up_to_ten_minutes(
    shop: Connection, asked: int, least: int, most: int
) -> None:
    fail(shop, asked)
    [seconds] = pauses()
    assert least <= seconds <= most
    opened = Breaker.objects.get()
    length = (opened.open_until - opened.opened_at).total_seconds() - circuit_breaker.PROBE_AHEAD_SECONDS
    assert length == pytest.approx(seconds, abs=1)


def test_each_success_after_a_pause_allows_one_more_delivery_until_the_breaker_closes(
    shop: Connection,
) -> None:
    assert allowed_deliveries(shop) is None
    fail(shop)
    succeed(shop)  # of an attempt that began before
    assert allowed_deliveries(shop) == 0
    end_pause()
    invalidate_breakers()
    allowed = []
    for _ in range(8):
        allowed.append(allowed_deliveries(shop))
        succeed(shop)
    assert allowed == [1, 2, 3, 4, 5, 6, 7, 8]
    assert allowed_deliveries(shop) is None
    closed = Breaker.objects.get()
    assert (closed.open_until, closed.failures, closed.openings, closed.code) == (None, 0, 0, "")
    assert len(entries("connection.resumed")) == 1


@pytest.mark.submission_rows(2)
@pytest.mark.parametrize(
    ("successes", "answers", "failures"), [(0, False, 1), (0, True, 4), (1, True, 7), (3, True, 13)]
)
def test_a_half_open_breaker_allows_failures_while_the_system_answers(
    shop: Connection, successes: int, answers: bool, failures: int
) -> None:
    fail(shop)
    end_pause()
    for _ in range(successes):
        succeed(shop)
    answered = frozenset({"search"}) if answers else frozenset[str]()
    while len(pauses()) == 1:
        fail(shop, answered=answered)
        failures -= 1
    assert failures == 0
    again = Breaker.objects.get()
    assert (again.successes, again.probe_failures, again.has_answered) == (0, 0, False)
    # Pauses grow only while no delivery succeeds.
    assert again.openings == (1 if successes else 2)
