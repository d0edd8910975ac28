"""The count of failures that opens a circuit breaker, over thousands of simulated attempts."""

import random
from collections.abc import Callable, Mapping

import pytest

from sync.limits import circuit_breaker
from sync.limits.circuit_breaker import RequestEvidence
from sync.models import Connection

pytestmark = pytest.mark.pure

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


def test_a_breaker_stays_closed_while_30_percent_of_the_requests_fail() -> None:
    """Two thirds of the attempts fail then."""
    assert count_attempts_until_open(fail_at_random(0.3), 10_000) is None


@pytest.mark.parametrize("share", [0.7, 0.8, 0.95])
def test_a_breaker_opens_soon_if_most_requests_fail(share: float) -> None:
    number = count_attempts_until_open(fail_at_random(share), 1000)
    assert number is not None
    assert number <= 10 * LIMIT


@pytest.mark.parametrize("failing", [ATTEMPT, ("search",), ("create",)])
def test_a_breaker_opens_at_its_limit_if_all_requests_of_a_purpose_fail(failing: tuple[str, ...]) -> None:
    assert count_attempts_until_open(lambda purpose: purpose in failing, 1000) == LIMIT


def count_in_a_row(counts: Mapping[str, int], _: RequestEvidence, *, is_failure: bool) -> dict[str, int]:
    """Count attempts that fail one after the other."""
    return {"": counts.get("", 0) + 1} if is_failure else {}


def test_a_breaker_that_counts_failed_attempts_in_a_row_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(circuit_breaker, "count_failures", count_in_a_row)
    number = count_attempts_until_open(fail_at_random(0.3), 10_000)
    assert number is not None


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


def test_a_response_of_the_token_endpoint_is_not_one_of_the_system() -> None:
    assert not RequestEvidence(frozenset({"token"})).has_answered
    assert RequestEvidence(frozenset({"token", "get"})).has_answered
