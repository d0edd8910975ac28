"""The growth of the cost of an event with the stored history (`--growth`).

A second hub, which keeps the first size, is measured in turn with the growing one, so that other load on the machine
affects both.
"""

import json
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import median
from typing import Any

from tests.bench.account.cpu_account import take_account
from tests.bench.machinery.databases import Database, fresh_database
from tests.bench.machinery.processes import ROOT
from tests.bench.machinery.servers import USERS, Server, prepare_hub, running_hub, running_naive
from tests.bench.machinery.systems import Systems
from tests.bench.reports.report import Part, cpu, of_subject, rate, ratio
from tests.bench.reports.table import table
from tests.bench.subjects.comparison import say
from tests.bench.subjects.measurement import ACK, INGEST, POOLED, RESULT, Figures, Subject, measure

CLIENTS = 16
_MAX_SEALING_SECONDS = 3600.0
# Each connection prepares a statement after five times, and the server plans it five times more. By events, because
# on a busy machine a second has few of them.
_WARM_UP_EVENTS = 1_000
REFERENCE, ACK_REFERENCE = replace(RESULT, name="reference"), replace(ACK, name="ack reference")
HEADS = (
    "stored events", "database MB", "statements", "commits", "CPU ms", "of the database", "CPU ÷ small hub",
    "database ÷ small hub", "CPU ÷ pooled", "a second", "p50 ms", "p50 of the small hub", "p99 ms", "p99 of the small hub",
    "`ack` CPU ms", "÷ small hub", "taken in a second", "filled in s", "sealed in s",
)  # fmt: skip


@dataclass(slots=True)
class Stage:
    """The measurements with a certain number of stored events."""

    database: str
    events: int
    megabytes: float
    account: dict[str, Any]
    plans: dict[str, Any]
    rounds: list[list[Figures]]
    fill_seconds: float
    seal_seconds: float


def grow(kind: str, systems: Systems, folder: Path, sizes: Sequence[int], rounds: int) -> list[Stage]:
    """Fill a hub to each size and measure there."""
    with (
        fresh_database(kind, folder) as for_naive,
        fresh_database(kind, folder) as small,
        fresh_database(kind, folder) as large,
        running_naive(for_naive, systems, folder) as naive,
    ):
        _fill(prepare_hub(small, systems, folder), folder, sizes[0])
        environment, stages = prepare_hub(large, systems, folder), []
        with running_hub(small, systems, folder) as reference:
            _warm_up(reference, systems)
            for before, size in zip([0, *sizes], sizes, strict=False):
                filled = _fill(environment, folder, size - before)
                say_filled(kind, size, filled)
                account = take_account(environment, folder, "result", 100)
                plans = json.loads(_module(environment, "tests.bench.account.statement_plans"))
                with running_hub(large, systems, folder) as hub:
                    sealed = _wait_until_sealed(large)
                    _warm_up(hub, systems)
                    taken = [
                        _round(naive, reference, hub, systems, is_turned=number % 2 == 1)
                        for number in range(rounds)
                    ]
                stages.append(Stage(kind, size, _megabytes(large), account, plans, taken, filled, sealed))
    return stages


def _fill(environment: dict[str, str], folder: Path, events: int, *words: str) -> float:
    """Copy a real event `events` times. Returns the seconds that it took. `words`: see `event_copies`."""
    take_account(environment, folder, "result", 5)
    began = time.monotonic()
    _module(environment, "tests.bench.rows.event_copies", str(events), str(USERS), *words)
    return time.monotonic() - began


def _wait_until_sealed(database: Database) -> float:
    """Wait until the audit log of the filled rows is sealed. Returns the seconds that it took.

    A worker that is stopped during that, for `ingest`, might hold the lock of SQLite.
    """
    began = time.monotonic()
    while database.rows(
        "SELECT 1 WHERE (SELECT MAX(id) FROM audit_entry) > (SELECT COALESCE(MAX(highest_id), 0) FROM audit_segment)"
    ):
        assert time.monotonic() - began < _MAX_SEALING_SECONDS, "the worker does not keep up"
        time.sleep(0.5)
    return time.monotonic() - began


