"""What the audit log costs (`--audit`): the hub beside the same hub whose appends do nothing, both at once.

In turn they would differ by a tenth either way, for what else the machine does: so both get half the senders at the same
time, and whatever slows one down slows the other.
"""

from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from statistics import median

from tests.bench.comparing import say
from tests.bench.databases import Cluster, fresh_database
from tests.bench.measuring import ACK, RESULT, Figures, measure
from tests.bench.processes import ROOT
from tests.bench.report import Rounds, of_subject
from tests.bench.servers import Server, running_hub
from tests.bench.systems import Systems
from tests.bench.table import table

STARTUP = Path(__file__).resolve().parent / "startup"
VARIANTS = {"with": {}, "without": {"BENCH_WITHOUT": "audit", "PYTHONPATH": f"{STARTUP}:{ROOT}"}}
SUBJECTS = (RESULT, ACK)
CLIENTS = 8  # of each
MOST_SHARE = 0.1
ROUNDS, SECONDS = 12, 2.0

Taken = dict[str, list[list[Figures]]]


def measure_audit(
    kind: str, cluster: Cluster | None, systems: Systems, folder: Path, rounds: int, seconds: float
) -> Taken:
    """The rounds of both variants; within a round at the same time."""
    taken: Taken = {name: [[] for _ in range(rounds)] for name in VARIANTS}
    with ExitStack() as stack:
        serving: dict[str, Server] = {}
        for name, variables in VARIANTS.items():
            place = folder / f"{kind}-{name}"
            place.mkdir()
            database = stack.enter_context(fresh_database(kind, cluster, place))
            serving[name] = stack.enter_context(running_hub(database, systems, place, variables=variables))
            measure(serving[name], RESULT, systems, clients=32, delay=0, seconds=0.8)
        _check(serving)
        for number in range(rounds):
            for subject in SUBJECTS:
                with ThreadPoolExecutor(len(VARIANTS)) as threads:
                    measured = {
                        name: threads.submit(measure, serving[name], subject, systems, CLIENTS, 0, seconds)
                        for name in VARIANTS
                    }
                for name, each in measured.items():
                    taken[name][number].append(each.result())
                    say(each.result(), f"{number + 1}/{rounds} {name}")
    return taken


def _check(serving: dict[str, Server]) -> None:
    """The variants are what they are called."""
    for name, server in serving.items():
        rows = server.database.rows("SELECT count(*) FROM audit_entry WHERE action = 'webhook.received'")
        assert bool(rows[0][0]) == (name == "with"), f"{rows[0][0]} entries {name} the audit log"


def show_audit(taken: Taken) -> str:
    """Medians; the share is of the CPU of web and worker, within each round."""
    heads = (f"{CLIENTS} clients each", "CPU ms with", "without", "the log's share", "at most", "")
    rows = [_row(subject.name, taken["with"], taken["without"]) for subject in SUBJECTS]
    return table(heads, rows)


def _row(subject: str, logged: Rounds, silent: Rounds) -> list[str]:
    pairs = list(zip(of_subject(logged, subject, CLIENTS), of_subject(silent, subject, CLIENTS), strict=True))
    share = median(1 - without.cpu / found.cpu for found, without in pairs)
    return [
        subject,
        f"{median(found.cpu for found, _ in pairs):.2f}",
        f"{median(without.cpu for _, without in pairs):.2f}",
        f"{share:.0%}",
        f"{MOST_SHARE:.0%}",
        "kept" if share <= MOST_SHARE else "NOT KEPT",
    ]
