"""Charts as numbers: positions in per cent of the picture."""

from datetime import UTC, datetime, timedelta

import pytest

from console.ui.charts import HourCounts, build_hour_chart, percent_of_max, polyline_points

pytestmark = pytest.mark.pure

NOON = datetime(2026, 3, 4, 12, tzinfo=UTC)


def test_the_axis_ends_at_a_simple_even_figure() -> None:
    highest = [0, 1, 2, 3, 7, 9, 11, 13, 31, 280, 787, 801]
    charts = [build_hour_chart([HourCounts(NOON, good=number)]) for number in highest]
    assert [chart.axis_max for chart in charts] == [2, 2, 2, 4, 8, 10, 12, 16, 40, 300, 800, 1000]
    assert all(chart.axis_middle * 2 == chart.axis_max for chart in charts)


def test_the_segments_of_a_bar_are_stacked() -> None:
    chart = build_hour_chart(
        [HourCounts(NOON, good=50, open=20, failed=30), HourCounts(NOON + timedelta(hours=1))]
    )
    assert [(part.style, part.y, part.height) for part in chart.bars[0].segments] == [
        ("good", "50", "50"),
        ("warn", "30", "20"),
        ("bad", "0", "30"),
    ]
    assert [bar.slot_x for bar in chart.bars] == ["0", "50"]
    assert chart.bars[1].segments == ()


def test_one_failure_among_thousands_can_be_seen() -> None:
    part = build_hour_chart([HourCounts(NOON, good=7999, failed=1)]).bars[0].segments[1]
    assert (part.style, part.height) == ("bad", "0.8")
    assert float(part.y) >= 0


def test_a_line_bridges_gaps_and_needs_two_points() -> None:
    assert polyline_points([1.0, None, 2.0]) == "0,50 100,4"
    assert polyline_points([None, 1.0]) == ""
    assert polyline_points([]) == ""
    assert polyline_points([0.0, 0.0]) == "0,96 100,96"


def test_a_bar_of_a_positive_figure_is_never_empty() -> None:
    assert [
        percent_of_max(50, 100),
        percent_of_max(1, 10_000),
        percent_of_max(0, 100),
        percent_of_max(0, 0),
    ] == ["50", "2", "0", "0"]
