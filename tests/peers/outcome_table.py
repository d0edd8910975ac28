"""The table at the end of a run: the outcome of each case with each pair of peers."""

from collections.abc import Iterator
from typing import Any

import pytest

_PROPERTY = "peer case"
_ORDER = {"passed": 0, "skipped": 1, "failed": 2}


def note_cases(items: list[pytest.Item]) -> None:
    """Note at each test which peers and which case it is about: the mark `case`, and `peers` of its class."""
    for item in items:
        mark = item.get_closest_marker("case")
        if mark is not None:
            peers = getattr(getattr(item, "cls", None), "peers", None) or mark.kwargs["peers"]
            item.user_properties.append((_PROPERTY, (peers, mark.args[0])))


def make_table(stats: dict[str, list[Any]]) -> list[str]:
    """Return the lines of the table, one for each case, one column for each pair of peers."""
    outcomes: dict[tuple[str, str], str] = {}
    for report in (one for reports in stats.values() for one in reports if hasattr(one, "when")):
        for name, value in getattr(report, "user_properties", ()):
            if name == _PROPERTY and (report.when == "call" or report.outcome != "passed"):
                known = outcomes.get(tuple(value), "passed")
                outcomes[tuple(value)] = max(known, report.outcome, key=lambda one: _ORDER[one])
    columns = list(dict.fromkeys(peers for peers, _ in outcomes))
    cases = list(dict.fromkeys(case for _, case in outcomes))
    return list(
        _format_rows(
            [
                ["", *columns],
                *([case, *(_format_outcome(outcomes, column, case) for column in columns)] for case in cases),
            ]
        )
    )


def _format_outcome(outcomes: dict[tuple[str, str], str], column: str, case: str) -> str:
    outcome = outcomes.get((column, case), "–")
    return {"passed": "ok", "failed": "FAILED"}.get(outcome, outcome)


def _format_rows(rows: list[list[str]]) -> Iterator[str]:
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    for row in rows:
        yield "  ".join(text.ljust(width) for text, width in zip(row, widths, strict=True)).rstrip()