def say_filled(kind: str, size: int, seconds: float) -> None:
    """Print the progress as one line to standard error."""
    print(f"growth: {kind} filled to {size:,} in {seconds:.0f} s", file=sys.stderr, flush=True)


def _module(environment: dict[str, str], name: str, *arguments: str) -> str:
    """Run a module of the benchmark in a process with the hub's environment. Returns its output."""
    command = [sys.executable, "-m", name, *arguments]
    result = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=7200)
    assert result.returncode == 0, result.stderr[-3000:]
    return result.stdout


def _warm_up(hub: Server, systems: Systems) -> None:
    """Send events until every connection has prepared its statements: the reference has been up for longer."""
    sent = 0
    while sent < _WARM_UP_EVENTS:
        sent += measure(hub, RESULT, systems, CLIENTS, 0, 2.0).sent


def _round(
    naive: Server, reference: Server, hub: Server, systems: Systems, *, is_turned: bool
) -> list[Figures]:
    """Measure every subject once. `is_turned`: the growing hub before the reference."""

    def one(server: Server, subject: Subject) -> Figures:
        figures = measure(server, subject, systems, CLIENTS, 0, 2.0)
        say(figures, "growth")
        return figures

    pairs = [
        ((reference, REFERENCE), (hub, RESULT)),
        ((reference, ACK_REFERENCE), (hub, ACK)),
    ]
    order = [step for pair in pairs for step in (reversed(pair) if is_turned else pair)]
    return [one(naive, POOLED), *(one(server, subject) for server, subject in order), one(hub, INGEST)]


def _megabytes(database: Database) -> float:
    if database.file is not None:
        return database.file.stat().st_size / 2**20
    return float(database.rows("SELECT pg_database_size(current_database())")[0][0]) / 2**20


def show_growth(stages: Sequence[Stage]) -> str:
    """Format a row for each stage; the last line compares the last stage with the first."""
    rows = [_row(stage) for stage in stages]
    first, last = (stage.account for stage in (stages[0], stages[-1]))
    plans = stages[-1].plans
    scans = "\n".join(f"  {sql}\n    {plan}" for sql, plan in plans["scans"].items())
    return (
        f"## {stages[0].database}: cost of a `result` event by what is stored, {CLIENTS} clients\n\n"
        f"{table(HEADS, rows)}\n\n"
        f"From {stages[0].events:,} to {stages[-1].events:,} events: statements {first['statements']:.1f} → "
        f"{last['statements']:.1f}, commits {first['commits']:.1f} → {last['commits']:.1f}\n"
        f"At {stages[-1].events:,}: {plans['statements']} different statements find rows, {len(plans['scans'])} of them by "
        f"reading a whole table{':' if scans else '.'}\n{scans}"
    )


def _row(stage: Stage) -> list[str]:
    result, small, ack = (
        of_subject(stage.rounds, name, CLIENTS) for name in ("result", REFERENCE.name, "ack")
    )
    return [
        f"{stage.events:,}",
        f"{stage.megabytes:.0f}",
        f"{stage.account['statements']:.1f}",
        f"{stage.account['commits']:.1f}",
        f"{median(map(cpu, result)):.2f}",
        f"{median(map(database_cpu, result)):.2f}",
        _ratio(stage.rounds, "reference", cpu),
        _ratio(stage.rounds, "reference", database_cpu),
        _ratio(stage.rounds, "pooled", cpu),
        f"{median(map(rate, result)):.0f}",
        *(f"{median(reading.p50 for reading in hub):.1f}" for hub in (result, small)),
        *(f"{median(reading.p99 for reading in hub):.1f}" for hub in (result, small)),
        f"{median(map(cpu, ack)):.2f}",
        _ratio(stage.rounds, ACK_REFERENCE.name, cpu, of="ack"),
        f"{median(map(rate, of_subject(stage.rounds, 'ingest', CLIENTS))):.0f}",
        f"{stage.fill_seconds:.0f}",
        f"{stage.seal_seconds:.0f}",
    ]


def _ratio(rounds: Sequence[Sequence[Figures]], other: str, part: Part, of: str = "result") -> str:
    found = ratio(rounds, of, other, CLIENTS, part)
    return f"{found:.2f}" if found else ""


def database_cpu(figures: Figures) -> float:
    """Return the CPU of the database's own processes."""
    return figures.database_cpu
