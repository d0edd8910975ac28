"""A table of medians over the rounds and of ratios within each round; all figures as JSON."""

import json
import os
import platform
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path
from statistics import median
from typing import Any

from tests.bench.machinery.processes import ROOT
from tests.bench.reports.table import table
from tests.bench.subjects.measurement import Figures

Part = Callable[[Figures], float]
Rounds = Sequence[Sequence[Figures]]

_HEADS = (
    "clients",
    "subject",
    "a second",
    "p50 ms",
    "p99 ms",
    "p99/p50",
    "CPU ms",
    "web",
    "worker",
    "server",
)
_MORE_HEADS = (
    "KB stored", "RSS MB", "PSS MB", "calls", "drain/s", "CPU ÷ plain", "CPU ÷ pooled", "rate ÷ pooled", "rate ÷ insert",
    "errors",
)  # fmt: skip


def cpu(figures: Figures) -> float:
    return figures.cpu


def rate(figures: Figures) -> float:
    return figures.rate


def spread(figures: Figures) -> float:
    """Return the 99th percentile divided by the median."""
    return figures.p99 / max(figures.p50, 0.001)


# What each subject is compared with, in the order of the columns.
_RATIOS: tuple[tuple[str, Part, tuple[str, ...]], ...] = (
    ("plain", cpu, ("result", "ack", "ingest")),
    ("pooled", cpu, ("result", "ack", "ingest")),
    ("pooled", rate, ("result",)),
    ("insert", rate, ("ack", "ingest")),
)


def comparison(rounds: Rounds) -> str:
    """Format a table for each database and delay."""
    places = dict.fromkeys((reading.database, reading.delay) for reading in rounds[0])
    return "\n\n".join(_place(rounds, *place) for place in places)


def _place(rounds: Rounds, database: str, delay: int) -> str:
    here = [
        [reading for reading in taken if (reading.database, reading.delay) == (database, delay)]
        for taken in rounds
    ]
    rows = [_row(here, reading.subject, reading.clients) for reading in here[0]]
    title = f"## {database}, stand-in systems answer after {delay} ms, medians of {len(rounds)}"
    return f"{title}\n\n{table([*_HEADS, *_MORE_HEADS], rows)}"


def _row(here: Rounds, subject: str, clients: int) -> list[str]:
    same = of_subject(here, subject, clients)
    middle = same[0].drain_rate and f"{median(reading.drain_rate for reading in same):.0f}"
    errors = sum(sum(reading.bad.values()) for reading in same)
    return [
        str(clients),
        subject,
        *_medians(same, 0, rate),
        *_medians(same, 1, lambda reading: reading.p50, lambda reading: reading.p99, spread),
        *_medians(same, 2, cpu, *(_attribute(name) for name in ("web_cpu", "worker_cpu", "database_cpu"))),
        f"{stored_a_webhook(same) / 1000:.1f}",
        *_medians(same, 0, lambda reading: reading.memory, lambda reading: reading.proportional_memory),
        *_medians(same, 2, lambda reading: reading.calls),
        middle or "",
        *(
            _shown(ratio(here, subject, other, clients, part)) if subject in who else ""
            for other, part, who in _RATIOS
        ),
        str(errors or ""),
    ]


def stored_a_webhook(same: Sequence[Figures]) -> float:
    """Return the bytes by which the database grew for each webhook, over all rounds: it grows by many pages at once."""
    return sum(reading.stored for reading in same) / max(sum(reading.sent for reading in same), 1)


def of_subject(here: Rounds, subject: str, clients: int) -> list[Figures]:
    """Return the figures of one subject, one for each round."""
    return [
        reading
        for taken in here
        for reading in taken
        if (reading.subject, reading.clients) == (subject, clients)
    ]


def ratio(here: Rounds, subject: str, other: str, clients: int, part: Part) -> float | None:
    """Return the median of the ratios within each round; None if the other subject was not measured."""
    pairs = zip(of_subject(here, subject, clients), of_subject(here, other, clients), strict=False)
    ratios = [part(mine) / part(theirs) for mine, theirs in pairs if part(theirs)]
    return median(ratios) if ratios else None


def _medians(same: Sequence[Figures], digits: int, *parts: Part) -> list[str]:
    return [f"{median(part(reading) for reading in same):.{digits}f}" for part in parts]


def _attribute(name: str) -> Part:
    return lambda figures: float(getattr(figures, name))


def _shown(found: float | None) -> str:
    return "" if found is None else f"{found:.2f}"


def surroundings(sync: float) -> dict[str, Any]:
    """Return what the figures depend on apart from the code. `sync`: milliseconds of one fdatasync."""
    names = ("django", "gunicorn", "granian", "requests", "urllib3", "psycopg")
    return {
        "at": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "processors": os.cpu_count(),
        "python": platform.python_version(),
        "versions": {name: version(name) for name in names},
        "load_average": os.getloadavg()[0],
        "sync_ms": round(sync, 3),
    }


def write(name: str, document: dict[str, Any]) -> Path:
    """Write the figures as JSON under var/bench."""
    path = ROOT / "var" / "bench" / f"{name}-{time.strftime('%Y%m%dT%H%M%S', time.gmtime())}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(document, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    return path


def as_rows(rounds: Rounds) -> list[dict[str, Any]]:
    """Return every measurement of every round."""
    return [
        asdict(reading) | {"round": number} for number, taken in enumerate(rounds, 1) for reading in taken
    ]
