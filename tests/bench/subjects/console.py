"""The cost of the console's pages on a large history (`--console --events 1000000`), and their budgets.

The budgets are those of the console's specification: sums of SQL relative to a reference query of the same run, the
rest in milliseconds and bytes.
"""

import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.bench.machinery.databases import fresh_database
from tests.bench.machinery.processes import ROOT
from tests.bench.machinery.servers import prepare_hub
from tests.bench.machinery.systems import Systems
from tests.bench.reports.table import table

REPEATS = 15
LIST_STATEMENTS = 8
SLOWEST_STATEMENT = 50
HEADS = (
    "page",
    "SQL ms",
    "× Y",
    "statements",
    "slowest ms",
    "server ms",
    "CPU ms",
    "HTML KB",
    "zipped KB",
    "budget",
    "",
)


@dataclass(frozen=True, slots=True)
class Budget:
    """Milliseconds of the server; for lists also SQL (10 Y + 5 ms), statements and the slowest of them."""

    server: float
    is_list: bool = False

    def says(self, yardstick: float) -> str:
        bound = f"≤ {self.server:g} ms"
        return (
            f"{bound}, SQL ≤ {_most_sql(yardstick):.0f}, ≤ {LIST_STATEMENTS} statements"
            if self.is_list
            else bound
        )

    def keeps(self, page: Mapping[str, Any], yardstick: float) -> bool:
        if page["server"] > self.server:
            return False
        return not self.is_list or (
            page["sql"] <= _most_sql(yardstick)
            and page["statements"] <= LIST_STATEMENTS
            and page["slowest"] <= SLOWEST_STATEMENT
        )


# CPU, or time at the database, of a page for any query.
HOSTILE_SECONDS = 1.0

BUDGETS = {
    "overview": Budget(100),
    "list": Budget(150, is_list=True),
    "search": Budget(50),
    "find": Budget(50),
    "event": Budget(100),
    "replay": Budget(300),
    "entity": Budget(150),
    "log": Budget(150, is_list=True),
    "entry": Budget(100),
}


def _most_sql(yardstick: float) -> float:
    return 10 * yardstick + 5


def budget_of(name: str) -> Budget:
    """Return the budget of a page by the first word of its name."""
    return BUDGETS[name.replace(",", " ").split()[0]]


def measure_console(kind: str, systems: Systems, folder: Path, events: int, repeats: int) -> dict[str, Any]:
    """Generate the history and as many audit entries in an empty database, keep the counts, and look at each page."""
    with fresh_database(kind, folder) as database:
        environment = prepare_hub(database, systems, folder)
        began = time.monotonic()
        _run(environment, "devtools", "generate_history", "--events", str(events))
        _run(environment, "tests.bench.rows.audit_entries", str(events))
        _run(environment, "tests.bench.rows.search_digests")
        seconds = time.monotonic() - began
        print(f"console: {kind}, {events:,} events in {seconds:.0f} s", file=sys.stderr, flush=True)
        if (ROOT / "sync" / "management" / "commands" / "count_again.py").exists():
            _run(environment, "manage", "count_again")
        taken = json.loads(_run(environment, "tests.bench.subjects.console_pages", str(repeats)))
    return {"database": kind, "events": events, "filled_in": seconds, **taken}


def _run(environment: dict[str, str], *arguments: str) -> str:
    command = [sys.executable, "-m", *arguments]
    result = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=7200)
    assert result.returncode == 0, result.stderr[-3000:]
    return result.stdout


def show_console(taken: Mapping[str, Any]) -> str:
    """Format a row for each page, then the weight of the list."""
    yardstick, events = taken["yardstick"], taken["events"]
    rows = [_row(page, yardstick) for page in taken["pages"]]
    kept = [f"  {'kept' if holds else 'MISSED'}: {said}" for said, holds in _weight(taken["weight"])]
    return (
        f"## {taken['database']}: the console at {events:,} events\n\n"
        f"Y, the plain LIMIT query: {yardstick:.2f} ms. Filled at {events / taken['filled_in']:,.0f} events a second.\n\n"
        f"{table(HEADS, rows)}\n\nThe list with all that it loads:\n"
        + "\n".join(kept)
        + f"\n\n{_show_hostile(taken['hostile'])}"
    )


def _show_hostile(hostile: Mapping[str, Any]) -> str:
    """Format what queries cost that are made of the pages' own words."""
    most = max((max(cpu, seconds) for _, cpu, seconds in hostile["slowest"]), default=0.0)
    lines = [
        f"Queries of up to 4 KB, made of the pages' own words: {hostile['sent']:,}, of which {len(hostile['failed'])} failed",
        f"  {'kept' if most <= HOSTILE_SECONDS else 'MISSED'}: slowest {most:.2f} s, at most {HOSTILE_SECONDS:.0f} s",
        *(
            f"    {cpu:.2f} s of CPU, {seconds:.2f} s: {address}"
            for address, cpu, seconds in hostile["slowest"]
        ),
        *(f"    failed: {address}" for address in hostile["failed"]),
    ]
    return "\n".join(lines)


def _row(page: Mapping[str, Any], yardstick: float) -> list[str]:
    budget = budget_of(page["name"])
    if page["problem"]:
        return [page["name"], *[""] * 8, budget.says(yardstick), page["problem"]]
    return [
        page["name"],
        f"{page['sql']:.1f}",
        f"{page['sql'] / yardstick:.1f}",
        str(page["statements"]),
        f"{page['slowest']:.1f}",
        f"{page['server']:.0f}",
        f"{page['cpu']:.0f}",
        f"{page['html'] / 1000:.0f}",
        f"{page['zipped'] / 1000:.1f}",
        budget.says(yardstick),
        "kept" if budget.keeps(page, yardstick) else "MISSED",
    ]


def _weight(weight: Mapping[str, int]) -> Iterator[tuple[str, bool]]:
    checks: list[tuple[str, int, int, Callable[[int], str]]] = [
        ("zipped in all", weight["zipped"], 60_000, _kilobytes),
        ("HTML of 50 rows", weight["html"], 80_000, _kilobytes),
        ("scripts, zipped", weight["scripts"], 15_000, _kilobytes),
        ("requests", weight["requests"], 15, str),
        ("files from elsewhere", weight["elsewhere"], 0, str),
    ]
    for said, found, most, show in checks:
        yield f"{said} {show(found)}, at most {show(most)}", found <= most


def _kilobytes(number: int) -> str:
    return f"{number / 1000:.1f} KB"
