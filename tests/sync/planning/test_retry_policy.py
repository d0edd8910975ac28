"""The time of a retry: later each time, random, bounded, never before Retry-After, or never."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sync.planning.retry_policy import RetryPolicy, next_retry_delay

pytestmark = pytest.mark.pure

PATIENT = RetryPolicy(max_attempts=50_000, max_age_seconds=1e9, base_seconds=2.0, cap_seconds=3600.0)


POLICIES = st.builds(
    RetryPolicy,
    max_attempts=st.integers(1, 100),
    max_age_seconds=st.floats(1, 1e6),
    base_seconds=st.floats(0.1, 60),
    cap_seconds=st.floats(1, 1e5),
)


def delay(attempts: int, jitter: float, retry_after: float | None = None) -> float:
    delay = next_retry_delay(PATIENT, attempts, 0.0, jitter, retry_after)
    assert delay is not None
    return delay


@pytest.mark.promise("I10")
@pytest.mark.parametrize(
    ("attempts", "earliest", "latest"),
    [
        (1, 1, 4),
        (3, 1, 16),
        (10, 1, 2048),
        (11, 1, 3600),
        (40_000, 1, 3600),
    ],
)
def test_the_random_delay_doubles_with_each_retry_up_to_its_cap(
    attempts: int, earliest: float, latest: float
) -> None:
    assert delay(attempts, 0.0) == earliest
    assert delay(attempts, math.nextafter(1, 0)) == pytest.approx(latest)


@pytest.mark.promise("I10")
@pytest.mark.parametrize(
    ("retry_after", "expected"),
    [
        (None, 2.5),
        (2.6, 2.6),
        (86_400.0, 3600.0),
        (math.inf, 3600.0),
    ],
)
def test_retry_after_is_a_lower_bound_with_a_cap(retry_after: float | None, expected: float) -> None:
    assert delay(1, 0.5, retry_after) == expected


@pytest.mark.promise("I10")
@pytest.mark.parametrize(
    ("attempts", "age", "retry_after", "is_tried"),
    [
        (7, 0.0, None, True),
        (8, 0.0, None, False),
        (1, 86_000.0, None, True),
        (1, 86_399.5, None, False),
        (1, 86_000.0, 500.0, False),
    ],
)
def test_no_retry_without_reattempts_left_or_beyond_the_maximum_age(
    attempts: int, age: float, retry_after: float | None, is_tried: bool
) -> None:
    policy = RetryPolicy(max_attempts=8, max_age_seconds=86_400.0, base_seconds=2.0, cap_seconds=3600.0)
    assert (next_retry_delay(policy, attempts, age, 0.0, retry_after) is not None) is is_tried


@pytest.mark.nightly
@given(
    POLICIES,
    st.integers(1, 200),
    st.floats(0, 1e6),
    st.floats(0, 1, exclude_max=True),
    st.none() | st.floats(0, 1e9),
)
def test_a_retry_is_always_within_its_budgets_and_never_immediate(
    policy: RetryPolicy, attempts: int, age: float, jitter: float, retry_after: float | None
) -> None:
    delay = next_retry_delay(policy, attempts, age, jitter, retry_after)
    if delay is None:
        assert (
            attempts >= policy.max_attempts
            or age + max(policy.base_seconds, policy.cap_seconds) > policy.max_age_seconds
        )
    else:
        assert attempts < policy.max_attempts
        assert age + delay <= policy.max_age_seconds
        assert policy.base_seconds / 2 <= delay <= max(policy.cap_seconds, policy.base_seconds / 2)
