"""When a failed delivery is tried again: later each time, spread, bounded, never before it was asked to."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sync.backoff import BASE_SECONDS, CAP_SECONDS, retry_delay

pytestmark = pytest.mark.pure

JITTER = st.floats(0, 1, exclude_max=True)
TRIES = st.integers(1, 40_000)
RETRY_AFTER = st.none() | st.floats(0, 1e9)


@pytest.mark.parametrize(
    ("tries", "earliest", "latest"),
    [
        (1, 1, 4),
        (2, 1, 8),
        (3, 1, 16),
        (8, 1, 512),
        (10, 1, 2048),
        (11, 1, 3600),
        (12, 1, 3600),
        (40_000, 1, 3600),
    ],
)
def test_the_spread_doubles_with_each_try_up_to_an_hour(tries: int, earliest: float, latest: float) -> None:
    assert retry_delay(tries, 0.0) == earliest
    assert retry_delay(tries, math.nextafter(1, 0)) == pytest.approx(latest)


@pytest.mark.parametrize(
    ("retry_after", "expected"),
    [
        (None, 2.5),
        (0.0, 2.5),
        (1.0, 2.5),
        (2.6, 2.6),
        (120.0, 120.0),
        (3600.0, 3600.0),
        (86_400.0, 3600.0),
        (-5.0, 2.5),
        (math.inf, 3600.0),
    ],
)
def test_what_the_other_side_asks_for_is_a_floor_and_has_a_cap(
    retry_after: float | None, expected: float
) -> None:
    assert retry_delay(1, 0.5, retry_after) == expected


@given(TRIES, JITTER, RETRY_AFTER)
def test_no_delay_is_shorter_than_a_second_or_longer_than_an_hour(
    tries: int, jitter: float, retry_after: float | None
) -> None:
    assert BASE_SECONDS / 2 <= retry_delay(tries, jitter, retry_after) <= CAP_SECONDS


@given(TRIES, JITTER, RETRY_AFTER)
def test_a_try_is_never_earlier_than_it_was_asked_to_be(
    tries: int, jitter: float, retry_after: float | None
) -> None:
    assert retry_delay(tries, jitter, retry_after) >= min(retry_after or 0, CAP_SECONDS)


@given(TRIES, JITTER)
def test_with_the_same_luck_a_later_try_never_waits_less(tries: int, jitter: float) -> None:
    assert retry_delay(tries + 1, jitter) >= retry_delay(tries, jitter)


@given(TRIES, JITTER, JITTER)
def test_two_deliveries_with_different_luck_are_spread(tries: int, one: float, other: float) -> None:
    low, high = sorted((one, other))
    apart = retry_delay(tries, high) - retry_delay(tries, low)
    assert apart == pytest.approx((high - low) * (retry_delay(tries, math.nextafter(1, 0)) - 1), abs=1e-6)
