"""The report divides sums over all processes, the database server's included."""

import pytest

from tests.bench.reports.report import comparison, cpu, ratio
from tests.bench.reports.targets import verdicts
from tests.bench.subjects.measurement import Figures

pytestmark = pytest.mark.pure


def _figures(subject: str, web: float, worker: float, server: float, **more: int) -> Figures:
    return Figures(
        subject, "postgresql", 16, 0, rate=10, p50=1, p99=2, calls=3,
        web_cpu=web, worker_cpu=worker, database_cpu=server, **more,
    )  # fmt: skip


ROUNDS = [
    [
        _figures("plain", 6.0, 0.0, 2.0),
        _figures("pooled", 3.0, 0.0, 1.0),
        _figures("result", 2.0, 1.0, 3.0, sent=1000, stored=9_000_000),
    ],
    [
        _figures("plain", 6.0, 0.0, 2.0),
        _figures("pooled", 3.0, 0.0, 1.0),
        _figures("result", 2.0, 1.0, 3.0, sent=3000, stored=3_000_000),
    ],
]


@pytest.mark.parametrize(("other", "expected"), [("plain", 0.75), ("pooled", 1.5)])
def test_the_ratio_is_of_the_sums(other: str, expected: float) -> None:
    assert ratio(ROUNDS, "result", other, 16, cpu) == expected


def test_the_table_shows_each_part_the_sum_and_the_storage() -> None:
    heads, _, *rows = comparison(ROUNDS).splitlines()[2:]
    shown = dict(
        zip(*([cell.strip() for cell in line.split("|")] for line in (heads, rows[-1])), strict=True)
    )
    parts = ("CPU ms", "web", "worker", "server", "CPU ÷ plain", "CPU ÷ pooled")
    assert [shown[name] for name in parts] == ["6.00", "2.00", "1.00", "3.00", "0.75", "1.50"]
    assert shown["KB stored"] == "3.0"  # 12 MB over 4,000 webhooks


def test_a_target_that_is_missed_is_named() -> None:
    lines = verdicts(ROUNDS).splitlines()
    kept = {line.partition(" ms: ")[2]: line.startswith("kept") for line in lines}
    assert kept["CPU of all processes an event in `result` ÷ plain view's: 0.75 (at most 1)"]
    assert not kept["CPU of all processes an event in `result` ÷ pooled view's: 1.50 (at most 1)"]
    assert not kept["CPU of the database server, ms an event in `result`: 3.00 (at most 1.5)"]
    assert kept["MB stored a thousand webhooks: 3.0 (at most 6)"]
