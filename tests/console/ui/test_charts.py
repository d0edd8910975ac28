"""Charts as numbers: what stands where, in per cent of the picture."""

from datetime import UTC, datetime, timedelta

import pytest

from console.ui.charts import Hour, line, share, stacked

pytestmark = pytest.mark.pure

NOON = datetime(2026, 3, 4, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("highest", "top"),
    [
        (0, 2),
        (1, 2),
        (2, 2),
        (3, 4),
        (7, 8),
        (9, 10),
        (11, 12),
        (13, 16),
        (31, 40),
        (280, 300),
        (787, 800),
        (801, 1000),
    ],
)
def test_the_axis_ends_at_a_simple_even_figure(highest: int, top: int) -> None:
    chart = stacked([Hour(NOON, good=highest)])
    assert (chart.top, chart.half * 2) == (top, top)


def test_the_pieces_of_a_bar_stand_on_each_other() -> None:
    chart = stacked([Hour(NOON, good=50, open=20, failed=30), Hour(NOON + timedelta(hours=1))])
    assert [(part.style, part.y, part.height) for part in chart.bars[0].parts] == [
        ("good", "50", "50"),
        ("warn", "30", "20"),
        ("bad", "0", "30"),
    ]
    assert [bar.place for bar in chart.bars] == ["0", "50"]
    assert chart.bars[1].parts == ()


def test_one_failure_among_thousands_can_be_seen() -> None:
    part = stacked([Hour(NOON, good=7999, failed=1)]).bars[0].parts[1]
    assert (part.style, part.height) == ("bad", "0.8")
    assert float(part.y) >= 0


def test_a_line_bridges_gaps_and_needs_two_points() -> None:
    assert line([1.0, None, 2.0]) == "0,50 100,4"
    assert line([None, 1.0]) == ""
    assert line([]) == ""
    assert line([0.0, 0.0]) == "0,96 100,96"


def test_a_bar_beside_a_figure_is_never_nothing_where_there_is_something() -> None:
    assert [share(50, 100), share(1, 10_000), share(0, 100), share(0, 0)] == ["50", "2", "0", "0"]
