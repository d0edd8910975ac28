"""The cost or gain of one part (`--without`): the hub compared with a hub that does without it, both at once.

Measured in turn they would differ by a tenth, because of other load on the machine: so both get half of the senders at
the same time. Of two identical hubs, the one started first used 3 % more CPU (16 rounds, twice): so each is started
first in half of the rounds.
"""

from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path
from statistics import median

from tests.bench.machinery.databases import fresh_database
from tests.bench.machinery.processes import ROOT
from tests.bench.machinery.servers import Server, running_hub
from tests.bench.machinery.systems import Systems
from tests.bench.reports.report import Rounds, of_subject
from tests.bench.reports.table import table
from tests.bench.startup.sitecustomize import PARTS
from tests.bench.subjects.comparison import say
from tests.bench.subjects.measurement import ACK, RESULT, Figures, measure

__all__ = ["PARTS", "ROUNDS", "SECONDS", "measure_part", "show_parts"]

STARTUP = Path(__file__).resolve().parents[1] / "startup"
VARIANTS = ("with", "without")
SUBJECTS = (RESULT, ACK)
CLIENTS = 8  # of each
ROUNDS, SECONDS = 12, 2.0

Taken = dict[str, list[list[Figures]]]


def measure_part(part: str, kind: str, systems: Systems, folder: Path, rounds: int, seconds: float) -> Taken:
    """Return the rounds of both variants; within a round both run at the same time."""
    taken: Taken = {name: [] for name in VARIANTS}
    halves = (rounds - rounds // 2, rounds // 2)
    for first, some in zip(VARIANTS, halves, strict=True):
        order = sorted(VARIANTS, key=lambda name, first=first: name != first)
        with _running(part, order, kind, systems, folder / f"{kind}-{part}-{first}-first") as serving:
            for _ in range(some):
                _measure_round(serving, systems, seconds, taken)
                _say_round(part, taken, rounds)
    return taken


@contextmanager
def _running(
    part: str, order: Sequence[str], kind: str, systems: Systems, folder: Path
) -> Iterator[dict[str, Server]]:
    """Run a hub of each variant, started in this order and warmed up."""
    without = {"BENCH_WITHOUT": part, "PYTHONPATH": f"{STARTUP}:{ROOT}"}
    with ExitStack() as stack:
        serving: dict[str, Server] = {}
        for name in order:
            place = folder / name
            place.mkdir(parents=True)
            database = stack.enter_context(fresh_database(kind, place))
            hub = running_hub(database, systems, place, variables=without if name == "without" else {})
            serving[name] = stack.enter_context(hub)
            measure(serving[name], RESULT, systems, clients=32, delay=0, seconds=0.8)
        if part == "audit":
            _check(serving)
        yield serving


def _measure_round(serving: Mapping[str, Server], systems: Systems, seconds: float, taken: Taken) -> None:
    found: dict[str, list[Figures]] = {name: [] for name in serving}
    for subject in SUBJECTS:
        with ThreadPoolExecutor(len(serving)) as threads:
            measured = {
                name: threads.submit(measure, server, subject, systems, CLIENTS, 0, seconds)
                for name, server in serving.items()
            }
        for name, measurement in measured.items():
            found[name].append(measurement.result())
    for name, figures in found.items():
        taken[name].append(figures)


def _say_round(part: str, taken: Taken, rounds: int) -> None:
    """Print the figures of the last round."""
    for name, measurement in taken.items():
        for figures in measurement[-1]:
            say(figures, f"{len(measurement)}/{rounds} {name} {part}")


def _check(serving: dict[str, Server]) -> None:
    """Assert that each variant does what its name says."""
    for name, server in serving.items():
        rows = server.database.rows("SELECT count(*) FROM audit_entry WHERE action = 'webhook.received'")
        assert bool(rows[0][0]) == (name == "with"), f"{rows[0][0]} entries {name} the audit log"


def show_parts(taken: Mapping[str, Taken]) -> str:
    """Return the medians by part. The two ratios compare the variants within each round: above 1.00 the part saves CPU,
    below it the part costs CPU.
    """
    heads = (
        f"{CLIENTS} clients each",
        "",
        "CPU ms with",
        "CPU ms without",
        "CPU without ÷ with",
        "rate with ÷ without",
        "p99 ms with",
        "p99 ms without",
    )
    rows = [
        _row(part, subject.name, rounds["with"], rounds["without"])
        for part, rounds in taken.items()
        for subject in SUBJECTS
    ]
    return table(heads, rows)


def _row(part: str, subject: str, with_part: Rounds, without_part: Rounds) -> list[str]:
    pairs = list(
        zip(of_subject(with_part, subject, CLIENTS), of_subject(without_part, subject, CLIENTS), strict=True)
    )
    return [
        part,
        subject,
        f"{median(kept.cpu for kept, _ in pairs):.2f}",
        f"{median(left_out.cpu for _, left_out in pairs):.2f}",
        f"{median(left_out.cpu / kept.cpu for kept, left_out in pairs):.2f}",
        f"{median(kept.rate / left_out.rate for kept, left_out in pairs):.2f}",
        f"{median(kept.p99 for kept, _ in pairs):.0f}",
        f"{median(left_out.p99 for _, left_out in pairs):.0f}",
    ]
