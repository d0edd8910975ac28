"""Durations: in one unit if they were measured, in two for waits."""

import pytest

from console.ui.formatting import long_duration, short_duration

pytestmark = pytest.mark.pure


def test_measured_durations_use_one_unit() -> None:
    words = {
        None: "–",
        0.0: "0 ms",
        0.2123: "212 ms",
        0.9999: "1.0 s",
        4.12: "4.1 s",
        9.97: "10 s",
        75: "75 s",
        720: "12 min",
        89.4 * 60: "89 min",
        200_000: "56 h",
    }
    assert {seconds: short_duration(seconds) for seconds in words} == words


def test_waiting_times_use_two_units() -> None:
    words = {
        -5: "0 s",
        0.9: "0 s",
        8: "8 s",
        75: "1 min 15 s",
        2528: "42 min 8 s",
        3600: "1 h",
        3605: "1 h",
        11_100: "3 h 5 min",
        86_400: "1 day",
        187_200: "2 days 4 h",
        90 * 86_400 + 10_800: "90 days",
    }
    assert {seconds: long_duration(seconds) for seconds in words} == words
