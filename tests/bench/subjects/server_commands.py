"""A comparison of server commands (`--servers`): gunicorn as in docs/operations/install.md, with its own worker, or granian."""

import re
from contextlib import ExitStack
from pathlib import Path
from statistics import median

from tests.bench.machinery.servers import GRANIAN, web_command
from tests.bench.machinery.systems import Systems
from tests.bench.reports.report import Rounds, of_subject
from tests.bench.reports.table import table
from tests.bench.subjects.comparison import both, say
from tests.bench.subjects.measurement import NOTHING, POOLED, RESULT, Figures, measure

COMMANDS = {
    "gunicorn": web_command(),
    "gthread": re.sub(r"--worker-class \S+", "--worker-class gthread", web_command()),
    "granian": GRANIAN,
}
SUBJECTS = (NOTHING, POOLED, RESULT)
CLIENTS = 16


def measure_servers(
    kind: str, systems: Systems, folder: Path, rounds: int, seconds: float
) -> dict[str, list[list[Figures]]]:
    """Return the rounds of each command; both commands run in turn within each round."""
    taken: dict[str, list[list[Figures]]] = {name: [[] for _ in range(rounds)] for name in COMMANDS}
    with ExitStack() as stack:
        serving = {
            name: stack.enter_context(both(kind, systems, folder, command))
            for name, command in COMMANDS.items()
        }
        for number in range(rounds):
            for subject in SUBJECTS:
                for name, server_of in serving.items():
                    figures = measure(server_of(subject), subject, systems, CLIENTS, 0, seconds)
                    taken[name][number].append(figures)
                    say(figures, f"{number + 1}/{rounds} {name}")
    return taken


def show_servers(taken: dict[str, list[list[Figures]]]) -> str:
    """Format medians of each subject under each command; ratios are to the first command, within each round."""
    names = list(taken)
    heads = (
        f"{CLIENTS} clients",
        "server",
        "a second",
        "p99 ms",
        "CPU ms",
        "MB",
        f"CPU ÷ {names[0]}",
        "rate ÷",
    )
    rows = [_row(subject.name, name, taken[names[0]], taken[name]) for subject in SUBJECTS for name in names]
    return table(heads, rows)


def _row(subject: str, name: str, first: Rounds, mine: Rounds) -> list[str]:
    same, others = of_subject(mine, subject, CLIENTS), of_subject(first, subject, CLIENTS)
    pairs = list(zip(same, others, strict=True))
    return [
        subject,
        name,
        f"{median(reading.rate for reading in same):.0f}",
        f"{median(reading.p99 for reading in same):.1f}",
        f"{median(reading.cpu for reading in same):.2f}",
        f"{median(reading.proportional_memory for reading in same):.0f}",
        f"{median(mine.cpu / theirs.cpu for mine, theirs in pairs):.2f}",
        f"{median(mine.rate / theirs.rate for mine, theirs in pairs):.2f}",
    ]
