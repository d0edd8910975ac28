"""The targets of the figures at 16 clients, and their check."""

from collections.abc import Iterator
from dataclasses import dataclass
from statistics import median

from tests.bench.reports.report import (
    Part,
    Rounds,
    cpu,
    of_subject,
    rate,
    ratio,
    spread,
    stored_a_webhook,
)

CLIENTS = 16
MAX_STORED = 6.0


@dataclass(frozen=True, slots=True)
class Target:
    """A figure of a subject, divided by another subject's if one is named, and its bound."""

    words: str
    subject: str
    part: Part
    other: str
    bound: float
    is_upper: bool = True
    is_of_server: bool = False  # SQLite has none

    def keeps(self, found: float) -> bool:
        return found <= self.bound if self.is_upper else found >= self.bound


TARGETS = (
    Target("CPU of all processes an event in `result` ÷ plain view's", "result", cpu, "plain", 1.0),
    Target("CPU of all processes an event in `result` ÷ pooled view's", "result", cpu, "pooled", 1.0),
    Target(
        "CPU of the database server, ms an event in `result`",
        "result",
        lambda reading: reading.database_cpu,
        "",
        1.5,
        is_of_server=True,
    ),
    Target("rate of taking in ÷ one durable INSERT's", "ingest", rate, "insert", 0.6, is_upper=False),
    Target("p99 ÷ p50 in `result`", "result", spread, "", 5.0),
    Target("p99 ÷ p50 of taking in", "ingest", spread, "", 5.0),
    Target(
        "MB of the web processes and the worker",
        "result",
        lambda reading: reading.proportional_memory,
        "",
        250.0,
    ),
)


def verdicts(rounds: Rounds) -> str:
    """Return one line for each target, database and delay."""
    places = dict.fromkeys((reading.database, reading.delay) for reading in rounds[0])
    return "\n".join(line for place in places for line in _lines(rounds, *place))


def _lines(rounds: Rounds, database: str, delay: int) -> Iterator[str]:
    here = [
        [reading for reading in taken if (reading.database, reading.delay) == (database, delay)]
        for taken in rounds
    ]
    for target in TARGETS:
        found = None if target.is_of_server and database == "sqlite" else _figure_of(here, target)
        if found is not None:
            sign = "at most" if target.is_upper else "at least"
            kept = "kept" if target.keeps(found) else "NOT KEPT"
            yield f"{kept:8}  {database}, {delay} ms: {target.words}: {found:.2f} ({sign} {target.bound:g})"
    if result := of_subject(here, "result", CLIENTS):
        stored = stored_a_webhook(result) / 1000
        kept = "kept" if stored <= MAX_STORED else "NOT KEPT"
        yield f"{kept:8}  {database}, {delay} ms: MB stored a thousand webhooks: {stored:.1f} (at most {MAX_STORED:g})"
    yield from _disagreements(here)


def _figure_of(here: Rounds, target: Target) -> float | None:
    if target.other:
        return ratio(here, target.subject, target.other, CLIENTS, target.part)
    same = of_subject(here, target.subject, CLIENTS)
    return median(target.part(reading) for reading in same) if same else None


def _disagreements(here: Rounds) -> Iterator[str]:
    """Yield errors, and numbers of calls that make the comparison unfair."""
    for reading in (reading for taken in here for reading in taken):
        if reading.bad:
            yield f"ERRORS    {reading.database} {reading.subject}, {reading.clients} clients: {reading.bad} {reading.first_bad}"
        if (
            reading.subject in ("plain", "pooled", "result", "ack", "ingest")
            and abs(reading.calls - 3) > 0.02
        ):
            yield f"UNEQUAL   {reading.database} {reading.subject}, {reading.clients} clients: {reading.calls:.2f} calls an event"
