"""The comparison: every subject after the other, round after round, on servers that stay up."""

import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.bench.machinery.databases import fresh_database
from tests.bench.machinery.servers import Server, running_hub, running_naive, web_command
from tests.bench.machinery.systems import Systems
from tests.bench.subjects.measurement import (
    ACK,
    INGEST,
    INSERT,
    NOTHING,
    PLAIN,
    POOLED,
    RESULT,
    Figures,
    Subject,
    measure,
)


@dataclass(frozen=True, slots=True)
class Plan:
    """The measurements to make. `delays`: milliseconds of the stand-in systems; `seconds`: of a steady part.

    `web_processes`: as many as docs/operations/install.md starts if None.
    """

    clients: tuple[int, ...] = (1, 16, 64)
    delays: tuple[int, ...] = (0, 20)
    rounds: int = 3
    seconds: float = 1.2
    subjects: tuple[Subject, ...] = (NOTHING, INSERT, PLAIN, POOLED, RESULT, ACK, INGEST)
    web_processes: int | None = None

    def steps(self) -> Iterator[tuple[Subject, int, int]]:
        """Yield subject, clients and delay of one round. Subjects that wait for no calls are measured without delay."""
        for clients in self.clients:
            for delay in self.delays:
                for subject in self.subjects:
                    if delay == self.delays[0] or subject in (PLAIN, POOLED, RESULT):
                        yield subject, clients, delay


QUICK = Plan(clients=(16,), delays=(0,), rounds=1, seconds=1.0)


@contextmanager
def both(kind: str, systems: Systems, folder: Path, web: str = "") -> Iterator[Callable[[Subject], Server]]:
    """Yield the hub and the naive project, each on its own database, and which of them serves a subject."""
    with (
        fresh_database(kind, folder) as small,
        fresh_database(kind, folder) as large,
        running_naive(small, systems, folder, web) as naive,
        running_hub(large, systems, folder, web) as hub,
    ):
        for server, subject in ((naive, PLAIN), (naive, POOLED), (hub, RESULT)):
            measure(
                server, subject, systems, clients=32, delay=0, seconds=0.8
            )  # the first requests cost more
        yield lambda subject: hub if subject.is_hub else naive


def compare(plan: Plan, kinds: Sequence[str], systems: Systems, folder: Path) -> list[list[Figures]]:
    """Run all rounds, one database after the other. Returns a list of figures for each round."""
    rounds: list[list[Figures]] = [[] for _ in range(plan.rounds)]
    for kind in kinds:
        with both(kind, systems, folder, web_command(plan.web_processes)) as serving:
            for number, taken in enumerate(rounds, 1):
                for subject, clients, delay in plan.steps():
                    taken.append(measure(serving(subject), subject, systems, clients, delay, plan.seconds))
                    say(taken[-1], f"{number}/{plan.rounds}")
    return rounds


def say(figures: Figures, place: str) -> None:
    """Progress: one line to standard error."""
    print(
        f"{place} {figures.database} {figures.subject}: {figures.clients} clients, {figures.delay} ms: "
        f"{figures.rate:.0f}/s, CPU {figures.cpu:.2f} ms, {figures.database_cpu:.2f} of it the server's, p99 {figures.p99:.0f} ms, "
        f"load {figures.load_average:.1f} {figures.bad or ''} {figures.first_bad}",
        file=sys.stderr,
        flush=True,
    )
