"""How the cost of an event grows with what is stored (`--growth`)."""

import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

from tests.bench.account import take_account
from tests.bench.comparing import say
from tests.bench.databases import Cluster, Database, fresh_database
from tests.bench.measuring import INGEST, NAIVE, RESULT, Figures, Subject, measure
from tests.bench.processes import ROOT
from tests.bench.report import cpu, of_subject, rate, ratio
from tests.bench.servers import USERS, Server, prepare_hub, running_hub, running_naive
from tests.bench.systems import Systems
from tests.bench.table import table

CLIENTS = 16
HEADS = (
    "stored events", "database MB", "statements", "CPU ms in process", "CPU ms", "of the database",
    "a second", "p99 ms", "CPU ÷ naive", "taken in a second",
)  # fmt: skip


@dataclass(slots=True)
class Stage:
    """What was measured with so many events stored."""

    database: str
    events: int
    megabytes: float
    account: dict[str, Any]
    rounds: list[list[Figures]]


def grow(
    kind: str, cluster: Cluster | None, systems: Systems, folder: Path, sizes: Sequence[int], rounds: int
) -> list[Stage]:
    """Fill up to each size, and measure there; the naive project, which stays small, beside it."""
    stages = []
    with (
        fresh_database(kind, cluster, folder) as small,
        fresh_database(kind, cluster, folder) as large,
        running_naive(small, systems, folder) as naive,
    ):
        environment = prepare_hub(large, systems, folder)
        take_account(environment, folder, "result", 20)  # real events, one of which is copied
        for before, size in zip([0, *sizes], sizes, strict=False):
            _fill(environment, size - before)
            account = take_account(environment, folder, "result", 200)
            with running_hub(large, systems, folder) as hub:
                taken = [_round(hub, naive, systems) for _ in range(rounds)]
            stages.append(Stage(kind, size, _megabytes(large), account, taken))
    return stages


def _fill(environment: dict[str, str], events: int) -> None:
    command = [sys.executable, "-m", "tests.bench.filling", str(events), str(USERS)]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=3600)
    assert done.returncode == 0, done.stderr[-3000:]


def _round(hub: Server, naive: Server, systems: Systems) -> list[Figures]:
    def one(server: Server, subject: Subject) -> Figures:
        figures = measure(server, subject, systems, CLIENTS, 0, 2.0)
        say(figures, "growth")
        return figures

    return [one(naive, NAIVE), one(hub, RESULT), one(hub, INGEST)]


def _megabytes(database: Database) -> float:
    if database.file is not None:
        return database.file.stat().st_size / 2**20
    return float(database.rows("SELECT pg_database_size(current_database())")[0][0]) / 2**20


def show_growth(stages: Sequence[Stage]) -> str:
    """A row a stage; the last line says how the last compares with the first."""
    rows = [_row(stage) for stage in stages]
    first, last = (stage.account for stage in (stages[0], stages[-1]))
    return (
        f"## {stages[0].database}: cost of a `result` event by what is stored, {CLIENTS} clients\n\n"
        f"{table(HEADS, rows)}\n\n"
        f"From {stages[0].events:,} to {stages[-1].events:,} events: statements {first['statements']:.1f} → "
        f"{last['statements']:.1f}, CPU in process × {last['cpu'] / first['cpu']:.2f}"
    )


def _row(stage: Stage) -> list[str]:
    result = of_subject(stage.rounds, "result", CLIENTS)
    to_naive = ratio(stage.rounds, "result", "naive", CLIENTS, cpu)
    return [
        f"{stage.events:,}",
        f"{stage.megabytes:.0f}",
        f"{stage.account['statements']:.1f}",
        f"{stage.account['cpu']:.2f}",
        f"{median(each.cpu for each in result):.2f}",
        f"{median(each.database_cpu for each in result):.2f}",
        f"{median(map(rate, result)):.0f}",
        f"{median(each.p99 for each in result):.1f}",
        f"{to_naive:.2f}" if to_naive else "",
        f"{median(map(rate, of_subject(stage.rounds, 'ingest', CLIENTS))):.0f}",
    ]
